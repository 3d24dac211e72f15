"""No update since some moment: a materialisation that failed or stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import numpy as np

from sickbay.stats.skew import lags
from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis


@hypothesis(
    "stopped-updating",
    kinds=("number", "boolean", "time", "text"),
    fix="Run the materialisation again from that moment on, and alert on the age of the newest value.",
    told_by="readings at several moments, or the time of the last materialisation",
    timing=True,
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the moment at which most altered values were current."""
    for view, seen in lags.looks(case, lags.back):
        low, high = seen.bounds()
        # a lag in (low, high] means a moment in [time − high, time − low)
        start, end, count = lags.stab(seen.time - np.minimum(high, 1e15), seen.time - low)
        if count < max(4, len(case.rows) // 25):
            continue
        since = _rounded(start, end)
        made = seen.timeline.at(seen.entity, np.minimum(seen.time, since))
        says = f"the {view.side} side has not been updated since {_iso(since)}"
        parameters = {"since": _iso(since), "between": [_iso(start), _iso(end)]}
        moved = lags.changes(case, partial(lags.frozen, seen.timeline, since=since))
        yield Fit(
            view.side, parameters, [made], 18.0, mask_bits=_mask(case, since), says_missing=True, says=says,
            changes=moved,
        )  # fmt: skip


def _mask(case: Case, since: float) -> float:
    """Return bits saved by saying that only pairs after that moment mismatch."""
    assert case.time is not None
    rows = np.concatenate((case.rows, case.equal))
    wrong = np.arange(len(rows)) < len(case.rows)
    share = min(max(case.share, 1e-6), 1 - 1e-6)
    each = np.where(wrong, share / max(1, len(case.rows)), (1 - share) / max(1, len(case.equal)))
    weight = each / each.sum() * len(rows)
    return lags.shape_bits(case.time[rows], wrong, weight, (case.time[rows] > since).astype(float))


def _rounded(start: float, end: float) -> float:
    """Return the roundest moment in [start, end)."""
    for size in (86400.0, 3600.0, 900.0, 60.0, 1.0):
        first = np.ceil(start / size) * size
        if first < end:
            return float(first)
    return (start + end) / 2


def _iso(moment: float) -> str | None:
    if not np.isfinite(moment) or abs(moment) > 2e11:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
