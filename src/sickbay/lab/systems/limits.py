"""Limits on servers of the lab, by control groups of their own: version 1 as root, version 2 where one is delegated."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from sickbay.lab.systems.processes import LabError

ROOT = Path("/sys/fs/cgroup")
FILES = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "cpu": ("cpu.cfs_quota_us", "cpu.max"),
    "blkio": ("blkio.throttle.read_bps_device", "io.max"),
}
PERIOD = 100_000


def own(controller: str) -> Path | None:
    """Return the directory under which a group with this controller can be made; None where none can."""
    if (ROOT / "cgroup.controllers").exists():
        name = "io" if controller == "blkio" else controller
        here = ROOT / _line("0::").lstrip("/")
        given = (here / "cgroup.subtree_control").read_text(encoding="utf-8") if here.exists() else ""
        return here if name in given.split() and os.access(here, os.W_OK) else None
    place = ROOT / controller
    if (place / FILES[controller][0].partition(".")[0]).exists() or (place / "cgroup.procs").exists():
        return place if os.access(place, os.W_OK) else None
    return None


def _line(start: str) -> str:
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith(start):
            return line[len(start) :]
    return "/"


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of the lab's own with one limit."""

    place: Path
    home: Path

    def add(self, *pids: int) -> None:
        """Put processes into it; what they start later is in it too."""
        for pid in pids:
            _write(self.place / "cgroup.procs", str(pid))

    def limit(self, size: int) -> None:
        """Change the limit of a group of memory, in bytes; what is over it is reclaimed now."""
        new = (ROOT / "cgroup.controllers").exists()
        _write(self.place / FILES["memory"][new], str(size))

    def anonymous(self) -> int:
        """Return the bytes of a group of memory that are no page of a file."""
        for line in (self.place / "memory.stat").read_text(encoding="utf-8").splitlines():
            if line.startswith(("rss ", "anon ")):
                return int(line.split()[1])
        raise LabError(f"{self.place} does not say what its memory is")

    def remove(self) -> None:
        """Let its processes go back to where they were, and remove it."""
        end = time.monotonic() + 10
        while self.place.exists() and time.monotonic() < end:
            for pid in (self.place / "cgroup.procs").read_text(encoding="utf-8").split():
                with contextlib.suppress(LabError):
                    _write(self.home / "cgroup.procs", pid)
            with contextlib.suppress(OSError):
                self.place.rmdir()
                return
            time.sleep(0.05)
        if self.place.exists():
            raise LabError(f"the control group {self.place} cannot be removed")


def cpu(name: str, cores: float) -> Group:
    """Return a group that gets so many cores' worth of time in each tenth of a second."""
    quota = int(cores * PERIOD)
    return _make(name, "cpu", str(quota), f"{quota} {PERIOD}")


def memory(name: str, size: int) -> Group:
    """Return a group whose memory, page cache included, is limited to ``size`` bytes."""
    return _make(name, "memory", str(size), str(size))


def reads(name: str, path: Path, bytes_a_second: int) -> Group:
    """Return a group that reads so much a second from the disk under ``path``."""
    device = path.stat().st_dev
    if not Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").exists():
        raise LabError(f"{path} lies on no disk of this machine, so that reading from it cannot be limited")
    number = f"{os.major(device)}:{os.minor(device)}"
    return _make(name, "blkio", f"{number} {bytes_a_second}", f"{number} rbps={bytes_a_second}")


def _make(name: str, controller: str, first: str, second: str) -> Group:
    home = own(controller)
    if home is None:
        raise LabError(
            f"no control group with {controller} can be made here",
            hint="it takes root, or a delegated group of version 2 (systemd-run --user --scope -p Delegate=yes)",
        )
    place = home / f"sickbay-{name}-{os.getpid()}"
    place.mkdir(exist_ok=True)
    new = (ROOT / "cgroup.controllers").exists()
    _write(place / FILES[controller][new], second if new else first)
    return Group(place, home)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="ascii")
    except OSError as error:
        raise LabError(f"{file} takes no {text!r}: {error.strerror}") from None
