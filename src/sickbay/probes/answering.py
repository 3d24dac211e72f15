"""Which rows were answered normally, and how the log divides by version, arm and status: shared by several probes."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sickbay.probes.study import Study
from sickbay.stats import groups, table
from sickbay.stats.grading import grade, proportion_error

BAD_STATUS = re.compile(r"err|fail|timeout|time.?out|fallback|default|reject|drop|unavail|refus|5\d\d|429|408", re.I)
GOOD_STATUS = re.compile(r"^(ok|success|succeeded|200|2\d\d|served|done|0)$", re.I)


TAKEOVER = 0.025
"""Rise of the share of one score that matters."""

NONE = groups.Group("", 0.0, 0.0, 0.0, float("nan"), float("nan"), None, None)
"""The group of a value that does not occur."""


def measure_groups(s: Study, role: str, *, current: bool) -> dict[str, groups.Group]:
    """Return value → group of a role column in the current or the baseline window; empty where it has none."""
    window = s.windows.current if current else s.windows.baseline
    if role not in window.roles:
        # the reference rarely has versions or arms: the earlier part of the log stands in
        start = s.windows.current.start
        if current or start is None or s.log.first is None or start <= s.log.first:
            return {}
        window = s.log.window(s.log.first, start)
    return s.log.once(("groups", role, window.name, window.start, window.end), lambda: groups.measure(window, role))


def answered_normally(s: Study) -> NDArray[np.bool_]:
    """Return which current sample rows carry a usual status and no take-over score (see the serving probes)."""
    mask = np.ones(s.current.rows, dtype=bool)
    if table.STATUS in s.current.columns:
        usual = usual_statuses(s)
        mask &= np.array([str(v) in usual for v in s.current.columns[table.STATUS].tolist()])
    value = takeover_score(s)[0]
    if value is not None:
        mask &= s.current.role(table.SCORE) != value
    return mask


def usual_statuses(s: Study) -> frozenset[str]:
    """Return the statuses that mean a normal answer: by their word, else those with 2 % of the baseline's rows."""

    def find() -> frozenset[str]:
        before = measure_groups(s, table.STATUS, current=False)
        usual = {v for v, g in before.items() if (g.share >= 0.02 and not BAD_STATUS.search(v)) or GOOD_STATUS.match(v)}
        return frozenset(usual or {v for v, g in before.items() if g.share >= 0.02})

    return s.log.once(("study", "usual statuses"), find)


def takeover_score(s: Study) -> tuple[float | None, float, float, float]:
    """Return the most common current score if it took over, its share now and before, and the standard error."""

    def find() -> tuple[float | None, float, float, float]:
        sides = [frame.role(table.SCORE) for frame in (s.baseline, s.current)]
        before, now = (side[np.isfinite(side)] for side in sides)
        if min(len(before), len(now)) < 30:
            return None, float("nan"), float("nan"), float("nan")
        values, counts = np.unique(now, return_counts=True)
        old_values, old_counts = np.unique(before, return_counts=True)
        shares = dict(zip(old_values.tolist(), (old_counts / len(before)).tolist(), strict=True))
        rises = [c / len(now) - shares.get(v, 0.0) for v, c in zip(values.tolist(), counts.tolist(), strict=True)]
        top = int(np.argmax(rises))
        share, old = float(counts[top] / len(now)), float(shares.get(float(values[top]), 0.0))
        error = float(np.hypot(proportion_error(share, len(now)), proportion_error(old, len(before))))
        taken = grade(share - old, error, TAKEOVER + 0.5 * old) > 2.0
        return (float(values[top]) if taken else None), share, old, error

    return s.log.once(("study", "takeover score"), find)
