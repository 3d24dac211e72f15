"""Windows of a stream against a reference profile: per column a test every so many rows, and an alarm with a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sickbay.monitor.sketches import Numbers, Words
from sickbay.stats.alarm import Alarm, Rule, same_distribution
from sickbay.stats.bins import NumberBins
from sickbay.stats.drift import enough, jensen_shannon
from sickbay.stats.profile import Column, Profile
from sickbay.stats.table import Floats

PRACTICAL_MISSING = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm raised or cleared: which column, after how many rows of the stream, on what evidence.

    ``distance`` is the Jensen–Shannon distance of the window from the reference, less what sampling alone gives;
    ``missing`` the rise of the share of missing values.
    """

    column: str
    what: str
    rows: int
    distance: float
    missing: float
    p_value: float


class WindowDetector:
    """Counts a stream into the reference's bins and looks at every ``window`` rows."""

    def __init__(
        self, reference: Profile, names: Sequence[str] | None, window: int, rule: Rule, practical: float
    ) -> None:
        self.window, self.practical = window, practical
        self.rows = self.seen = 0
        columns = [reference.columns[n] for n in (names or reference.columns) if n in reference.columns]
        self.columns = {c.name: _Followed.of(c, window) for c in columns if c.counts.sum() > 0}
        # every column is looked at twice a window: its values, and how many are missing
        self.rule = replace(rule, series=max(1, 2 * len(self.columns)))
        self.alarms = {name: Alarm(self.rule) for name in self.columns}

    @property
    def raised(self) -> tuple[str, ...]:
        """Columns whose alarm is raised now."""
        return tuple(name for name, alarm in self.alarms.items() if alarm.raised)

    def update(self, batch: Mapping[str, Numbers | Words], count: int) -> list[Change]:
        """Count a batch; return what changed. A batch is not split: a window ends with the batch that fills it."""
        for name, followed in self.columns.items():
            if name in batch:
                followed.count(batch[name])
        self.rows += count
        self.seen += count
        if self.rows < self.window:
            return []
        self.rows = 0
        return [change for name in self.columns if (change := self._look(name)) is not None]

    def _look(self, name: str) -> Change | None:
        followed, alarm = self.columns[name], self.alarms[name]
        p_value, distance, missing = followed.look()
        large = distance > self.practical or missing > PRACTICAL_MISSING
        step = alarm.step(p_value, large=large)
        return Change(name, step, self.seen, distance, missing, p_value) if step else None


@dataclass(slots=True)
class _Followed:
    """One column: the reference's counts in merged bins, and the window's."""

    column: Column
    merged: Floats
    reference: Floats
    counts: Floats
    missing: float = 0.0
    rows: float = 0.0
    first: float = 0.0
    scale: float = 0.0
    last: int = 0
    lookup: Floats | None = None
    places: Mapping[str, int] | None = None

    @classmethod
    def of(cls, column: Column, window: int) -> _Followed:
        shares = column.shares * window
        merged = enough(column.counts, shares, ordered=column.kind == "number")
        made = cls(column, merged, column.counts @ merged, np.zeros(len(column.counts)))
        bins = column.bins
        if isinstance(bins, NumberBins):
            if bins.step:
                made.scale, made.first = 1.0 / bins.step, float(bins.edges[0]) / bins.step
                made.last = round(float(bins.edges[-1]) / bins.step - made.first) + 1
                made.counts = np.zeros(made.last + 1)
        else:
            made.places = {level: i for i, level in enumerate(bins.levels)}
        return made

    def count(self, batch: Numbers | Words) -> None:
        if isinstance(batch, Numbers):
            self.rows += len(batch.values) + batch.nans + batch.infinite
            self.missing += batch.nans
            if isinstance(self.column.bins, NumberBins):
                self._numbers(batch.values, self.column.bins)
        elif self.places is not None:
            self.rows += sum(batch.counts.values()) + batch.nulls
            self.missing += batch.nulls
            other = len(self.counts) - 1
            for text, count in batch.counts.items():
                self.counts[self.places.get(text, other)] += count

    def _numbers(self, values: Any, bins: NumberBins) -> None:
        if not bins.step:
            placed = np.searchsorted(bins.edges, values, side="left")
        else:
            cells = np.ceil(values * self.scale)
            cells -= self.first
            np.clip(cells, 0, self.last, out=cells)
            placed = cells.astype(np.intp)
        self.counts += np.bincount(placed, minlength=len(self.counts))

    def look(self) -> tuple[float, float, float]:
        """Return p-value, distance and rise of missing values of the window, and begin the next one."""
        counts = self.counts
        if isinstance(self.column.bins, NumberBins) and self.column.bins.step:
            places = self.column.bins.place(np.arange(len(counts)))
            counts = np.bincount(places, weights=counts, minlength=self.column.bins.size).astype(np.float64)
        window = counts @ self.merged
        n, m = self.reference.sum(), window.sum()
        p_value, distance = math.nan, 0.0
        if m > 0:
            p_value = same_distribution(self.reference, window)
            chance = (len(window) - 1) * (1 / n + 1 / m) / (8 * math.log(2))
            distance = math.sqrt(max(0.0, jensen_shannon(self.reference / n, window / m) - chance))
        rise = 0.0
        if self.rows:
            before = self.column.nulls + self.column.nans
            rise = self.missing / self.rows - before / self.column.rows
            parts = np.array([before, self.column.rows - before]), np.array([self.missing, self.rows - self.missing])
            p_missing = same_distribution(*parts) if rise > PRACTICAL_MISSING else math.nan
            p_value = float(np.fmin(p_value, p_missing))
        self.counts = np.zeros(len(self.counts))
        self.rows = self.missing = 0.0
        return p_value, distance, rise
