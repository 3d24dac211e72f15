"""A value that came only later: the future leaked in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew import lags
from sickbay.stats.skew.aggregates import DAY, HOUR, span
from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis


@hypothesis(
    "future-value",
    kinds=("number", "boolean", "time", "text"),
    fix="Join by the time of the event: the last value at or before it, never the latest.",
    told_by="which row each value was joined from: its own timestamp",
    timing=True,
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose a fixed time ahead, the next value, the latest one, and the one at the end of the hour or day."""
    for view, seen in lags.looks(case, lags.ahead):
        low, high = seen.bounds()
        line, side = seen.timeline, view.side
        newest = line.take(line.last(seen.entity))
        yield Fit(side, {"which": "the latest"}, [newest], 4.0, says=f"the {side} value is the entity's latest one")
        after = line.take(np.where(seen.place >= 0, line.step(seen.place, 1), -1))
        yield Fit(
            side, {"which": "the next"}, [after], 5.0, says=f"the {side} value is the next one, not yet known then"
        )
        for size, word in ((HOUR, "hour"), (DAY, "day")):
            end = np.ceil((seen.time + 1e-3) / size) * size - 1e-3
            made = line.at(seen.entity, end)
            says = f"the {side} value is the one at the end of the {word}"
            yield Fit(side, {"which": f"end of the {word}"}, [made], 7.0, says=says)
        start, stop, count = lags.stab(low, high)
        if count >= max(4, len(case.rows) // 25):
            lead = lags.rounded(start, stop)
            made = line.at(seen.entity, seen.time + lead)
            says = f"the {side} value is the one of {span(lead)} later"
            parameters = {"ahead_seconds": lead, "between_seconds": [start, stop if np.isfinite(stop) else None]}
            moved = lags.changes(case, partial(lags.shifted, line, by=lead))
            yield Fit(side, parameters, [made], 14.0, says=says, changes=moved)
