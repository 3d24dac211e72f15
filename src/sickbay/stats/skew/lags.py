"""Which earlier or later value of its entity each altered value is, and what that says of the time in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew.case import Case, View
from sickbay.stats.skew.pairs import differ
from sickbay.stats.skew.timeline import Timeline
from sickbay.stats.table import Array, Floats

STEPS = 64
"""Rows of history looked at on either side of the moment of a pair."""
_HOURS = (2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 18, 20)
_DAYS = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 28, 30)
ROUND = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0), *(60.0 * m for m in (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90)),
    *(3600.0 * h for h in _HOURS), *(86400.0 * d for d in _DAYS),
)  # fmt: skip
"""Lengths of time that people choose, in seconds."""


@dataclass(frozen=True, slots=True)
class Lags:
    """For every mismatching pair: whether the value k rows back (or ahead) is the altered one, and since when it held.

    ``match[k]``: the value k + 1 rows back is the altered one. ``low[k]``, ``high[k]``: how long before the pair's time
    it was current, in seconds: the least and the greatest lag that gives it. ``age``: seconds since the current value.
    """

    timeline: Timeline
    entity: NDArray[np.int64]
    time: Floats
    place: NDArray[np.int64]
    match: NDArray[np.bool_]
    low: Array
    high: Array
    age: Floats

    @property
    def any(self) -> NDArray[np.bool_]:
        """Where some row in reach holds the altered value."""
        return np.asarray(self.match.any(axis=0))

    @property
    def nearest(self) -> NDArray[np.int64]:
        """Which row in reach is the nearest that holds the value (0: the one before the current), −1 for none."""
        return np.where(self.any, self.match.argmax(axis=0), -1)

    def bounds(self) -> tuple[Floats, Floats]:
        """Return the least and greatest lag of the nearest match, NaN where there is none."""
        at = np.maximum(self.nearest, 0)
        columns = np.arange(self.match.shape[1])
        known = self.any
        low = np.where(known, self.low[at, columns], np.nan)
        return low, np.where(known, self.high[at, columns], np.nan)


def usable(case: Case) -> bool:
    """Return whether there is a history, and entities and times to look it up with."""
    return case.timeline is not None and case.entity is not None and case.time is not None and len(case.rows) > 0


def changes(case: Case, at: Callable[[NDArray[np.int64], Floats], Array]) -> NDArray[np.bool_] | None:
    """Return which equal pairs a rule of time would have changed; only for truth values, which differ in one way.

    ``at``: the value that the rule gives for entities and times.
    """
    if case.kind != "boolean" or case.timeline is None or case.entity is None or case.time is None:
        return None
    entity, time = case.entity[case.equal], case.time[case.equal]
    return _differ(at(entity, time), case.timeline.at(entity, time), case)


def shifted(line: Timeline, entity: NDArray[np.int64], time: Floats, *, by: float) -> Array:
    """Return the values of so many seconds later, earlier for a negative number."""
    return line.at(entity, time + by)


def frozen(line: Timeline, entity: NDArray[np.int64], time: Floats, *, since: float) -> Array:
    """Return the values as they were when updates stopped."""
    return line.at(entity, np.minimum(time, since))


TRUTHFUL = 0.3
"""Share of the mismatching pairs whose other side the history has to hold, before it is asked about this side."""


def looks(case: Case, look: Callable[[Case, View], Lags]) -> Iterator[tuple[View, Lags]]:
    """Yield each side whose counterpart is what the history says, with the other moments that its values may be of.

    ``look``: ``back`` or ``ahead``. Nothing without a history, entities and times.
    """
    if not usable(case):
        return
    for view in case.views():
        if truthful(case, view) >= TRUTHFUL:
            yield view, look(case, view)


def truthful(case: Case, view: View) -> float:
    """Return the share of the mismatching pairs whose other side is what the history says for their time."""
    if not usable(case):
        return 0.0
    assert case.timeline is not None
    assert case.entity is not None
    assert case.time is not None
    held = case.timeline.at(case.entity[case.rows], case.time[case.rows])
    return float(np.mean(case.hits(held, view.source, view.target, says_missing=True)))


def back(case: Case, view: View) -> Lags:
    """Return the earlier values that the altered side may be."""
    return _look(case, view, -1)


def ahead(case: Case, view: View) -> Lags:
    """Return the later values that the altered side may be; lags are how long after the pair's time they came."""
    return _look(case, view, 1)


def _look(case: Case, view: View, way: int) -> Lags:
    line, entity, time = case.timeline, case.entity, case.time
    assert line is not None
    assert entity is not None
    assert time is not None
    entity, time = entity[case.rows], time[case.rows]
    place = line.position(entity, time)
    match, lows, highs = [], [], []
    # the first value of an entity has nothing before it: one step back from it is "missing"
    current, nobody = place, place < 0
    for _ in range(STEPS):
        moved = line.step(current, way) if way < 0 or not nobody.any() else _first_ahead(line, entity, time, current)
        nobody = np.zeros(len(place), dtype=bool)
        value = line.take(moved)
        hit = case.hits(value, view.target, view.source, says_missing=way < 0) & (current >= (0 if way < 0 else -1))
        hit &= (moved >= 0) | (way < 0)
        if way < 0:
            lows.append(time - line.when(current))
            highs.append(np.where(moved >= 0, time - line.when(moved), np.inf))
        else:
            later = line.step(moved, 1)
            lows.append(line.when(moved) - time)
            highs.append(np.where(later >= 0, line.when(later) - time, np.inf))
        match.append(hit)
        current = moved
        if not np.any(moved >= 0):
            break
    age = time - line.when(place)
    return Lags(line, entity, time, place, np.array(match), np.array(lows), np.array(highs), age)


def _first_ahead(
    line: Timeline, entity: NDArray[np.int64], time: Floats, current: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the row after ``current``; for an entity without a current row, its first row."""
    ahead = line.step(current, 1)
    if not len(line.order):
        return ahead
    first = np.searchsorted(line.order, line.first_code(entity))
    safe = np.minimum(first, len(line.order) - 1)
    there = (current < 0) & (line.entity[safe] == entity) & (line.time[safe] > time)
    return np.where(there, safe, ahead)


def stab(low: Floats, high: Floats) -> tuple[float, float, int]:
    """Return the stretch that lies in most of the intervals (low, high], and in how many.

    One sweep over the ends, sorted; the stretch is where the count is greatest, the widest of equal ones.
    """
    good = np.isfinite(low) & (high > low)
    starts, ends = np.sort(low[good]), np.sort(high[good])
    if not len(starts):
        return np.nan, np.nan, 0
    points = np.concatenate((starts, ends))
    change = np.concatenate((np.ones(len(starts)), -np.ones(len(ends))))
    order = np.lexsort((change, points))
    points, count = points[order], np.cumsum(change[order])
    top = int(count.max())
    at = np.flatnonzero(count[:-1] == top) if len(count) > 1 else np.array([0])
    width = np.where(np.isfinite(points[at + 1]), points[at + 1], points[at] * 2 + 1) - points[at]
    one = at[int(np.argmax(width))]
    return float(points[one]), float(points[one + 1]), top


def rounded(low: float, high: float) -> float:
    """Return the roundest length of time in (low, high]; the middle when none is there."""
    inside = [known for known in ROUND if low < known <= high + 0.5]
    if inside:
        return max(inside, key=lambda s: (s % 86400 == 0, s % 3600 == 0, s % 60 == 0, -s))
    high = high if np.isfinite(high) else low * 1.5 + 1
    return (low + high) / 2


def changed(case: Case, line: Timeline) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Return age, mismatch and weight of the sampled pairs whose last update changed the value.

    Weights make the sample's share of mismatches that of the whole tables.
    """
    assert case.entity is not None
    assert case.time is not None
    rows = np.concatenate((case.rows, case.equal))
    wrong = np.arange(len(rows)) < len(case.rows)
    place = line.position(case.entity[rows], case.time[rows])
    before = line.step(place, -1)
    now, then = line.take(place), line.take(before)
    moved = (place >= 0) & np.asarray(case.hits(now, now, now)) & _differ(now, then, case)
    age = case.time[rows] - line.when(place)
    share = min(max(case.share, 1e-6), 1 - 1e-6)
    each = np.where(wrong, share / max(1, len(case.rows)), (1 - share) / max(1, len(case.equal)))
    weight = each / each.sum() * len(rows)
    return age[moved], wrong[moved], weight[moved]


def _differ(first: Array, second: Array, case: Case) -> NDArray[np.bool_]:
    return differ(first, second, case.tolerance)


def shape_bits(age: Floats, wrong: NDArray[np.bool_], weight: Floats, chance: Floats) -> float:
    """Return bits saved in saying which pairs mismatch when the chance of it has the shape ``chance`` (0…1) over age.

    The height of the shape is fitted; the rest of the mismatches is a constant beside it. Against one constant chance.
    """
    if len(age) < 50 or not wrong.any() or wrong.all():
        return 0.0
    plain = _bits(wrong, weight, np.full(len(age), float(np.sum(weight * wrong) / weight.sum())))
    best = plain
    for height in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95):
        for floor in (0.002, 0.02, 0.08):
            best = min(best, _bits(wrong, weight, np.clip(height * chance + floor, 1e-4, 1 - 1e-4)))
    return plain - best


def _bits(wrong: NDArray[np.bool_], weight: Floats, chance: Floats) -> float:
    return float(-np.sum(weight * np.log2(np.where(wrong, chance, 1 - chance))))
