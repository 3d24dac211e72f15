"""This host: its processes and the room on its disks."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import psutil

from sickbay.errors import SourceError
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context

STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


class _Settings(settings.Settings):
    paths: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this host; ``age`` in seconds."""

    pid: int
    age: float
    stopped: bool
    command: str


@dataclass(frozen=True, slots=True)
class Room:
    """Room on the file system of a path, in bytes; ``inodes`` is the share of file entries left, NaN if unlimited."""

    path: Path
    total: int
    free: int
    inodes: float


@dataclass(frozen=True, slots=True)
class Volume:
    """A path of the site as a place to write: what mount and mode tell without a write."""

    name: str
    path: Path
    state: Literal["ok", "read-only", "missing", "broken", "hidden"]
    detail: str = ""


def processes(*parts: str) -> list[Process]:
    """Return the processes of this host whose command line holds every part, but for sickbay's own."""
    now, found = time.time(), []
    for process in psutil.process_iter(["pid", "cmdline", "create_time", "status"]):
        command = " ".join(process.info["cmdline"] or [])
        if not all(part in command for part in parts) or process.info["pid"] == os.getpid():
            continue
        if "keeper.py" in command or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        age = max(0.0, now - process.info["create_time"])
        found.append(Process(process.info["pid"], age, process.info["status"] in STOPPED, command))
    return found


@source("host")
class Host:
    """Reads the processes and disks of the host that sickbay runs on: ``[source.host]``.

    Rights: those of the user it runs as; command lines of other users' processes may be hidden.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = paths

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site says that its services run here."""
        return "host" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader."""
        given = settings.read(context, "host", _Settings)
        return cls({name: context.site.base / path for name, path in given.paths.items()})

    def room(self) -> list[Room]:
        """Return the room on the file system of each path of the site; SourceError when one is not there."""
        found = []
        for name, path in self.paths.items():
            try:
                given = os.statvfs(path)
            except OSError as error:
                raise SourceError(f"unreachable: host path {name}, {path}: {error.strerror}") from None
            inodes = given.f_favail / given.f_files if given.f_files else float("nan")
            found.append(Room(path, given.f_frsize * given.f_blocks, given.f_frsize * given.f_bavail, inodes))
        return found

    def volumes(self) -> list[Volume]:
        """Return for each path of the site whether it can be written by somebody; nothing is written."""
        return [_volume(name, path) for name, path in self.paths.items()]

    def check(self) -> list[Check]:
        """Return that processes can be listed, and whether the paths are there."""
        checks = [Check("host processes", True, f"{len(psutil.pids())} processes")]
        for name, path in self.paths.items():
            checks.append(Check(f"host path {name}", path.exists(), str(path)))
        return checks

    def close(self) -> None:
        """Nothing is kept open."""


def _volume(name: str, path: Path) -> Volume:
    try:
        mode = path.stat().st_mode
        given = os.statvfs(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return Volume(name, path, "missing", error.strerror or "")
        return Volume(name, path, "hidden" if error.errno == errno.EACCES else "broken", error.strerror or "")
    if given.f_flag & os.ST_RDONLY:
        return Volume(name, path, "read-only", "mounted read-only")
    if not mode & 0o222:
        return Volume(name, path, "read-only", "nobody may write, by its mode")
    return Volume(name, path, "ok")
