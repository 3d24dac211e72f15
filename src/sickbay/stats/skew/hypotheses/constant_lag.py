"""A right value of a fixed time ago: replication that lags."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew import lags
from sickbay.stats.skew.aggregates import span
from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis


@hypothesis(
    "constant-lag",
    kinds=("number", "boolean", "time", "text"),
    fix="Read from the primary, or alert on the replica's lag; serve with the timestamp of the value.",
    told_by="readings of the same entities at several moments: a lag moves with the clock",
    timing=True,
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the lag at which most altered values were current, and round lags."""
    for view, seen in lags.looks(case, lags.back):
        low, high = seen.bounds()
        start, end, count = lags.stab(low, high)
        if count < max(4, len(case.rows) // 25):
            continue
        lag = lags.rounded(start, end)
        made = seen.timeline.at(seen.entity, seen.time - lag)
        fitted = case.hits(made, view.target, view.source, says_missing=True)
        age, wrong, weight = lags.changed(case, seen.timeline)
        shape = lags.shape_bits(age, wrong, weight, (age < lag).astype(float)) if fitted.mean() > 0.3 else 0.0
        says = f"the {view.side} value is the one of {span(lag)} before (between {span(start)} and {span(end)})"
        if not np.isfinite(end):
            says = f"the {view.side} value is the one of at least {span(start)} before"
        parameters = {"lag_seconds": lag, "between_seconds": [start, end if np.isfinite(end) else None]}
        moved = lags.changes(case, partial(lags.shifted, seen.timeline, by=-lag))
        yield Fit(
            view.side, parameters, [made], 14.0, mask_bits=shape, says_missing=bool(np.mean(fitted) > 0.2), says=says,
            changes=moved,
        )  # fmt: skip
