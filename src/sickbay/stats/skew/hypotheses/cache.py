"""A right value of some time ago, from nothing up to a limit: a cache with a time to live."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew import lags
from sickbay.stats.skew.aggregates import span
from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Array


@hypothesis(
    "cache",
    kinds=("number", "boolean", "time", "text"),
    fix="Shorten the time to live below the feature's update interval, or drop the entry when the feature is written.",
    told_by="the age of each served value, or two readings within the time to live",
    timing=True,
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the shortest time to live that nearly all altered values are younger than."""
    for view, seen in lags.looks(case, lags.back):
        low, _ = seen.bounds()
        known = low[np.isfinite(low)]
        if len(known) < max(8, len(case.rows) // 25):
            continue
        for part in (0.9, 0.98, 1.0):
            limit = max(1.0, _limit(float(np.quantile(known, part)), len(known)))
            inside = seen.match & (seen.low <= limit)
            reach = (seen.low <= limit).sum(axis=0)
            each = np.log2(1.0 + np.maximum(1, reach))
            at = np.maximum(inside.argmax(axis=0), 0)
            # the nearest row that holds the value stands for all that are young enough
            made = _taken(seen, at, np.asarray(inside.any(axis=0)))
            candidates = [made]
            for k in range(1, min(4, len(seen.low))):
                young = seen.low[k] <= limit
                candidates.append(_taken(seen, np.full(len(at), k), young))
            age, wrong, weight = lags.changed(case, seen.timeline)
            shape = lags.shape_bits(age, wrong, weight, np.clip(1 - age / limit, 0, 1))
            parameters = {"time_to_live_seconds": limit}
            says = f"the {view.side} value is up to {span(limit)} old, without one age"
            missing_too = bool(np.mean(inside.any(axis=0)) > 0.2)
            yield Fit(
                view.side, parameters, candidates, 14.0, each, mask_bits=shape, says_missing=missing_too, says=says
            )


def _limit(greatest: float, count: int) -> float:
    """Return the round length of time just above the greatest age seen, or a little more than that age."""
    above = [known for known in lags.ROUND if greatest <= known <= greatest * 1.25]
    return min(above) if above else greatest * (1 + 1 / max(count, 1))


def _taken(seen: lags.Lags, steps: NDArray[np.int64], where: Array) -> Array:
    """Return the value some rows back, missing elsewhere."""
    place = seen.place.copy()
    for k in range(int(steps.max(initial=0)) + 1):
        place = np.where(k <= steps, seen.timeline.step(place, -1), place)
    made = seen.timeline.take(place)
    made[~where] = np.nan if made.dtype.kind == "f" else "\0"
    return made
