"""Bounds on a process's memory: by the kernel where a control group may be made, else by watching it.

Version 1 needs root. Version 2 needs a delegated group: root, or a user's session under systemd. Without either the lab
reads the resident memory twenty times a second and kills above the bound; ``kind`` says which it is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
PREFIX = "sickbay-lab-"
ENTER = 'echo $$ > "$0"/cgroup.procs && exec "$@"'


@dataclass(slots=True)
class Bound:
    """A container's bound; ``place`` is its control group, None where it is watched. Bytes."""

    limit: int
    place: Path | None
    version: int
    watched_kills: int = 0
    peak: int = 0

    def entering(self, command: Sequence[str | Path]) -> list[str | Path]:
        """Return a command that runs another within the bound."""
        return list(command) if self.place is None else ["/bin/sh", "-c", ENTER, self.place, *command]

    def kills(self) -> int:
        """Return how often something was killed at the bound."""
        if self.place is None:
            return self.watched_kills
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        with contextlib.suppress(OSError):
            for line in (self.place / name).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def working_set(self, family: Sequence[psutil.Process]) -> int:
        """Return what is used, less the cache that was not used lately."""
        if self.place is None:
            return resident(family)
        names = (
            ("memory.usage_in_bytes", "total_inactive_file")
            if self.version == 1
            else ("memory.current", "inactive_file")
        )
        with contextlib.suppress(OSError):
            used = int((self.place / names[0]).read_text(encoding="ascii"))
            for line in (self.place / "memory.stat").read_text(encoding="ascii").splitlines():
                if line.startswith(names[1] + " "):
                    return max(0, used - int(line.split()[1]))
        return 0

    def watch(self, family: Sequence[psutil.Process]) -> None:
        """Kill the largest process where no kernel does and the bound is passed."""
        if self.place is not None or not family:
            return
        used = resident(family)
        self.peak = max(self.peak, used)
        if used > self.limit:
            self.watched_kills += 1
            with contextlib.suppress(psutil.Error):
                max(family, key=lambda process: resident([process])).kill()

    def remove(self) -> None:
        """Take the group away once it is empty."""
        if self.place is None:
            return
        end = time.monotonic() + 3
        while self.place.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.place.rmdir()
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            self.place.parent.rmdir()


def resident(family: Sequence[psutil.Process]) -> int:
    """Return the resident memory of processes, shared pages counted in each."""
    total = 0
    for process in family:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


@dataclass(slots=True)
class Bounds:
    """Makes bounds; everything it made is below one group, named after this process."""

    base: Path | None
    version: int
    made: list[Bound] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """``cgroup1``, ``cgroup2``, or ``watched``."""
        return f"cgroup{self.version}" if self.base else "watched"

    def make(self, pod: str, container: str, limit: int) -> Bound:
        """Return a bound for a run of a container, in a group named as the kubelet names them."""
        place = None
        if self.base is not None:
            place = self.base / f"pod{pod}" / container
            place.mkdir(parents=True)
            if self.version == 2:
                for level in (self.base, place.parent):
                    (level / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
            name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
            (place / name).write_text(str(limit), encoding="ascii")
            with contextlib.suppress(OSError):  # without swap accounting there is none to be bounded
                (place / "memory.swap.max").write_text("0", encoding="ascii")
        bound = Bound(limit, place, self.version)
        self.made.append(bound)
        return bound

    def close(self) -> None:
        """Take every group away."""
        for bound in self.made:
            bound.remove()
        if self.base is not None:
            with contextlib.suppress(OSError):
                self.base.rmdir()


def available() -> Bounds:
    """Return the best kind of bounds that this user may make here; left-overs of dead labs are taken away."""
    for version, parent in ((1, ROOT / "memory"), *((2, place) for place in _delegated())):
        _sweep(parent)
        base = parent / f"{PREFIX}{os.getpid()}-{time.monotonic_ns() % 10**6}"
        try:
            base.mkdir()
            trial = base / "trial"
            if version == 2:
                (base / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
            trial.mkdir()
            name = "memory.limit_in_bytes" if version == 1 else "memory.max"
            (trial / name).write_text(str(2**30), encoding="ascii")
            trial.rmdir()
            return Bounds(base, version)
        except OSError:
            for place in (base / "trial", base):
                with contextlib.suppress(OSError):
                    place.rmdir()
    return Bounds(None, 0)


def _delegated() -> list[Path]:
    """Return the groups of version 2, from this process's upwards, in which memory may be handed on."""
    own = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
            if line.startswith("0::"):
                own = line[3:].strip("/")
    found, place = [], ROOT / own
    while place.is_relative_to(ROOT):
        with contextlib.suppress(OSError):
            handed = (place / "cgroup.subtree_control").read_text(encoding="ascii").split()
            if "memory" in handed and os.access(place / "cgroup.procs", os.W_OK):
                found.append(place)
        place = place.parent
    return found


def _sweep(parent: Path) -> None:
    """Take away the empty groups of labs whose process is gone."""
    for base in parent.glob(f"{PREFIX}*"):
        owner = base.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            for place in sorted(base.glob("**/"), key=lambda path: -len(path.parts)):
                with contextlib.suppress(OSError):
                    place.rmdir()
