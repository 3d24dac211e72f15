"""A process of this host as the kernel accounts for it: processor, waiting, faults, disk, memory, control groups."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from sickbay.errors import SiteFileError, SourceError, SourceForbidden
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context
from sickbay.sources.host import processes

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")
NAN = float("nan")


class _Settings(settings.Settings):
    pid_file: str = ""
    match: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of a process at an instant, NaN where this host does not say; seconds and bytes.

    ``run_delay``: waited for a processor, throttling included. ``majors``: page faults that went to the disk.
    ``throttled``: held back by the quota of its control group. ``limit``: of its group's memory, infinite if none.
    """

    at: float
    pid: int
    started: float
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


@dataclass(frozen=True, slots=True)
class Watch:
    """What a while of looking saw: first and last snapshot, and the share of samples with a thread in each state.

    ``starts``: workers that began during the while. ``gone``: share of the samples in which no process was there.
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


@source("process")
class Process:
    """Reads what the kernel counts for one process: ``[source.process] pid_file``, ``match`` or ``port``.

    Rights: the user of that process, or root, for its input and output. Linux gives all; elsewhere part is unknown.
    """

    def __init__(self, given: _Settings, base: Path, baseline: Mapping[str, float]) -> None:
        self._given, self._base, self.baseline = given, base, baseline

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
                    return int(line.pid)
        except psutil.AccessDenied:
            raise SourceForbidden("sockets of other users' processes may not be listed by this user") from None
        raise SourceError(f"unreachable: no process listens on port {self._given.port}")

    def snapshot(self) -> Snapshot:
        """Return its counters now; SourceError when it is gone, SourceForbidden when it may not be read."""
        pid = self.pid()
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times, memory, began = process.cpu_times(), process.memory_info(), process.create_time()
        except psutil.NoSuchProcess:
            raise SourceError(f"unreachable: the process {pid} is gone") from None
        except psutil.AccessDenied:
            raise SourceForbidden(f"the process {pid} may not be read by this user") from None
        status, io = _pairs(PROC / str(pid) / "status"), _pairs(PROC / str(pid) / "io")
        used, limit, anonymous = _memory_group(pid)
        return Snapshot(
            at=time.monotonic(), pid=pid, started=began, cpu=times.user + times.system, run_delay=_run_delay(pid),
            majors=_majors(pid), read=io.get("read_bytes", NAN), fetched=io.get("rchar", NAN), rss=float(memory.rss),
            swap=status.get("VmSwap", NAN) * 1024, throttled=_throttled(pid), used=used, limit=limit,
            anonymous=anonymous,
        )  # fmt: skip

    def watch(self, seconds: float, pause: float = 0.1) -> Watch:
        """Look at it for a while, ten times a second, and return what changed; SourceError when it was never there."""
        began = time.monotonic()
        first = last = None
        samples = waits = runs = missing = starts = 0
        memory = []
        while time.monotonic() - began < seconds:
            try:
                now = self.snapshot()
                states = _states(now.pid)
            except SourceForbidden:
                raise
            except SourceError:
                missing += 1
                time.sleep(pause)
                continue
            samples += 1
            waits += "D" in states
            runs += states.count("R") > 1
            starts += last is not None and now.pid != last.pid
            if first is None or now.pid != first.pid:
                first = now
            last = now
            memory.append((now.at - began, now.rss))
            time.sleep(pause)
        if first is None or last is None:
            raise SourceError("unreachable: the process was not there while it was looked for")
        every = samples + missing
        return Watch(
            first, last, time.monotonic() - began, samples, waits / samples, runs / samples, starts, missing / every,
            tuple(memory),
        )  # fmt: skip

    def check(self) -> list[Check]:
        """Return whether it is there and what of it may be read."""
        try:
            now = self.snapshot()
        except SourceError as error:
            return [Check("process", False, str(error))]
        lacking = [name for name in ("run_delay", "read", "throttled") if getattr(now, name) != getattr(now, name)]
        says = f"process {now.pid}, {now.rss / 1e6:.0f} MB" + (f"; unknown: {', '.join(lacking)}" if lacking else "")
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


def _states(pid: int) -> str:
    """Return the states of its threads, a letter each; empty where this host does not say."""
    letters = []
    with contextlib.suppress(OSError):
        for task in os.listdir(PROC / str(pid) / "task"):  # noqa: PTH208 - ten times a second
            with contextlib.suppress(OSError):
                letters.append((PROC / str(pid) / "task" / task / "stat").read_text().rpartition(")")[2].split()[0])
    return "".join(letters)


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


def group(pid: int, controller: str) -> Path | None:
    """Return the directory of a process's control group, version 1 or 2, as it is seen from here; None without one."""
    if not sys.platform.startswith("linux"):
        return None
    with contextlib.suppress(OSError):
        lines = (PROC / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
        parts = [line.split(":", 2) for line in lines]
        for _, names, path in parts:
            if controller in names.split(","):
                return _first(GROUPS / controller / path.lstrip("/"), GROUPS / names / path.lstrip("/"))
        for number, names, path in parts:
            if number == "0" and not names:
                return _first(GROUPS / path.lstrip("/"), GROUPS)
    return None


def _first(*places: Path) -> Path | None:
    return next((place for place in places if place.is_dir()), None)


def _throttled(pid: int) -> float:
    """Return the seconds that the quota of its group held it back; 0 where no quota is set."""
    place = group(pid, "cpu")
    if place is None or not (place / "cpu.stat").exists():
        return NAN
    found = {}
    with contextlib.suppress(OSError):
        for line in (place / "cpu.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            found[name] = float(value)
    if "throttled_time" in found:
        return found["throttled_time"] / 1e9
    return found.get("throttled_usec", 0.0) / 1e6


def _memory_group(pid: int) -> tuple[float, float, float]:
    """Return use, limit and anonymous bytes of its group of memory; NaN where it has none."""
    place = group(pid, "memory")
    if place is None:
        return NAN, NAN, NAN
    used = _number(place / "memory.current", place / "memory.usage_in_bytes")
    limit = _number(place / "memory.max", place / "memory.limit_in_bytes")
    anonymous = NAN
    with contextlib.suppress(OSError):
        for line in (place / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("anon", "rss"):
                anonymous = float(value)
    return used, (float("inf") if limit > 2**60 else limit), anonymous


def _number(*files: Path) -> float:
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            text = file.read_text(encoding="ascii").strip()
            return float("inf") if text == "max" else float(text)
    return NAN
