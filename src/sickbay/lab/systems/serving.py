"""Model serving as teams run it: a model server with a database, a dependency, and clients, all real, on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sickbay.investigation.baseline import record_baseline
from sickbay.lab.systems import postgres
from sickbay.lab.systems.model_server import Load, Service, free_service, train
from sickbay.lab.systems.processes import LabError, free_port, wait_until
from sickbay.lab.systems.proxy import Proxy
from sickbay.registry import system

DATABASE, ROLE, PASSWORD = "bank", "model", "lab-model-password"
WATCHER, WATCHER_PASSWORD = "sickbay", "lab-sickbay-password"
RATE, ROWS, TREES = 2.5, 40, 40
WARM_SECONDS = 3.0


@dataclass(slots=True)
class Serving:
    """The running system. The server reaches its database and the risk service through proxies."""

    directory: Path
    database: postgres.Postgres
    to_database: Proxy
    risk: Service
    to_risk: Proxy
    server: Service
    load: Load | None = None

    @property
    def site_file(self) -> Path:
        """The site file of its user."""
        return self.directory / "sickbay.toml"

    def wait_healthy(self, seconds: float = 90) -> None:
        """Wait until predictions come as fast as they did in the beginning, a few in a row."""
        wait_until(self._fast, seconds, "predictions coming fast again", self.server.server)

    def _fast(self) -> bool:
        try:
            return sorted(self.server.predict(seconds=5) for _ in range(5))[2] < 0.15
        except LabError:
            return False

    def stop(self) -> None:
        """Stop everything."""
        if self.load is not None:
            self.load.stop()
        self.server.stop()
        self.risk.stop()
        for proxy in (self.to_database, self.to_risk):
            proxy.close()
        self.database.stop()


@system("serving", scenario="serving-latency")
def start(directory: Path, *, say: Callable[[str], None] = lambda _: None, seed: int = 0) -> Serving:
    """Start the system in a directory, under load, and note what it is like when it is well."""
    directory.mkdir(parents=True, exist_ok=True)
    say("PostgreSQL, the model, the risk service")
    with ThreadPoolExecutor(3) as pool:
        training = pool.submit(train, directory / "model", seed=seed, trees=TREES)
        risk = free_service("risk", directory / "risk", {"SPANS_FILE": str(directory / "spans" / "risk.jsonl")},
                            app="risk_service:app")  # fmt: skip
        starting = pool.submit(postgres.start, directory)
        serving_risk = pool.submit(risk.start)
        try:
            database = starting.result()
        except BaseException:
            risk.stop()
            raise
    to_database = Proxy(free_port(), database.port)
    to_risk = Proxy(free_port(), risk.port)
    system = Serving(directory, database, to_database, risk, to_risk, _server(directory, to_database, to_risk))
    try:
        training.result()
        serving_risk.result()
        _fill(database)
        (directory / "spans").mkdir(exist_ok=True)
        say("the model server and its clients")
        system.server.start()
        system.load = Load(directory, system.server.url, rate=RATE, rows=ROWS, seed=seed)
        _site(system)
        system.wait_healthy()
        time.sleep(WARM_SECONDS)  # caches and arenas of a server fill with its first requests
        say("what it is like when it is well")
        record_baseline(system.site_file)
    except BaseException:
        system.stop()
        raise
    return system


def _server(directory: Path, to_database: Proxy, to_risk: Proxy) -> Service:
    place = directory / "model-server"
    return free_service("model-server", place, {
        "DATABASE_URL": f"postgresql://{ROLE}:{PASSWORD}@127.0.0.1:{to_database.port}/{DATABASE}",
        "RISK_URL": f"http://127.0.0.1:{to_risk.port}",
        "MODEL_FILE": str(directory / "model" / "model.joblib"),
        "HISTORY_FILE": str(directory / "model" / "history.bin"),
        "SPANS_FILE": str(directory / "spans" / "model-server.jsonl"),
        "ACCESS_LOG": str(place / "access.jsonl"),
    })  # fmt: skip


def _fill(database: postgres.Postgres) -> None:
    database.execute(
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        f"CREATE ROLE {WATCHER} LOGIN PASSWORD '{WATCHER_PASSWORD}'",
        f"GRANT pg_monitor, pg_use_reserved_connections TO {WATCHER}",
    )
    database.execute(
        "CREATE TABLE customers AS SELECT id, 20 + random() * 100 AS mean_amount, "
        "(random() * 3000)::int AS tenure_days, (random() * 20)::int AS country FROM generate_series(0, 999) AS id",
        "ALTER TABLE customers ADD PRIMARY KEY (id)",
        "CREATE TABLE payments AS SELECT n % 1000 AS customer, random() * 100 AS amount "
        "FROM generate_series(1, 300000) AS n",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}",
        database=DATABASE,
    )


def _site(system: Serving) -> None:
    secrets = system.directory / ".secrets"
    secrets.mkdir(exist_ok=True)
    secrets.chmod(0o700)
    dsn = f"postgresql://{WATCHER}:{WATCHER_PASSWORD}@127.0.0.1:{system.to_database.port}/{DATABASE}"
    (secrets / "postgres").write_text(dsn, encoding="utf-8")
    rows = ", ".join(f"[12.5, {20 + k}.0, {k % 9}, 3.0]" for k in range(ROWS))
    (system.directory / "request.json").write_text(f'{{"customer": 7, "events": [{rows}]}}', encoding="utf-8")
    system.site_file.write_text(
        f"""[system]
name = "fraud-model"
baseline = "baseline.json"

[source.serving]
url = "{system.server.url}/predict"
request = "request.json"
grows = "events"
health = "{system.server.url}/health"

[source.prometheus]
pages = {{ model-server = "{system.server.url}/metrics", risk = "{system.risk.url}/metrics" }}

[source.process]
pid_file = "model-server/worker.pid"

[source.profile]
allow = true
pid_file = "model-server/worker.pid"

[source.disk]
allow = true
files = {{ history = "model/history.bin" }}

[source.network.targets]
risk = "http://127.0.0.1:{system.to_risk.port}/health"
database = "postgresql://127.0.0.1:{system.to_database.port}"

[source.postgres]
dsn = "file:.secrets/postgres"
""",
        encoding="utf-8",
    )
