"""Stacks of a running Python process, taken by py-spy from outside: few, slowly, and only where the site allows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import process, settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context

MOST_A_SECOND, MOST = 4.0, 60
"""Bounds of the rate and of the stacks of one investigation: a stack stops the process for a moment."""


class _Settings(settings.Settings):
    allow: bool = False
    pid_file: str = ""
    match: str = ""
    port: int | None = None
    a_second: float = 3.0


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread at an instant: ``frames`` from the innermost out, as ``function (file:line)``."""

    name: str
    main: bool
    active: bool
    holds_gil: bool
    frames: tuple[str, ...]


@source("profile")
class Profile:
    """Takes stacks of a running Python process with py-spy: ``[source.profile] allow = true`` and which process.

    Rights: root, or the process's own user where ptrace lets it. Each stack stops the process for milliseconds; at most
    four a second and sixty in all. Without ``allow = true`` nothing is taken.
    """

    def __init__(self, given: _Settings, reader: process.Process, baseline: Mapping[str, float]) -> None:
        self._given, self._reader, self.baseline = given, reader, baseline
        self._lock, self._taken = threading.Lock(), 0

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a process to profile."""
        return "profile" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a sampler; SourceForbidden unless the site allows it, SiteFileError where py-spy is not there."""
        given = settings.read(context, "profile", _Settings)
        if not given.allow:
            raise SourceForbidden("live profiling is not allowed: [source.profile] allow = true allows it")
        if not (given.pid_file or given.match or given.port):
            raise SiteFileError(
                f"{context.site.file}: [source.profile] does not say which process", hint='pid_file = "server.pid"'
            )
        if _program() is None:
            raise SiteFileError("[source.profile] needs py-spy", hint='pip install "sickbay[py-spy]"')
        which = process._Settings(pid_file=given.pid_file, match=given.match, port=given.port)
        return cls(given, process.Process(which, context.site.base, {}), read_baseline(context, "profile"))

    def stacks(self, count: int) -> list[list[Thread]]:
        """Return the threads of the process at so many instants, at the rate that the site allows.

        Raises SourceForbidden when the process may not be looked into, SourceError when no stack came at all.
        """
        pause = 1 / min(MOST_A_SECOND, max(0.1, self._given.a_second))
        found: list[list[Thread]] = []
        failed: SourceError | None = None
        with self._lock:
            for turn in range(min(count, MOST - self._taken)):
                began = time.monotonic()
                self._taken += 1
                try:
                    serving = self._reader.workers()  # of several, each in its turn
                    found.append(_dump(serving[turn % len(serving)]))
                except SourceForbidden:
                    raise
                except SourceError as error:  # without stopping it, a few dumps come to nothing
                    failed = error
                time.sleep(max(0.0, pause - (time.monotonic() - began)))
        if not found:
            raise failed or SourceError("no data: the bound of stacks of one investigation is reached")
        return found

    def check(self) -> list[Check]:
        """Return whether one stack can be taken."""
        try:
            threads = self.stacks(1)[0]
        except SourceError as error:
            return [Check("profile", False, str(error))]
        return [Check("profile", True, f"{len(threads)} threads")]

    def close(self) -> None:
        """Nothing is kept open."""


def _program() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _dump(pid: int) -> list[Thread]:
    command = [str(_program()), "dump", "--nonblocking", "--json", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        raise SourceTimeout("py-spy did not end within 5 s") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        if "ermission" in said or "EPERM" in said or "not permitted" in said:
            raise SourceForbidden(f"py-spy may not look into process {pid}: root or the right to ptrace is needed")
        raise SourceError(f"unreachable: py-spy: {said}")
    try:
        return [_thread(entry, pid) for entry in json.loads(done.stdout)]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceGarbled(f"what py-spy says cannot be read: {error}") from None


def _thread(entry: Mapping[str, Any], pid: int) -> Thread:
    frames = tuple(
        f"{frame['name']} ({frame.get('short_filename') or frame['filename']}:{frame['line']})"
        for frame in entry["frames"]
    )
    name = str(entry.get("thread_name") or "")
    main = entry.get("os_thread_id") == pid or name == "MainThread"
    return Thread(name, main, bool(entry["active"]), bool(entry.get("owns_gil")), frames)
