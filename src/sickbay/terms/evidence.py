"""The shapes that evidence comes in, so that any report can draw any probe's evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Numbers:
    """A few named numbers, for example ``{"before": 0.95, "after": 0.78}``; None where it is not known."""

    values: dict[str, float | int | str | None]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A small table: one heading per column, one tuple per row; at most a few dozen rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a time plot: values (None is a gap) with optional 95 % bounds, aligned with the times."""

    name: str
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """A time plot: bucket starts in UTC, one or more lines, and marked instants such as an onset or a release."""

    times: tuple[datetime, ...]
    lines: tuple[Line, ...]
    unit: str = ""
    title: str = ""
    marks: tuple[tuple[datetime, str], ...] = ()
    band: tuple[datetime, datetime] | None = None
    """Interval to shade, for example where an onset lies with 90 % probability."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Two distributions over the same bins: shares of rows (each side sums to about 1) per labelled bin."""

    labels: tuple[str, ...]
    baseline: tuple[float, ...]
    current: tuple[float, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class LogLines:
    """Lines of a log as they stood there, secrets removed."""

    lines: tuple[str, ...]
    title: str = ""


Exhibit = Numbers | Rows | Series | Distribution | LogLines


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a finding rests on: flat numbers for scripts, and exhibits for people."""

    numbers: dict[str, Any] = field(default_factory=dict)
    exhibits: Sequence[Exhibit] = ()
