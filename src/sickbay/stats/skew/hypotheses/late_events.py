"""The last rows had not arrived yet: a right value without the newest update."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew import lags
from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.skew.timeline import Timeline
from sickbay.stats.table import Array, Floats


@hypothesis(
    "late-events",
    kinds=("number", "boolean", "time", "text"),
    fix="Wait for late rows (a watermark), or compute again the windows that they fall into; keep the arrival time.",
    told_by="when each row arrived (created timestamps in the history)",
    timing=True,
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the value that had arrived by then, where arrival is known, and the value before the current one."""
    for view, seen in lags.looks(case, lags.back):
        if seen.timeline.created is not None:
            made = arrived(seen)
            says = f"the {view.side} value is the one that had arrived by then"
            yield Fit(view.side, {"by": "arrival"}, [made], 4.0, mask_bits=20.0, says_missing=True, says=says)
        made = seen.timeline.take(seen.timeline.step(seen.place, -1))
        says = f"the {view.side} value lacks the last update"
        moved = lags.changes(case, partial(_before, seen.timeline))
        yield Fit(view.side, {"updates_missed": 1}, [made], 8.0, says_missing=True, says=says, changes=moved)


def _before(line: Timeline, entity: NDArray[np.int64], time: Floats) -> Array:
    """Return the value before the one that held at a time."""
    return line.take(line.step(line.position(entity, time), -1))


def arrived(seen: lags.Lags) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the newest value that had arrived by the time of each pair."""
    created = seen.timeline.created
    assert created is not None
    place, chosen = seen.place, np.full(len(seen.place), -1, dtype=np.int64)
    for _ in range(lags.STEPS):
        there = (place >= 0) & (created[np.maximum(place, 0)] <= seen.time) & (chosen < 0)
        chosen = np.where(there, place, chosen)
        place = seen.timeline.step(place, -1)
    return seen.timeline.take(chosen)
