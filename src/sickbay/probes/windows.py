"""Which rows of a prediction log are compared: as asked, else where the data changed, else the recent part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from sickbay.errors import SourceError
from sickbay.sources.predictions import Window
from sickbay.stats import onset, table
from sickbay.stats.grading import grade
from sickbay.stats.timeline import Timeline

if TYPE_CHECKING:
    from sickbay.probes.study import Study

FEWEST = 10
"""Rows under which a window says nothing about anything."""
ENOUGH = 200
"""Labelled rows from which a window can serve as the baseline of a loss."""
RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Windows:
    """The two sides compared, why these, and the onset that split them (None when the split is by convention)."""

    baseline: Window
    current: Window
    why: str
    onset: onset.Onset | None
    series: str = ""
    """What the onset was seen in, e.g. ``error rate``."""


def practical_loss(baseline: float, task: str) -> float:
    """Return the change of mean loss that matters: for classifiers 0.5 to 3 points, by the baseline's error."""
    if not np.isfinite(baseline):
        return float("nan")
    return 0.1 * baseline if task == "regression" else float(np.clip(0.3 * baseline, 0.005, 0.03))


def mean_loss(window: Window) -> tuple[float, float, float]:
    """Return mean loss, its standard error and the labelled rows, over all rows of a window; NaN without labels."""
    if table.LOSS not in window.roles:
        return float("nan"), float("nan"), 0.0
    from sqlglot import exp

    loss = exp.column(table.LOSS)
    square = exp.Mul(this=loss.copy(), expression=loss.copy())
    row = window.query(
        exp.select(
            exp.alias_(exp.Count(this=loss), "n"),
            exp.alias_(exp.Sum(this=loss.copy()), "s"),
            exp.alias_(exp.Sum(this=square), "q"),
        ).from_(table.ROWS)
    )
    n = float(row["n"][0])
    if n == 0:
        return float("nan"), float("nan"), 0.0
    mean = float(row["s"][0]) / n
    variance = max(float(row["q"][0]) / n - mean**2, mean * (1 - mean) / n if mean < 1 else 0.0, 0.25 / n**2)
    return mean, float(np.sqrt(variance / n)), n


def choose_windows(s: Study) -> Windows:
    """Settle which rows are compared: what was asked for, else where the data changed, else the recent part.

    A log that was bad from its first row is compared with the reference.
    """
    log = s.log
    end = min(log.until, log.last) if log.until and log.last else log.last
    if log.first is None or end is None or s.timeline is None:
        return _without_time(s)
    if log.since is not None:
        current = log.window(log.since, end, "current")
        found, series = find_onset(s)
        return _with_baseline(s, log.window(log.first, log.since, "baseline"), current, "as asked", found, series)
    found, series = find_onset(s)
    moments = s.timeline.moments()
    if found is not None:
        start = moments[found.at]
        # the instant mostly lies inside a bucket: that one belongs to neither side
        before_end = moments[max(found.low - 1, 1)]
        if found.instant < 0 and found.width > 2:  # a slope: compare its outside with its upper half
            start = moments[min(found.ramp_start + found.width // 2, len(moments) - 2)]
            before_end = moments[max(found.ramp_start, 1)]
        start = min(start, _leave_some(s, end))
        return _with_baseline(
            s,
            log.window(log.first, min(before_end, start), "baseline"),
            log.window(start, end, "current"),
            f"split where the {series} changed",
            found,
            series,
        )
    start = end - min(RECENT, (end - log.first) / 4)
    return _with_baseline(
        s,
        log.window(log.first, start, "baseline"),
        log.window(start, end, "current"),
        "no change seen: recent part",
        None,
        "",
    )


def _leave_some(s: Study, end: datetime) -> datetime:
    """Return an instant early enough that the rows after it can be measured at all."""
    assert s.timeline is not None
    return end - s.timeline.width


def _without_time(s: Study) -> Windows:
    reference = s.log.reference()
    current = s.log.window(None, None, "current")
    if reference is None:
        raise SourceError(
            "no data: the log has no timestamps and the site file names no reference, so nothing can be compared"
        )
    return Windows(reference, current, "no timestamps: the whole log against the reference", None)


def _with_baseline(
    s: Study, before: Window, current: Window, why: str, found: onset.Onset | None, series: str
) -> Windows:
    """Put the reference in the place of the earlier log where that is too short, unlabelled, or already as bad."""
    reference = s.log.reference()
    if reference is None:
        return Windows(before, current, why, found, series)
    mean, error, labelled = mean_loss(before)
    good, good_error, good_rows = mean_loss(reference)
    rows = _rows(before)
    if rows < ENOUGH or (labelled < ENOUGH <= good_rows):
        whole = s.log.window(s.log.first, current.end, "current") if found is None else current
        return Windows(reference, whole, f"{why}; the reference stands in for the log before", found, series)
    if found is None and good_rows >= ENOUGH and labelled >= ENOUGH:
        worse = grade(mean - good, float(np.hypot(error, good_error)), practical_loss(good, s.log.task))
        if worse > 2.0:
            whole = s.log.window(s.log.since or s.log.first, current.end, "current")
            return Windows(reference, whole, "the log is worse than the reference from its first row", None)
    return Windows(before, current, why, found, series)


def _rows(window: Window) -> float:
    from sqlglot import exp

    select = exp.select(exp.alias_(exp.Count(this=exp.Star()), "n")).from_(table.ROWS)
    return float(window.query(select)["n"][0])


def find_onset(s: Study) -> tuple[onset.Onset | None, str]:
    """Return the change that dates the trouble: of the loss if there is one, else the clearest of the other series."""
    return s.log.once(("study", "onset"), lambda: _find_onset(s))


def _find_onset(s: Study) -> tuple[onset.Onset | None, str]:
    line = s.timeline
    if line is None:
        return None, ""
    if f"{table.LOSS}/sum" in line.sums:
        means = line.mean(f"{table.LOSS}/sum", f"{table.LOSS}/count")
        found = onset.find(means, line.sums[f"{table.LOSS}/count"])
        if found is not None:
            change = abs(found.after - found.before)
            if found.log_factor > 2.0 and change > 0.5 * practical_loss(min(found.before, found.after), s.log.task):
                return found, "mean loss" if s.log.task == "regression" else "error rate"
    others = []
    for what, per, name in _other_series(s, line):
        found = onset.find(line.mean(what, per), line.sums[per])
        if found is not None and abs(found.after - found.before) > 4 * found.noise:
            others.append((found.log_factor, name, found))
    best = max(others, default=None, key=lambda item: (item[0], item[1]))
    if best is not None and best[0] > 8.0 + np.log(max(1, len(others))):
        return best[2], best[1]
    return None, ""


def _other_series(s: Study, line: Timeline) -> list[tuple[str, str, str]]:
    series = []
    for role, name in ((table.SCORE, "mean score"), (table.PREDICTED, "share of positives")):
        if f"{role}/sum" in line.sums:
            series.append((f"{role}/sum", f"{role}/count", name))
    for feature in s.features[:200]:
        series.append((f"{feature}/nulls", "rows", f"null rate of {feature}"))
        if f"{feature}/sum" in line.sums:
            series.append((f"{feature}/sum", f"{feature}/count", f"mean of {feature}"))
        if f"{feature}/level" in line.sums:
            series.append((f"{feature}/level", "rows", f"share of the usual level of {feature}"))
    return series
