"""When a measured change becomes an alarm: a budget of false alarms, a practical size, and hysteresis.

The budget is kept by Bonferroni's inequality over everything that is looked at in a month: windows times series. It
holds whatever the dependence between them, as long as each p-value holds; the hysteresis can only lower the count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sickbay.stats.chisquare import tail
from sickbay.stats.table import Floats

Step = Literal["raised", "cleared", ""]


@dataclass(frozen=True, slots=True)
class Rule:
    """How an alarm is raised and cleared. ``false_alarms_per_month``: how many the user puts up with in all.

    ``windows_per_month`` and ``series``: how often and at how many things one looks. Raised after ``raise_after``
    windows in a row that show a change of practical size, cleared after ``clear_after`` in a row that do not.
    """

    false_alarms_per_month: float = 1.0
    windows_per_month: float = 720.0
    series: int = 1
    raise_after: int = 1
    clear_after: int = 2

    @property
    def level(self) -> float:
        """The p-value a single look has to stay below."""
        looks = max(1.0, self.windows_per_month * max(1, self.series))
        return min(0.05, self.false_alarms_per_month / looks)


@dataclass(slots=True)
class Alarm:
    """The state of one alarm; ``step`` takes the windows in order."""

    rule: Rule
    raised: bool = False
    above: int = 0
    below: int = 0

    def step(self, p_value: float | None, *, large: bool) -> Step:
        """Take one window's evidence; return what changed. A window that settles nothing (None) changes nothing.

        ``large``: the change is of practical size, so that a million rows raise no alarm over a trifle.
        """
        if p_value is None or np.isnan(p_value):
            return ""
        if p_value < self.rule.level and large:
            self.above, self.below = self.above + 1, 0
        else:
            self.above, self.below = 0, self.below + 1
        if not self.raised and self.above >= self.rule.raise_after:
            self.raised = True
            return "raised"
        if self.raised and self.below >= self.rule.clear_after:
            self.raised = False
            return "cleared"
        return ""


def same_distribution(reference: Floats, window: Floats) -> float:
    """Return the p-value that both counts were drawn from one distribution (chi-square, two samples); NaN if empty.

    The bins have to be expected to hold a few rows each (see ``drift.enough``).
    """
    n, m = reference.sum(), window.sum()
    if n <= 0 or m <= 0:
        return float("nan")
    both = reference + window
    used = both > 0
    gap = (m * reference[used] - n * window[used]) ** 2 / both[used]
    return tail(float(gap.sum() / (n * m)), max(1, int(used.sum()) - 1))
