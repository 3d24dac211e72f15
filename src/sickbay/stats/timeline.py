"""The log over time in one pass: per bucket the rows, losses, labels, scores, and per feature the nulls and means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from sickbay.stats import table as t
from sickbay.stats.table import Floats, Table

FINE_UNITS = ((timedelta(days=2), "minute"), (timedelta(days=150), "hour"), (timedelta.max, "day"))
WIDTHS = tuple(
    timedelta(minutes=m) for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2880, 10080, 43200)
)
MOST_BUCKETS = 96
COLUMNS_A_PASS = 150


@dataclass(frozen=True, slots=True)
class Timeline:
    """Sums per bucket, aligned with ``times`` (bucket starts, UTC); a column's sums are under ``column/what``."""

    times: NDArray[np.datetime64]
    width: timedelta
    sums: Mapping[str, Floats]

    def mean(self, what: str, per: str) -> Floats:
        """Return sums[what] / sums[per] per bucket, NaN where nothing was counted."""
        below = self.sums[per]
        empty = np.full(len(below), np.nan)
        return np.asarray(np.divide(self.sums[what], below, out=empty, where=below > 0), dtype=np.float64)

    def moments(self) -> tuple[datetime, ...]:
        """Return the bucket starts as datetimes in UTC (without zone)."""
        return tuple(moment.astype("datetime64[us]").item() for moment in self.times)

    def index(self, moment: datetime) -> int:
        """Return the first bucket that starts at or after ``moment``."""
        return int(np.searchsorted(self.times, np.datetime64(moment, "us")))


def measure(
    table: Table, start: datetime, end: datetime, features: Sequence[str], levels: Mapping[str, str]
) -> Timeline:
    """Read the whole window once (wide tables in several passes over different columns) and return its timeline.

    ``levels`` names, for categorical features, the level whose rows are counted (under ``column/level``).
    """
    unit = next(name for bound, name in FINE_UNITS if end - start <= bound)
    merged: dict[str, Floats] = {}
    times = np.array([], dtype="datetime64[us]")
    parts = [features[i : i + COLUMNS_A_PASS] for i in range(0, len(features), COLUMNS_A_PASS)] or [[]]
    for number, part in enumerate(parts):
        sums = {**(_role_sums(table) if number == 0 else {}), **_feature_sums(table, part, levels)}
        raw = table.query(_select(unit, sums))
        order = np.argsort(raw["bucket"])
        times = raw["bucket"][order].astype("datetime64[us]")
        names = [name for name in raw if name != "bucket"]
        for name, label in zip(names, sums, strict=True):
            merged[label] = np.nan_to_num(np.asarray(raw[name], dtype=np.float64)[order])
    return _widen(times, merged, _width(end - start, merged))


def bucket(unit: str) -> exp.Expression:
    """Return the portable expression for the start of the bucket that a row falls in."""
    return exp.func("DATE_TRUNC", exp.Literal.string(unit), exp.column(t.TIME))


def case(condition: exp.Expression, value: exp.Expression | int = 1) -> exp.Expression:
    """Return SUM(CASE WHEN condition THEN value ELSE 0 END), which every engine renders rightly."""
    body = exp.Case().when(condition, exp.convert(value) if isinstance(value, int) else value).else_(exp.convert(0))
    return exp.Sum(this=body)


def is_null(name: str) -> exp.Expression:
    """Return ``column IS NULL``."""
    return exp.Is(this=exp.column(name, quoted=True), expression=exp.Null())


def _role_sums(table: Table) -> dict[str, exp.Expression]:
    sums: dict[str, exp.Expression] = {"rows": exp.Count(this=exp.Star())}
    for role in (t.LOSS, t.LABEL, t.SCORE, t.PREDICTED, t.LATENCY):
        if role in table.roles:
            sums[f"{role}/count"] = exp.Count(this=exp.column(role))
            if role == t.LOSS or table.kinds.get(role) != "category":
                sums[f"{role}/sum"] = exp.Sum(this=exp.column(role))
    if t.LOSS in table.roles:
        sums[f"{t.LOSS}/squares"] = exp.Sum(this=exp.Mul(this=exp.column(t.LOSS), expression=exp.column(t.LOSS)))
    return sums


def _feature_sums(table: Table, features: Sequence[str], levels: Mapping[str, str]) -> dict[str, exp.Expression]:
    sums: dict[str, exp.Expression] = {}
    for name in features:
        sums[f"{name}/nulls"] = case(is_null(name))
        if table.kinds[name] == "number":
            sums[f"{name}/sum"] = exp.Sum(this=exp.column(name, quoted=True))
            sums[f"{name}/count"] = exp.Count(this=exp.column(name, quoted=True))
        elif name in levels:
            same = exp.EQ(this=exp.column(name, quoted=True), expression=exp.Literal.string(levels[name]))
            sums[f"{name}/level"] = case(same)
    return sums


def _select(unit: str, sums: Mapping[str, exp.Expression]) -> exp.Select:
    start = bucket(unit)
    columns = [exp.alias_(start, "bucket"), *(exp.alias_(s, f"s{i}") for i, s in enumerate(sums.values()))]
    where = exp.Not(this=exp.Is(this=exp.column(t.TIME), expression=exp.Null()))
    return exp.select(*columns).from_(t.ROWS).where(where).group_by(start.copy())


def _width(span: timedelta, sums: Mapping[str, Floats]) -> timedelta:
    """Return the narrowest width with at most 96 buckets and about 40 measured rows in each."""
    measured = float(sums.get(f"{t.LOSS}/count", sums["rows"]).sum())
    most = max(8.0, min(MOST_BUCKETS, measured / 40))
    return next((width for width in WIDTHS if span / width <= most), WIDTHS[-1])


def _widen(times: NDArray[np.datetime64], sums: Mapping[str, Floats], width: timedelta) -> Timeline:
    step = np.timedelta64(int(width.total_seconds() * 1e6), "us")
    if not len(times):
        return Timeline(times, width, sums)
    origin = times[0].astype("datetime64[D]").astype("datetime64[us]") if width >= timedelta(days=1) else times[0]
    position = ((times - origin) // step).astype(int)
    count = int(position.max()) + 1
    starts = origin + np.arange(count) * step
    wide = {n: np.bincount(position, weights=v, minlength=count).astype(np.float64) for n, v in sums.items()}
    return Timeline(starts, width, wide)
