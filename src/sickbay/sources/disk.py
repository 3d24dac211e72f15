"""A disk timed by a few reads past the cache of files that the site names: small ones apart, then some in a row.

Nothing is written, and nothing is put into or thrown out of the cache that the service uses (O_DIRECT, Linux).
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field

from sickbay.errors import SiteFileError, SourceError, SourceForbidden
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context

SMALL, LARGE, MOST_SMALL = 4096, 131072, 64
"""Bytes of a small read and of one in a row, and how many small ones there are at most."""
SMALLEST_FILE = 1_000_000


class _Settings(settings.Settings):
    allow: bool = False
    files: Mapping[str, str] = {}
    most_megabytes: float = Field(default=8.0, gt=0, le=64)
    most_seconds: float = Field(default=2.0, gt=0, le=10)


@dataclass(frozen=True, slots=True)
class Reads:
    """What reading one file past the cache took: seconds of each small read, and bytes a second in a row."""

    name: str
    small: tuple[float, ...]
    row_bytes: int
    row_seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second in a row."""
        return self.row_bytes / max(self.row_seconds, 1e-9)


@source("disk")
class Disk:
    """Times a few reads of named files past the cache: ``[source.disk] allow = true``, ``files = { model = "…" }``.

    Rights: reading the files. In all at most ``most_megabytes`` (8) and ``most_seconds`` (2) are spent on each file; a
    single read that hangs is not ended by that. Without ``allow = true`` nothing is read. Nothing is written.
    """

    def __init__(self, given: _Settings, base: Path, baseline: Mapping[str, float], seed: float) -> None:
        self._given, self.baseline, self._seed = given, baseline, seed
        self.files = {name: base / path for name, path in given.files.items()}

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names files to time a disk by."""
        return "disk" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; SourceForbidden unless the site allows it, SiteFileError when it names no file."""
        given = settings.read(context, "disk", _Settings)
        if not given.allow:
            raise SourceForbidden("timing reads from the disk is not allowed: [source.disk] allow = true allows it")
        if not given.files:
            raise SiteFileError(
                f"{context.site.file}: [source.disk] names no files", hint='files = { model = "model.joblib" }'
            )
        return cls(given, context.site.base, read_baseline(context, "disk"), context.now.timestamp())

    def reads(self, name: str) -> Reads:
        """Read parts of one of the files, for half of the bounds apart and for half in a row.

        SourceError when it is not there, too small, or its file system has no reads past the cache; SourceForbidden
        when this user may not read it.
        """
        path = self.files[name]
        handle = self._open(path)
        try:
            size = os.fstat(handle).st_size
            if size < SMALLEST_FILE:
                raise SourceError(f"not applicable: {path} is below 1 MB: name a larger file")
            return self._timed(name, handle, size)
        except OSError as error:
            raise _said(path, error) from None
        finally:
            os.close(handle)

    def _open(self, path: Path) -> int:
        direct = getattr(os, "O_DIRECT", None)
        if direct is None:
            raise SourceError("not applicable: reads past the cache are timed on Linux alone")
        try:
            return os.open(path, os.O_RDONLY | direct)
        except OSError as error:
            raise _said(path, error) from None

    def _timed(self, name: str, handle: int, size: int) -> Reads:
        chosen = random.Random(self._seed)  # other places than the last look took, which may lie in a cache below
        seconds, most = self._given.most_seconds / 2, self._given.most_megabytes * 1e6 / 2
        small: list[float] = []
        with mmap.mmap(-1, LARGE) as buffer, memoryview(buffer) as view:
            end = time.monotonic() + seconds
            while len(small) < min(MOST_SMALL, most / SMALL) and time.monotonic() < end:
                began = time.perf_counter()
                os.preadv(handle, [view[:SMALL]], chosen.randrange(size // SMALL) * SMALL)
                small.append(time.perf_counter() - began)
            place, taken, began = chosen.randrange(max(1, (size - int(most)) // SMALL)) * SMALL, 0, time.perf_counter()
            while taken < most and time.perf_counter() < began + seconds:
                got = os.preadv(handle, [view], place + taken)
                taken += got
                if got < LARGE:
                    break
            took = time.perf_counter() - began
        return Reads(name, tuple(small), taken, took)

    def check(self) -> list[Check]:
        """Return how fast each file is read."""
        checks = []
        for name in self.files:
            try:
                seen = self.reads(name)
                says = f"{sorted(seen.small)[len(seen.small) // 2] * 1000:.2f} ms, {seen.rate / 1e6:.0f} MB/s"
                checks.append(Check(f"disk of {name}", True, says))
            except SourceError as error:
                checks.append(Check(f"disk of {name}", False, str(error)))
        return checks

    def close(self) -> None:
        """Nothing is kept open."""


def _said(path: Path, error: OSError) -> SourceError:
    if isinstance(error, PermissionError):
        return SourceForbidden(f"{path} may not be read by this user")
    if error.errno == errno.EINVAL:
        return SourceError(f"not applicable: the file system of {path} has no reads past its cache")
    return SourceError(f"unreachable: {path}: {error.strerror}")
