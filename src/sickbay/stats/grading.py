"""How loudly an effect speaks: Bayes factors of "it matters in practice" against "it does not".

A finding is a question about an effect (a rise in the null rate, a drop in accuracy). Off means: the effect is zero up
to the wobble that any healthy system shows. On means: it is of a size that matters. Both are given a distribution and
compared on the estimate with its standard error, so that small samples widen the answer (the factor goes to 1), and
ten million rows do not turn a difference of no practical size into a finding.

Method: Bayes factor between two scales of a normal effect (Jeffreys 1961 §5; Wakefield 2009, "Bayes factors for
genome-wide association studies", doi:10.1002/gepi.20359, whose approximate factor this is with a null of some width).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, logsumexp

WOBBLE = 0.4
"""Scale of harmless effects, as a share of the practical size."""
REACH = 4.0
"""Scale of effects that matter, in practical sizes."""


def grade(
    effect: float, standard_error: float, practical: float, *, two_sided: bool = False, reach: float = REACH
) -> float:
    """Return ln P(estimate | matters) / P(estimate | harmless) for one effect, in the unit of ``practical``.

    One-sided: only a positive effect counts; a negative one is as good as zero. The result is about 0 at the practical
    size, −2.6 at zero with a small standard error, and 0 when the standard error is large.

    >>> grade(0.0, 0.001, 0.02) < -2 < 0 < grade(0.06, 0.005, 0.02)
    True
    >>> abs(grade(0.02, 10.0, 0.02)) < 0.01
    True
    """
    return float(grades([effect], [standard_error], practical, two_sided=two_sided, reach=reach)[0])


def grades(
    effects: ArrayLike,
    standard_errors: ArrayLike,
    practical: ArrayLike,
    *,
    two_sided: bool = False,
    reach: float = REACH,
) -> NDArray[np.float64]:
    """Return the log factor of each effect (see ``grade``); an effect that is NaN teaches nothing: 0."""
    x = np.asarray(effects, dtype=np.float64)
    se = np.asarray(standard_errors, dtype=np.float64)
    size = np.asarray(practical, dtype=np.float64)
    known = np.isfinite(x) & np.isfinite(se)
    x, se = np.where(known, x, 0.0), np.where(known, se, 1.0)
    null_scale, real_scale = WOBBLE * size, reach * size
    if not two_sided:
        x = np.maximum(x, 0.0)
    null_variance, real_variance = null_scale**2 + se**2, real_scale**2 + se**2
    ratio = 0.5 * np.log(null_variance / real_variance) + 0.5 * x**2 * (1 / null_variance - 1 / real_variance)
    if not two_sided:
        # the effect that matters is positive: a half-normal, whose marginal carries the chance of a positive mean
        spread = np.sqrt(real_variance)
        shrunk = x * real_scale / (np.maximum(se, 1e-300) * spread)
        ratio = ratio + math.log(2.0) + log_ndtr(shrunk)
    return np.where(known, ratio, 0.0)


def any_of(log_ratios: Iterable[float], *, weights: Iterable[float] | None = None) -> float:
    """Return the log factor of "one of these, not known which, matters": the mean of the factors.

    This is the correction for looking at many columns: under no change the mean factor stays at 1, however many there
    are. An empty list is 0.

    >>> round(any_of([math.log(1000.0)] + [math.log(0.1)] * 9), 2)
    4.61
    """
    values = np.asarray(list(log_ratios), dtype=np.float64)
    if not len(values):
        return 0.0
    share = np.full(len(values), 1.0 / len(values)) if weights is None else np.asarray(list(weights), dtype=np.float64)
    return float(logsumexp(values, b=share / share.sum()))


def proportion_error(share: ArrayLike, rows: ArrayLike) -> NDArray[np.float64]:
    """Return the standard error of a share (0…1); half an event is added on both sides, so 0 of n is not certain."""
    n = np.maximum(np.asarray(rows, dtype=np.float64), 1e-9)
    p = (np.asarray(share, dtype=np.float64) * n + 0.5) / (n + 1.0)
    return np.sqrt(p * (1 - p) / n)
