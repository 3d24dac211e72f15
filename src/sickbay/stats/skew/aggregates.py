"""Aggregates of events over windows of time, for features whose definition is looked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew.case import Case, View
from sickbay.stats.skew.pairs import differ
from sickbay.stats.skew.timeline import Timeline
from sickbay.stats.table import Array, Floats

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
WINDOWS = (
    *(MINUTE * k for k in (1, 5, 10, 15, 30)), *(HOUR * k for k in (1, 2, 3, 4, 6, 8, 12)),
    *(DAY * k for k in (1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 21, 28, 30, 31, 60, 90, 180, 365)),
)  # fmt: skip
HOWS = ("sum", "count", "mean", "max", "min")
FITS = 0.6
"""Share of the equal pairs that a definition has to reproduce before it is believed."""


def over(events: Timeline, entity: NDArray[np.int64], start: Floats, end: Floats, how: str, *, closed: bool) -> Floats:
    """Return the aggregate of an entity's events in (start, end], or in [start, end) with ``closed`` false."""
    first = _below(events, entity, start, inclusive=closed)
    last = _below(events, entity, end, inclusive=closed)
    count = (last - first).astype(np.float64)
    if how == "count":
        return count
    if how in ("max", "min"):
        return _extreme(events, first, last, how)
    values = np.nan_to_num(np.asarray(events.value, dtype=np.float64))
    sums = np.concatenate(([0.0], np.cumsum(values)))
    total = sums[last] - sums[first]
    if how == "sum":
        return total
    with np.errstate(all="ignore"):
        return np.where(count > 0, total / count, np.nan)


def best(case: Case, view: View, events: Timeline) -> tuple[str, float] | None:
    """Return the aggregate and the window that reproduce the side taken as the truth, or None."""
    if case.time is None or case.entity is None:
        return None
    rows = np.concatenate((case.rows, case.equal))[:: max(1, (len(case.rows) + len(case.equal)) // 400)]
    truth = (case.offline if view.side == "online" else case.online)[rows]
    good: list[tuple[float, str, float]] = []
    for how in HOWS:
        for length in WINDOWS:
            made = over(events, case.entity[rows], case.time[rows] - length, case.time[rows], how, closed=True)
            share = float(np.mean(same(made, truth, case)))
            if share >= FITS:
                good.append((-share, how, length))
    return (good[0][1], good[0][2]) if (good := sorted(good, key=lambda g: (g[0], HOWS.index(g[1]), g[2]))) else None


def search(case: Case, events: Timeline, how: str) -> Iterator[tuple[float, Floats]]:
    """Yield each window with the aggregate over it, for the mismatching pairs."""
    assert case.time is not None
    assert case.entity is not None
    time, entity = case.time[case.rows], case.entity[case.rows]
    for length in WINDOWS:
        yield length, over(events, entity, time - length, time, how, closed=True)


def same(made: Floats, truth: Array, case: Case) -> NDArray[np.bool_]:
    """Return where an aggregate is the value, sums in another order allowed for; nothing is as good as zero."""
    with np.errstate(invalid="ignore"):
        near = np.abs(made - truth) <= 1e-7 * np.maximum(1.0, np.abs(truth))
    empty = (np.isnan(made) | (made == 0)) & (np.isnan(truth) | (truth == 0))
    return np.asarray(near | empty | ~differ(made, truth, case.tolerance))


def span(seconds: float) -> str:
    """Return a length of time as a short word.

    >>> span(604800.0), span(5400.0), span(11811.0)
    ('7d', '90m', '3.28h')
    """
    if seconds == float("inf"):
        return "any time"
    for size, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= size and abs(seconds / size - round(seconds / size)) < 1e-9:
            return f"{round(seconds / size)}{letter}"
    size, letter = next((pair for pair in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")) if seconds >= 2 * pair[0]), (1, "s"))
    return f"{seconds / size:.3g}{letter}"


def _below(events: Timeline, entity: NDArray[np.int64], time: Floats, *, inclusive: bool) -> NDArray[np.int64]:
    """Return the number of rows, in the timeline's order, up to ``time`` of an entity."""
    return np.asarray(np.searchsorted(events.order, events.code(entity, time), side="right" if inclusive else "left"))


def _extreme(events: Timeline, first: NDArray[np.int64], last: NDArray[np.int64], how: str) -> Floats:
    values = np.append(np.asarray(events.value, dtype=np.float64), np.nan)
    pick = np.maximum if how == "max" else np.minimum
    starts = np.stack((first, np.maximum(first, last)), axis=1).ravel()
    made = pick.reduceat(values, np.minimum(starts, len(values) - 1))[::2] if len(first) else np.array([])
    return np.where(last > first, made, np.nan)
