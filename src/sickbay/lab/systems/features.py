"""A feature store as teams run it: Feast on Redis with a replica, batch training and an online process, all real.

Three days of card payments are played through it in a second or two. Training computes the features in SQL and pandas
over all events; serving computes them event by event, writes them through Feast to the primary, and serves from the
replica, logging what it served. A fault changes one thing of this and the days are played again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sickbay.lab.systems import payments, redis
from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import LabError, free_port, tail
from sickbay.lab.systems.programs import serving, store
from sickbay.registry import system

TICKS, WARM = 72, 12
STEP = 3600.0
KEPT = ("transactions", "offline", "serving", "training")
SERVED = 45
"""Requests per tick."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How the days are played. What a fault changes is here, in the deployed code, or in the servers themselves."""

    seed: int = 0
    code: tuple[tuple[str, str], ...] = ()
    """Edits of the deployed serving code: text → text."""
    libraries: str = "features-serving"
    """Environment that serving computes in."""
    late_share: float = 0.004
    late_hours: tuple[float, float] = (1.0, 3.0)
    mirror: float = 0.0
    """Share of the events that the mirror lacks which serving reads; 0: it reads the events themselves."""
    schema_at: int | None = None
    """Tick at which the producers change their schema."""
    schema: str = ""
    clock_minutes: float = 0.0
    """Offset of the clock of one of the two writers."""
    cache_hours: float = 0.0
    lag: int = 0
    """Ticks that the line between primary and replica holds back."""
    cut_at: int | None = None
    cut: str = ""
    """The line that is cut: ``replica`` or ``writer``."""
    join: str = "point-in-time"
    join_hours: float = 0.0
    noise: bool = False

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong in days played so."""
        return self == Setting(seed=self.seed, noise=self.noise, late_share=min(self.late_share, 0.006))


class Program:
    """A program of the system's in an environment of its own, spoken to by lines of JSON; it ends with this process."""

    def __init__(self, name: str, command: list[str | Path], directory: Path, log: Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [str(part) for part in command], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=sink, text=True, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def hear(self) -> Any:
        """Return the next answer; LabError with the end of its log when there is none, or it is an error."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"{self.name} ended: {tail(self.log)}", hint=f"its log is {self.log}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise LabError(f"{self.name}: {answer['error']}", hint=f"its log is {self.log}")
        return answer

    def ask(self, **asked: Any) -> Any:
        """Send one request and return the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise LabError(f"{self.name} ended: {tail(self.log)}", hint=f"its log is {self.log}") from None
        return self.hear()

    def stop(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(slots=True)
class Features:
    """The running system."""

    directory: Path
    primary: redis.Redis
    replica: redis.Redis
    to_primary: redis.Line
    to_replica: redis.Line
    platform: Program
    server_port: int
    setting: Setting = field(default_factory=Setting)
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What the store held after the last healthy days: key and dump."""

    @property
    def site_file(self) -> Path:
        """The site file of its user."""
        return self.directory / "sickbay.toml"

    def wait_healthy(self, seconds: float = 60) -> None:
        """Play the days again as they are without a fault, if they were played with one."""
        if not self.setting.healthy:
            self.restore()

    def play(self, setting: Setting) -> None:
        """Play the three days that end now; LabError when a part of the system fails."""
        self.setting = setting
        _Play(self, setting).run()
        if setting.healthy:
            self._keep()

    def restore(self) -> None:
        """Mend what is cut or held, and take tables and store back to the last healthy days."""
        self.setting = Setting()
        _reset(self)
        with self.primary.client.pipeline(transaction=False) as pipe:
            for key, dump in self.kept:
                pipe.restore(key, 0, dump)
            pipe.execute()
        redis.caught_up(self.primary, self.replica)
        shutil.rmtree(self.directory / "mirror", ignore_errors=True)
        for name in KEPT:
            shutil.rmtree(self.directory / name, ignore_errors=True)
            shutil.copytree(self.directory / ".lab" / "healthy" / name, self.directory / name)

    def _keep(self) -> None:
        keys = self.primary.client.keys()
        with self.primary.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key)
            self.kept = list(zip(keys, pipe.execute(), strict=True))
        for name in KEPT:
            target = self.directory / ".lab" / "healthy" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(self.directory / name, target)

    def materialise_behind(self) -> None:
        """Begin Feast's job on a line to the store on which nothing moves: it stays under way."""
        end = time.time()
        self.to_primary.mark = self.to_primary.released + 1
        self.to_primary.hold()
        self.platform.ask(do="materialize_behind", start=end - TICKS * STEP, end=end)

    def let_go(self) -> None:
        """Let the job end."""
        self.to_primary.flow()
        self.platform.ask(do="join_job")

    def stop(self) -> None:
        """Stop everything."""
        self.to_primary.flow()
        self.platform.stop()
        for line in (self.to_primary, self.to_replica):
            line.close()
        for one in (self.replica, self.primary):
            one.client.close()
            one.server.stop()


@system("features", scenario="feature-skew")
def start(directory: Path, *, say: Callable[[str], None] = lambda _: None) -> Features:
    """Start the system in a directory and play three healthy days; LabError when it cannot."""
    directory.mkdir(parents=True, exist_ok=True)
    environment("feast"), environment("features-serving")
    say("Redis, its replica, and Feast")
    primary = redis.start(directory, "primary")
    to_primary, to_replica = redis.Line(primary.port), redis.Line(primary.port)
    replica = redis.start(directory, "replica", of=to_replica.port)
    port = free_port()
    platform = Program(
        "the feature platform",
        [environment("feast") / "bin" / "python", store.__file__, directory, f"127.0.0.1:{replica.port}",
         f"127.0.0.1:{to_primary.port}", str(port)],
        directory, directory / "platform.log",
    )  # fmt: skip
    made = Features(directory, primary, replica, to_primary, to_replica, platform, port)
    try:
        platform.hear()
        _site(made)
        say("three days of payments")
        made.play(Setting())
    except BaseException:
        made.stop()
        raise
    return made


class _Play:
    """One run of the three days."""

    def __init__(self, system: Features, setting: Setting) -> None:
        self.system, self.setting = system, setting
        self.rng = np.random.default_rng([setting.seed, 77])
        self.end = float(int(time.time()))
        self.start = self.end - TICKS * STEP
        self.offsets: dict[int, int] = {}

    def run(self) -> None:
        """Write the events, compute for training, load the store, serve tick by tick, join the training set."""
        s, system = self.setting, self.system
        _reset(system)
        events = payments.make(s.seed, self.start, TICKS, STEP, late_share=s.late_share, late_hours=s.late_hours)
        payments.write(events, system.directory / "transactions", self._changed_at(), s.schema)
        ask = system.platform.ask
        ask(
            do="batch",
            start=self.start,
            step=STEP,
            events="transactions/*.parquet",
            target="offline/user_stats.parquet",
        )
        if s.mirror:
            self._from_mirror(events)
        ask(do="materialize", start=self.start - STEP, end=self.start + WARM * STEP)
        redis.caught_up(system.primary, system.replica)
        deployed = _deploy(system.directory, s)
        program = Program(
            "serving", [environment(s.libraries) / "bin" / "python", deployed], deployed.parent,
            system.directory / "platform.log",
        )  # fmt: skip
        try:
            self._ticks(program, self._feed(events))
        finally:
            program.stop()
        if s.mirror:  # the training set was made before the switch
            ask(do="apply")
        ask(do="finish", joined=s.join, shift=s.join_hours * 3600)
        if s.mirror:
            ask(do="apply", source="mirror/values/user_stats.parquet")

    def _changed_at(self) -> float | None:
        return None if self.setting.schema_at is None else self.start + self.setting.schema_at * STEP

    def _from_mirror(self, events: payments.Events) -> None:
        """Point Feast at values of another table, as after a switch to a mirror."""
        place = self.system.directory / "mirror"
        payments.write(payments.mirrored(events, self.setting.mirror, self.setting.seed), place, None, "")
        ask = self.system.platform.ask
        ask(
            do="batch",
            start=self.start,
            step=STEP,
            events="mirror/*.parquet",
            target="mirror/values/user_stats.parquet",
        )
        ask(do="apply", source="mirror/values/user_stats.parquet")

    def _feed(self, events: payments.Events) -> list[list[list[Any]]]:
        """Return, per tick, the events that serving gets in it."""
        s = self.setting
        source = payments.mirrored(events, s.mirror, s.seed) if s.mirror else events
        return payments.feed(source, self.start, TICKS, STEP, self._changed_at(), s.schema)

    def _ticks(self, program: Program, feed: list[list[list[Any]]]) -> None:
        popularity = self.rng.permutation(1 / (3 + np.arange(payments.USERS)) ** 0.8)
        popularity /= popularity.sum()
        for tick in range(1, TICKS + 1):
            now = self.start + tick * STEP
            rows = program.ask(now=now, events=feed[tick - 1])
            if tick <= WARM:
                continue
            self._write(tick, now, rows)
            users = self.rng.choice(payments.USERS, SERVED, p=popularity).tolist()
            times = np.sort(now + self.rng.uniform(60, STEP - 120, SERVED)).round(3)
            if tick == TICKS:
                times = np.sort(now - self.rng.uniform(0, 1, SERVED)).round(3) + 1.0
            self.system.platform.ask(do="serve", users=users, times=times.tolist(), ttl=self.setting.cache_hours * 3600)

    def _write(self, tick: int, now: float, rows: list[dict[str, Any]]) -> None:
        s, system = self.setting, self.system
        if s.cut_at == tick:
            (system.to_replica if s.cut == "replica" else system.to_primary).cut()
        system.to_replica.mark = tick
        if s.lag and not system.to_replica.holding:
            system.to_replica.release(tick - 1)
            system.to_replica.hold()
        stamped = [dict(row, event_timestamp=self._stamp(now)) for row in rows]
        if s.noise:
            for row in stamped:
                row["avg_amount"] = row["avg_amount"] * (1 + float(self.rng.normal(0, 2e-15)))
        system.platform.ask(do="write", rows=stamped)
        if s.cut == "replica" and s.cut_at is not None and tick >= s.cut_at:
            return
        self.offsets[tick] = int(system.primary.replication["master_repl_offset"])
        if s.lag:
            system.to_replica.release(tick - s.lag)
            redis.reached(system.replica, self.offsets.get(tick - s.lag, 0))
        else:
            redis.reached(system.replica, self.offsets[tick])

    def _stamp(self, now: float) -> float:
        s = self.setting
        if s.clock_minutes and self.rng.random() < 0.5:
            return now + s.clock_minutes * 60
        return now


def _reset(system: Features) -> None:
    """Mend the lines, empty the store, and take the registry back to what it was."""
    system.to_replica.flow()
    system.to_replica.mend()
    system.to_primary.mend()
    system.primary.client.flushall()
    redis.caught_up(system.primary, system.replica)
    system.platform.ask(do="apply")


def _deploy(directory: Path, setting: Setting) -> Path:
    """Write the serving code as it is deployed."""
    text = Path(serving.__file__).read_text(encoding="utf-8")
    for old, new in setting.code:
        if old not in text:
            raise LabError(f"the serving code has no {old!r}")
        text = text.replace(old, new)
    target = directory / "serving" / "compute.py"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return target


def _site(system: Features) -> None:
    features = ", ".join(f'"{name}"' for name in store.TYPES)
    system.site_file.write_text(
        f"""[system]
name = "card-payments"

[source.feature_store]
offline = "training/training_set.parquet"     # what the model was trained on
online = "serving/log/*.parquet"              # what serving logged
history = "offline/user_stats.parquet"        # every value with the time from which it held
inputs = "transactions/*.parquet"             # what both sides compute from
keys = ["user_id"]
time = "served_at"
history_time = "event_timestamp"
created = "created"
stamp = "feature_time"
features = [{features}]
libraries = {{ offline = "training/requirements.lock", online = "serving/requirements.lock" }}

[source.feast]
repository = "feature_repo"
view = "{store.VIEW}"
server = "http://127.0.0.1:{system.server_port}"

[source.redis]
url = "redis://127.0.0.1:{system.replica.port}"
primary = "redis://127.0.0.1:{system.primary.port}"

[source.logs]
files = {{ serving = "serving.log" }}
""",
        encoding="utf-8",
    )
