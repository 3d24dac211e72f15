"""Control groups of this host, version 1 and 2: what a container uses, its limits, and what the kernel did to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sickbay.errors import SourceError, SourceForbidden
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context

ROOT = "/sys/fs/cgroup"
UNBOUND = 2**62
"""Version 1 writes a number near 2**63 where there is no limit."""
V1 = {"memory": "memory", "cpu": "cpu", "io": "blkio", "pressure": "unified", "cpuacct": "cpuacct"}
"""What is read → the hierarchy of version 1 that has it; stalls are told by the unified one beside them."""
DEEPEST = 8
"""Levels below the root in which groups are looked for."""


class _Settings(settings.Settings):
    root: str = ROOT
    groups: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a group in bytes; None where this kernel or version does not say it.

    ``current`` counts the page cache, ``anonymous`` does not. ``at_limit`` counts how often it ran into its limit,
    ``kills`` how often the kernel killed a process of it for that.
    """

    current: int
    peak: int | None
    limit: int | None
    anonymous: int | None
    cache: int | None
    inactive_cache: int | None
    at_limit: int | None
    kills: int | None
    major_faults: int | None

    @property
    def working_set(self) -> int:
        """What the kubelet calls working set: all but the cache that was not used lately."""
        return max(0, self.current - (self.inactive_cache or 0))


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time of a group: seconds used; periods of its quota, those in which it was held back, and how long."""

    seconds: float | None
    quota: float | None
    periods: int | None
    throttled: int | None
    throttled_seconds: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """A control group: where it lies in each hierarchy. ``version`` is 1 or 2."""

    name: str
    version: int
    places: Mapping[str, Path] = field(default_factory=dict)
    """Controller → directory; in version 2 all are one directory."""


@source("cgroups")
class Cgroups:
    """Reads control groups of the host that sickbay runs on: ``[source.cgroups]``, Linux only.

    Rights: reading /sys/fs/cgroup, which any user of a node may. Within a pod it sees that pod's own group. Nothing
    is written.
    """

    def __init__(self, given: _Settings | None = None) -> None:
        given = given or _Settings()
        self.root, self._named = Path(given.root), given.groups

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site says that its containers run on this host."""
        return "cgroups" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; SourceError where there are no control groups."""
        reader = cls(settings.read(context, "cgroups", _Settings))
        if not reader.root.is_dir():
            raise SourceError(f"not applicable: there are no control groups at {reader.root}")
        return reader

    @property
    def version(self) -> int:
        """2 where memory is bounded by the unified hierarchy, else 1."""
        return 1 if (self.root / "memory").is_dir() else 2

    def find(self, *marks: str) -> dict[str, Group]:
        """Return mark → the group whose directory's name holds it, such as a container's id or a pod's uid."""
        base = self.root / "memory" if self.version == 1 else self.root
        wanted = {mark: {mark, mark.replace("-", "_")} for mark in marks if mark}
        found: dict[str, Group] = {}
        for path in _below(base):
            for mark, spellings in wanted.items():
                if mark not in found and any(spelling in path.name for spelling in spellings):
                    found[mark] = self.group(str(path.relative_to(base)))
        return found

    def named(self) -> dict[str, Group]:
        """Return the groups that the site names by path."""
        return {name: self.group(path.strip("/")) for name, path in self._named.items()}

    def group(self, path: str) -> Group:
        """Return the group at a path below the root (of each hierarchy, in version 1)."""
        if self.version == 2:
            return Group(path, 2, dict.fromkeys(("memory", "cpu", "io", "pressure"), self.root / path))
        return Group(path, 1, {what: self.root / where / path for what, where in V1.items()})

    def memory(self, group: Group) -> Memory:
        """Return a group's memory now; SourceError when the group is gone."""
        place = group.places["memory"]
        if group.version == 2:
            stat, events = _table(place / "memory.stat"), _table(place / "memory.events", optional=True)
            return Memory(
                _need(place / "memory.current"), _number(place / "memory.peak"), _limit(place / "memory.max"),
                stat.get("anon"), stat.get("file"), stat.get("inactive_file"), events.get("max"),
                events.get("oom_kill"), stat.get("pgmajfault"),
            )  # fmt: skip
        stat, control = _table(place / "memory.stat"), _table(place / "memory.oom_control", optional=True)
        return Memory(
            _need(place / "memory.usage_in_bytes"), _number(place / "memory.max_usage_in_bytes"),
            _limit(place / "memory.limit_in_bytes"), stat.get("total_rss", stat.get("rss")),
            stat.get("total_cache", stat.get("cache")), stat.get("total_inactive_file", stat.get("inactive_file")),
            _number(place / "memory.failcnt"), control.get("oom_kill"),
            stat.get("total_pgmajfault", stat.get("pgmajfault")),
        )  # fmt: skip

    def cpu(self, group: Group) -> Cpu:
        """Return a group's processor time and what its quota took from it; SourceError when the group is gone."""
        stat = _table(group.places["cpu"] / "cpu.stat")
        if group.version == 2:
            words = _words(group.places["cpu"] / "cpu.max")
            quota = float(words[0]) / float(words[1]) if len(words) == 2 and words[0] != "max" else None
            used, held = stat.get("usage_usec"), stat.get("throttled_usec")
            return Cpu(
                used / 1e6 if used is not None else None, quota, stat.get("nr_periods"), stat.get("nr_throttled"),
                held / 1e6 if held is not None else None,
            )  # fmt: skip
        given, period = (
            _number(group.places["cpu"] / "cpu.cfs_quota_us"),
            _number(group.places["cpu"] / "cpu.cfs_period_us"),
        )
        used = _number(group.places["cpuacct"] / "cpuacct.usage")
        return Cpu(
            used / 1e9 if used is not None else None, given / period if given and period and given > 0 else None,
            stat.get("nr_periods"), stat.get("nr_throttled"), stat.get("throttled_time", 0) / 1e9,
        )  # fmt: skip

    def pressure(self, group: Group, what: str) -> dict[str, float] | None:
        """Return seconds in which some and all tasks waited for ``cpu``, ``memory`` or ``io``; None without PSI."""
        found = {}
        for line in _lines(group.places["pressure"] / f"{what}.pressure"):
            kind, _, rest = line.partition(" ")
            values = dict(part.split("=", 1) for part in rest.split() if "=" in part)
            if values.get("total", "").isdigit():
                found[kind] = int(values["total"]) / 1e6
        return found or None

    def io_bytes(self, group: Group) -> tuple[int, int] | None:
        """Return bytes read from and written to disks since the group began; None where the kernel does not count."""
        if group.version == 2:
            read = wrote = 0
            lines = _lines(group.places["io"] / "io.stat")
            for line in lines:
                values = dict(part.split("=", 1) for part in line.split()[1:] if "=" in part)
                read, wrote = read + int(values.get("rbytes", 0)), wrote + int(values.get("wbytes", 0))
            return (read, wrote) if lines else None
        lines = _lines(group.places["io"] / "blkio.throttle.io_service_bytes")
        parts = [line.split() for line in lines if len(line.split()) == 3]
        if not parts:
            return None
        return tuple(sum(int(p[2]) for p in parts if p[1] == what) for what in ("Read", "Write"))  # type: ignore[return-value]

    def check(self) -> list[Check]:
        """Return which version there is, and whether the groups that the site names can be read."""
        checks = [Check("control groups", True, f"version {self.version} at {self.root}")]
        for name, group in self.named().items():
            try:
                checks.append(Check(f"control group {name}", True, f"{self.memory(group).current / 2**20:.0f} MiB"))
            except SourceError as error:
                checks.append(Check(f"control group {name}", False, str(error)))
        return checks

    def close(self) -> None:
        """Nothing is kept open."""


def of_process(pid: int, root: Path = Path(ROOT), proc: Path = Path("/proc")) -> Group | None:
    """Return the group of a process as it is seen from here, whichever version each controller is of; None without.

    From within a pod the paths in /proc do not exist here: its own root is then what bounds it.
    """
    try:
        lines = [line.split(":", 2) for line in (proc / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    if not root.is_dir() or not lines:
        return None
    listed = {name: path for _, names, path in lines for name in names.split(",") if name}
    unified = next((path for number, names, path in lines if number == "0" and not names), "/")
    places: dict[str, Path] = {}
    for what, name in V1.items():
        inside = unified if what == "pressure" else listed.get(name, unified)
        joint = next((names for _, names, _ in lines if name in names.split(",")), name)
        hierarchy = next((root / one for one in (name, joint) if (root / one).is_dir()), root)
        place = hierarchy / inside.lstrip("/")
        places[what] = place if place.is_dir() else hierarchy
    version = 1 if "memory" in listed and (root / "memory").is_dir() else 2
    return Group(listed.get("memory", unified), version, places)


def _below(base: Path) -> Iterator[Path]:
    """Yield the directories below one, to a bounded depth; those that vanish or are closed are passed over."""
    for place, names, _ in os.walk(base, onerror=lambda _: None):
        yield from (Path(place) / name for name in names)
        if len(Path(place).relative_to(base).parts) >= DEEPEST:
            names.clear()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except PermissionError:
        raise SourceForbidden(f"{path} may not be read by this user") from None
    except OSError:
        return None


def _lines(path: Path) -> list[str]:
    return (_text(path) or "").splitlines()


def _words(path: Path) -> list[str]:
    return (_text(path) or "").split()


def _number(path: Path) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _limit(path: Path) -> int | None:
    found = _number(path)  # "max" is no number
    return None if found is None or found >= UNBOUND else found


def _need(path: Path) -> int:
    found = _number(path)
    if found is None:
        raise SourceError(f"no data: the control group {path.parent} is gone, or does not bound this")
    return found


def _table(path: Path, *, optional: bool = False) -> dict[str, int]:
    text = _text(path)
    if text is None and not optional:
        raise SourceError(f"no data: the control group {path.parent} is gone")
    found = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdigit():
            found[name] = int(value)
    return found
