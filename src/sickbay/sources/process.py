"""A process of this host as the kernel accounts for it: processor, waiting, faults, disk, memory, control groups."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psutil

from sickbay.errors import SiteFileError, SourceError, SourceForbidden
from sickbay.registry import source
from sickbay.sources import backlog, cgroups, settings, workers
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context
from sickbay.sources.host import processes
from sickbay.sources.once import Once

PROC = Path("/proc")
NAN = float("nan")
EVERY = 1.0
"""Seconds after which it is looked again who serves: the whole list of processes is read for it."""
SUMS = ("cpu", "run_delay", "majors", "read", "fetched")
"""What only grows while a process lives."""


class _Settings(settings.Settings):
    pid_file: str = ""
    match: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of a process at an instant, NaN where this host does not say; seconds and bytes.

    ``workers``: each process that serves, the busiest first, with its own; what is counted here is their sum.
    ``run_delay``: waited for a processor, throttling included. ``majors``: page faults that went to the disk.
    ``throttled``: held back by the quota of its control group. ``limit``: of its group's memory, infinite if none.
    ``stalled``: some task of its group waited for memory (reclaim, or pages that were dropped and are needed again).
    """

    at: float
    workers: Mapping[int, Mapping[str, float]]
    cpu: float
    run_delay: float
    majors: float
    read: float
    fetched: float
    rss: float
    swap: float
    throttled: float
    used: float
    limit: float
    anonymous: float
    stalled: float

    @property
    def pid(self) -> int:
        """The process that was busiest when it was looked up who serves."""
        return next(iter(self.workers))


@dataclass(frozen=True, slots=True)
class Watch:
    """What a while of looking saw: first and last snapshot, and the share of samples with a thread in each state.

    ``starts``: workers that began during the while. ``gone``: share of the samples in which no process was there.
    Means over the samples, NaN where this host does not say: ``blocked``: threads that wait for the disk;
    ``faulting``: those of them in a page fault; ``unread``: requests that wait at its ports and nobody has read.
    """

    first: Snapshot
    last: Snapshot
    seconds: float
    samples: int
    disk_wait: float
    runnable: float
    starts: int
    gone: float
    memory: tuple[tuple[float, float], ...]
    blocked: float
    faulting: float
    unread: float


@source("process")
class Process:
    """Reads what the kernel counts for one process: ``[source.process] pid_file``, ``match`` or ``port``.

    Rights: the user of that process, or root, for its input and output. Linux gives all; elsewhere part is unknown.
    """

    def __init__(self, given: _Settings, base: Path, baseline: Mapping[str, float]) -> None:
        self._given, self._base, self.baseline, self.once = given, base, baseline, Once()
        self._family: tuple[int, float, tuple[int, ...]] | None = None

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a process."""
        return "process" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; SiteFileError when the site does not say which process."""
        given = settings.read(context, "process", _Settings)
        if not (given.pid_file or given.match or given.port):
            raise SiteFileError(
                f"{context.site.file}: [source.process] does not say which process",
                hint='pid_file = "server.pid", or match = "a piece of its command line", or port = 8080',
            )
        return cls(given, context.site.base, read_baseline(context, "process"))

    def pid(self) -> int:
        """Return the id of the process now; SourceError when there is none."""
        if self._given.pid_file:
            file = self._base / self._given.pid_file
            try:
                found = int(file.read_text(encoding="utf-8").strip())
            except PermissionError:
                raise SourceForbidden(f"{file} may not be read by this user") from None
            except (OSError, ValueError) as error:
                raise SourceError(f"unreachable: {file} holds no process id: {error}") from None
            if psutil.pid_exists(found):
                return found
            raise SourceError(f"unreachable: the process {found} of {file} is gone")
        if self._given.match:
            there = processes(self._given.match)
            if there:
                return max(there, key=lambda one: one.age).pid
            raise SourceError(f"unreachable: no process has {self._given.match!r} in its command line")
        return self._listening()

    def _listening(self) -> int:
        try:
            for line in psutil.net_connections("tcp"):
                if line.status == psutil.CONN_LISTEN and line.laddr and line.laddr[1] == self._given.port and line.pid:
                    return workers.above(int(line.pid), line.laddr[1])
        except psutil.AccessDenied:
            raise SourceForbidden("sockets of other users' processes may not be listed by this user") from None
        raise SourceError(f"unreachable: no process listens on port {self._given.port}")

    def workers(self) -> tuple[int, ...]:
        """Return the processes that serve, the busiest first, looked up once a second; SourceError when it is gone."""
        root, now = self.pid(), time.monotonic()
        if self._family is None or self._family[0] != root or now - self._family[1] > EVERY:
            self._family = (root, now, workers.below(root))
        return self._family[2]

    def snapshot(self) -> Snapshot:
        """Return its counters now; SourceError when it is gone, SourceForbidden when it may not be read."""
        pids = self.workers()
        parts = {pid: part for pid in pids if (part := _counters(pid)) is not None}
        if not parts:
            self._family = None  # who serves now is looked up at the next look
            raise SourceError(f"unreachable: the process {pids[0]} is gone")
        group = _Group(next(iter(parts)))
        return Snapshot(
            at=time.monotonic(), workers=parts, throttled=group.throttled(), stalled=group.stalled(), **_summed(parts),
            **group.memory(),
        )  # fmt: skip

    def watch(self, seconds: float, pause: float = 0.1) -> Watch:
        """Look at it for a while, ten times a second, and return what changed; SourceError when it was never there."""
        began = time.monotonic()
        first: Snapshot | None = None
        last: Snapshot | None = None
        samples = waits = runs = missing = starts = 0
        ended: dict[str, float] = dict.fromkeys(SUMS, 0.0)
        memory, blocked, faulting, unread = [], [], [], []
        listens: frozenset[int] = frozenset()
        while time.monotonic() - began < seconds:
            try:
                now = self.snapshot()
                states, faults = _all_states(list(now.workers))
            except SourceForbidden:
                raise
            except SourceError:
                missing += 1
                time.sleep(pause)
                continue
            samples += 1
            waits += "D" in states
            runs += states.count("R") > 1
            if last is None or not now.workers.keys() & last.workers.keys():
                starts += len(now.workers) if last is not None else 0
                first, listens, ended = now, backlog.ports(now.pid), dict.fromkeys(SUMS, 0.0)
            else:  # some of its workers may be new: what those that ended had counted stays in the sums
                starts += len(now.workers.keys() - last.workers.keys())
                for gone in last.workers.keys() - now.workers.keys():
                    ended = {name: ended[name] + last.workers[gone][name] for name in SUMS}
            last = now
            memory.append((now.at - began, now.rss))
            blocked.append(states.count("D"))
            faulting.append(faults)
            if samples % 3 == 1:  # the kernel writes its whole table of connections for each look
                unread.append(backlog.unread(now.pid, listens))
            time.sleep(pause)
        if first is None or last is None:
            raise SourceError("unreachable: the process was not there while it was looked for")
        last = replace(last, **{name: getattr(last, name) + ended[name] for name in SUMS})
        every = samples + missing
        return Watch(
            first, last, time.monotonic() - began, samples, waits / samples, runs / samples, starts, missing / every,
            tuple(memory), _mean(blocked), _mean(faulting), _mean(unread),
        )  # fmt: skip

    def check(self) -> list[Check]:
        """Return whether it is there and what of it may be read."""
        try:
            now = self.snapshot()
        except SourceError as error:
            return [Check("process", False, str(error))]
        lacking = [name for name in ("run_delay", "read", "throttled") if getattr(now, name) != getattr(now, name)]
        who = f"process {now.pid}" if len(now.workers) == 1 else f"{len(now.workers)} workers of process {self.pid()}"
        says = f"{who}, {now.rss / 1e6:.0f} MB" + (f"; unknown: {', '.join(lacking)}" if lacking else "")
        return [Check("process", True, says)]

    def close(self) -> None:
        """Nothing is kept open."""


def _pairs(file: Path) -> dict[str, float]:
    """Return the numbers of a file of ``name: number`` lines; empty where it may not be read."""
    found: dict[str, float] = {}
    with contextlib.suppress(OSError):
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            number = value.split()
            if number and number[0].isdigit():
                found[name] = float(number[0])
    return found


def _counters(pid: int) -> dict[str, float] | None:
    """Return what the kernel counts for one process; None when it is gone, SourceForbidden when it may not be read."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        raise SourceForbidden(f"the process {pid} may not be read by this user") from None
    status, io = _pairs(PROC / str(pid) / "status"), _pairs(PROC / str(pid) / "io")
    return {
        "cpu": times.user + times.system, "run_delay": _run_delay(pid), "majors": _majors(pid),
        "read": io.get("read_bytes", NAN), "fetched": io.get("rchar", NAN), "rss": float(memory.rss),
        "swap": status.get("VmSwap", NAN) * 1024,
    }  # fmt: skip


def _summed(parts: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Return the sum over the processes; NaN where one of them does not say."""
    each = list(parts.values())
    return {name: sum(part[name] for part in each) for name in each[0]}


def _all_states(pids: Sequence[int]) -> tuple[str, float]:
    """Return the states of the threads of several processes, and how many wait for the disk in a page fault."""
    found = [_states(pid) for pid in pids]
    return "".join(letters for letters, _ in found), sum(faults for _, faults in found)


def _states(pid: int) -> tuple[str, float]:
    """Return the states of its threads, a letter each, and how many wait for the disk in a page fault.

    Empty where this host does not say; NaN where it does not say in what the threads wait.
    """
    letters, faults = [], 0.0
    with contextlib.suppress(OSError):
        for task in os.listdir(PROC / str(pid) / "task"):  # noqa: PTH208 - ten times a second
            with contextlib.suppress(OSError):
                place = PROC / str(pid) / "task" / task
                letters.append((place / "stat").read_text().rpartition(")")[2].split()[0])
                if letters[-1] == "D":
                    faults += _in_fault(place)
    return "".join(letters), faults


def _in_fault(task: Path) -> float:
    """Return 1 for a thread that is blocked outside of any call of the system, 0 for one within; NaN if not known."""
    try:
        return float((task / "syscall").read_text(encoding="ascii").startswith("-1"))
    except OSError:
        return NAN


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN when one is not known: the samples that are not known are no random ones."""
    return sum(values) / len(values) if values else NAN


def _run_delay(pid: int) -> float:
    """Return the seconds that its threads waited for a processor."""
    total, seen = 0.0, False
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError, IndexError, ValueError):
                total += int((task / "schedstat").read_text(encoding="ascii").split()[1]) / 1e9
                seen = True
    return total if seen else NAN


def _majors(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return float((PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[9])
    return NAN


class _Group:
    """The control group of a process, NaN for what this host, version or group does not say."""

    def __init__(self, pid: int) -> None:
        self._reader, self._group = cgroups.Cgroups(), cgroups.of_process(pid)

    def throttled(self) -> float:
        """Return the seconds that its quota held it back; 0 where no quota is set."""
        if self._group is not None:
            with contextlib.suppress(SourceError):
                return self._reader.cpu(self._group).throttled_seconds or 0.0
        return NAN

    def memory(self) -> dict[str, float]:
        """Return use, limit (infinite if none) and anonymous bytes."""
        if self._group is not None:
            with contextlib.suppress(SourceError):
                found = self._reader.memory(self._group)
                limit = float("inf") if found.limit is None else float(found.limit)
                anonymous = NAN if found.anonymous is None else float(found.anonymous)
                return {"used": float(found.current), "limit": limit, "anonymous": anonymous}
        return dict.fromkeys(("used", "limit", "anonymous"), NAN)

    def stalled(self) -> float:
        """Return the seconds in which some task of it waited for memory; NaN also where only the host's are told."""
        if self._group is not None and (self._group.places["pressure"] / "cgroup.type").exists():
            with contextlib.suppress(SourceError):
                return (self._reader.pressure(self._group, "memory") or {}).get("some", NAN)
        return NAN
