"""The tail of the chi-square distribution for whole degrees of freedom.

SciPy has it too (``scipy.special.chdtrc``, which the tests compare with), and takes 0.17 s of CPU to import: a third of
the start of ``sickbay drift``, of which this is the only use.
"""

from __future__ import annotations

import math

import numpy as np


def tail(statistic: float, free: int) -> float:
    """Return P(X ≥ ``statistic``) for chi-square with ``free`` degrees of freedom; NaN for NaN, ValueError for none.

    The regularised upper incomplete gamma function Q(free / 2, statistic / 2) as its finite sum, all terms positive
    (Abramowitz and Stegun 1964, 26.4.4 and 26.4.5).

    >>> round(tail(3.841458820694124, 1), 9), round(tail(18.307038053275146, 10), 9)
    (0.05, 0.05)
    """
    if free < 1:
        raise ValueError(f"{free} degrees of freedom: at least one is needed")
    if math.isnan(statistic):
        return math.nan
    half = statistic / 2
    if half <= 0:
        return 1.0
    if math.isinf(half):
        return 0.0
    odd = free % 2
    whole = math.erfc(math.sqrt(half)) if odd else math.exp(-half)
    terms = (free - 1) // 2  # beyond the first
    if not terms:
        return whole
    powers = np.arange(1, terms + 1) - odd / 2
    first = -half - (math.log(math.pi * half) / 2 if odd else 0.0)
    logs = first + np.cumsum(math.log(half) - np.log(powers))
    return min(1.0, whole + float(np.exp(logs).sum()))
