"""Log files of services: their last lines, with the instant of each, read from the end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sickbay.errors import SourceError, SourceForbidden
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context

LARGEST = 2_000_000
"""Bytes read from the end of a file."""
STAMP = re.compile(
    r"(?P<date>\d{4}[-/]\d\d[-/]\d\d)[T ](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d+))?"
    r"(?: ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d))?"
)

CLF = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")
"""The time of the common log format of web servers."""


class _Settings(settings.Settings):
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; ``at`` is its instant, or that of the last line before it that has one (None before the first)."""

    text: str
    at: datetime | None


@source("logs")
class Logs:
    """Reads the end of log files: ``[source.logs] files = { mlflow = "/var/log/mlflow.log" }``.

    Rights: reading the files. At most two megabytes are read from the end of each. Times without a zone are taken as
    this host's.
    """

    def __init__(self, files: Mapping[str, Path], now: datetime) -> None:
        self.files, self.now = files, now

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names log files."""
        return "logs" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; files are opened when they are asked for."""
        given = settings.read(context, "logs", _Settings)
        return cls({name: context.site.base / path for name, path in given.files.items()}, context.now)

    def has(self, name: str) -> bool:
        """Return whether the site names a log for this service."""
        return name in self.files

    def tail(self, name: str, within: timedelta) -> list[Line]:
        """Return the lines of the last while; SourceError when the file cannot be read.

        Lines before the first one that carries a time are left out.
        """
        path = self.files[name]
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - LARGEST))
                text = file.read().decode("utf-8", "replace")
        except PermissionError:
            raise SourceForbidden(f"{path} may not be read by this user") from None
        except OSError as error:
            raise SourceError(f"unreachable: {path}: {error.strerror}") from None
        since = self.now - within
        at: datetime | None = None
        found = []
        for line in text.splitlines():
            at = instant(line) or at
            if at is not None and at >= since:
                found.append(Line(line, at))
        return found

    def check(self) -> list[Check]:
        """Return which files can be read."""
        checks = []
        for name in self.files:
            try:
                lines = self.tail(name, timedelta(days=36_500))
                detail = (
                    f"last line of {lines[-1].at:%Y-%m-%d %H:%M:%SZ}" if lines and lines[-1].at else "no dated line"
                )
                checks.append(Check(f"log {name}", True, detail))
            except SourceError as error:
                checks.append(Check(f"log {name}", False, str(error)))
        return checks

    def close(self) -> None:
        """Nothing is kept open."""


def instant(line: str) -> datetime | None:
    """Return the first instant that stands in a line, in UTC, to the microsecond; None if there is none."""
    found = STAMP.search(line[:200])
    if not found:
        common = CLF.search(line[:200])
        try:
            return datetime.strptime(common[1], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC) if common else None
        except ValueError:
            return None
    try:
        plain = datetime.fromisoformat(f"{found['date'].replace('/', '-')}T{found['time']}")
    except ValueError:
        return None
    plain = plain.replace(microsecond=int(f"{found['part'] or '':0<6}"[:6]))
    zone = found["zone"]
    if zone in ("Z", "UTC"):
        return plain.replace(tzinfo=UTC)
    if zone:
        return datetime.fromisoformat(f"{plain.isoformat()}{zone[:3]}:{zone[-2:]}").astimezone(UTC)
    return plain.astimezone(UTC)
