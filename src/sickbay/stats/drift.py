"""Drift of one column from two profiles over the same bins, each measure with its sampling error.

Every measure of distance between two samples is above zero when nothing moved. What sampling alone gives is therefore
taken off (PSI, Jensen–Shannon), and the standard error is that of the measure as a function of two multinomial counts
(delta method; with the spread that is left when nothing moved).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sickbay.stats.chisquare import tail
from sickbay.stats.profile import Column
from sickbay.stats.table import Floats

PRACTICAL_JS = 0.1
"""Jensen–Shannon distance (0…1) from which a change of distribution is of practical size; about a PSI of 0.06."""
EXPECTED = 8.0
"""Rows that a bin has to be expected to hold on the smaller side; fewer, and it is taken together with others."""
PRACTICAL_NULLS = 0.05
"""Rise of the share of missing values from which it is of practical size."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a column moved. NaN: the measure does not apply, or one side is empty.

    ``js``: Jensen–Shannon distance (base 2, 0…1), ``psi``: population stability index (natural log), both less what
    sampling alone gives. ``ks``: largest gap of the cumulative shares at the bin edges; ``wasserstein``: area between
    them, in the column's unit (numbers only). ``tv``: total variation (0…1). ``chi2`` with its degrees of freedom and
    ``p_value``. ``null_rise``: rise of the share of missing values (null or NaN). ``…_error``: standard errors.
    """

    name: str
    js: float = math.nan
    js_error: float = math.nan
    psi: float = math.nan
    psi_error: float = math.nan
    ks: float = math.nan
    ks_error: float = math.nan
    wasserstein: float = math.nan
    wasserstein_error: float = math.nan
    tv: float = math.nan
    tv_error: float = math.nan
    chi2: float = math.nan
    degrees: int = 0
    p_value: float = math.nan
    null_rise: float = math.nan
    null_rise_error: float = math.nan


def compare(baseline: Column, current: Column) -> Drift:
    """Return the drift between two profiles of one column over the same bins.

    Sources: Lin 1991 (Jensen–Shannon); Siddiqi 2006 (PSI); the plug-in bias is the mean of the chi-square that each
    divergence becomes when nothing moved: (k−1)(1/n + 1/m), divided by 8 ln 2 for Jensen–Shannon in bits.
    """
    null_rise, null_error = _null_rise(baseline, current)
    n, m = float(baseline.counts.sum()), float(current.counts.sum())
    if n == 0 or m == 0:
        return Drift(baseline.name, null_rise=null_rise, null_rise_error=null_error)
    merged = enough(baseline.counts, current.counts, ordered=baseline.kind == "number")
    first, second = baseline.counts @ merged, current.counts @ merged
    p, q = first / n, second / m
    free = max(0, int(np.count_nonzero(p + q)) - 1)
    chance, spread = free * (1 / n + 1 / m), math.sqrt(2 * free) * (1 / n + 1 / m)
    js, js_error = _jensen_shannon(p, q, n, m, chance, spread)
    psi, psi_error = _stability(p, q, n, m, chance, spread)
    if baseline.kind == "number":  # the cumulative curves need no merging
        ks, ks_error = _kolmogorov(baseline.shares, current.shares, n, m)
    else:
        ks, ks_error = math.nan, math.nan
    wasserstein = _wasserstein(baseline, current) if baseline.kind == "number" else (math.nan, math.nan)
    tv = float(np.abs(p - q).sum() / 2)
    tv_error = _error(np.sign(p - q) / 2, np.sign(q - p) / 2, p, q, n, m)
    statistic = _chi_square(first, second)
    p_value = tail(statistic, free) if free else 1.0
    return Drift(
        baseline.name, js, js_error, psi, psi_error, ks, ks_error, *wasserstein, tv, tv_error, statistic, free, p_value,
        null_rise, null_error,
    )  # fmt: skip


def enough(first: Floats, second: Floats, *, ordered: bool) -> Floats:
    """Return the bins × merged bins matrix (0 or 1) that leaves no merged bin without rows to speak of.

    Neighbouring bins (of a number), or the rarest levels (of a category), are taken together until each is expected to
    hold ``EXPECTED`` rows of the smaller side: what sampling alone adds to a measure is known only then.
    """
    n, m = first.sum(), second.sum()
    expected = (first + second) / (n + m) * min(n, m)
    order = np.arange(len(expected)) if ordered else np.argsort(-expected, kind="stable")
    group, held, label = np.zeros(len(expected), dtype=int), 0.0, 0
    for place in order:
        if held >= EXPECTED:
            label, held = label + 1, 0.0
        group[place] = label
        held += expected[place]
    if held < EXPECTED and label > 0:  # what is left over at the end joins its neighbour
        group[group == label] = label - 1
    return np.asarray(np.eye(int(group.max()) + 1)[group])


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Return the Jensen–Shannon divergence of two share vectors in bits (0…1)."""
    mix = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / mix), 0.0) + np.where(q > 0, q * np.log2(q / mix), 0.0)
    return float(max(0.0, terms.sum() / 2))


def population_stability(p: Floats, q: Floats, n: float, m: float) -> float:
    """Return the plain population stability index; an empty bin counts as half a row, so that it stays finite."""
    a, b = _never_empty(p, n), _never_empty(q, m)
    return float(np.sum((b - a) * np.log(b / a)))


def _jensen_shannon(p: Floats, q: Floats, n: float, m: float, chance: float, spread: float) -> tuple[float, float]:
    scale = 8 * math.log(2)
    divergence = jensen_shannon(p, q)
    mix = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_p = np.where(p > 0, np.log2(p / mix), 0.0) / 2
        slope_q = np.where(q > 0, np.log2(q / mix), 0.0) / 2
    error = math.hypot(_error(slope_p, slope_q, p, q, n, m), spread / scale)
    net = math.sqrt(max(0.0, divergence - chance / scale))
    # the root: a slope of 1/(2·distance) away from zero, and the root of the error at zero itself
    return net, error / (2 * net) if net**2 > error else math.sqrt(error)


def _stability(p: Floats, q: Floats, n: float, m: float, chance: float, spread: float) -> tuple[float, float]:
    a, b = _never_empty(p, n), _never_empty(q, m)
    ratio = np.log(b / a)
    error = _error(1 - b / a - ratio, ratio + 1 - a / b, a, b, n, m)
    return max(0.0, population_stability(p, q, n, m) - chance), math.hypot(error, spread)


def _kolmogorov(p: Floats, q: Floats, n: float, m: float) -> tuple[float, float]:
    before, now = np.cumsum(p)[:-1], np.cumsum(q)[:-1]
    if not len(before):
        return 0.0, 0.0
    at = int(np.argmax(np.abs(before - now)))
    pooled = (n * before[at] + m * now[at]) / (n + m)
    own = before[at] * (1 - before[at]) / n + now[at] * (1 - now[at]) / m
    return float(abs(before[at] - now[at])), math.sqrt(max(own, pooled * (1 - pooled) * (1 / n + 1 / m), 0.0))


def _wasserstein(baseline: Column, current: Column) -> tuple[float, float]:
    """Return the area between the two cumulative curves, straight between bin bounds, and its standard error."""
    first, second = baseline.bounds(), current.bounds()
    if first is None or second is None:
        return math.nan, math.nan
    bounds = np.concatenate(([min(first[0], second[0])], first[1:-1], [max(first[-1], second[-1])]))
    p, q = baseline.shares, current.shares
    gaps = np.concatenate(([0.0], np.cumsum(p - q)))
    left, right, width = gaps[:-1], gaps[1:], np.diff(bounds)
    same_side = left * right >= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (left**2 + right**2) / (2 * (np.abs(left) + np.abs(right)))
    area = np.where(same_side, (np.abs(left) + np.abs(right)) / 2, crossing) * width
    side = np.sign(left + right) * width
    # a row in bin i lifts the curve from the middle of that bin on
    reach = np.cumsum(side[::-1])[::-1] - side / 2
    error = _error(reach, -reach, p, q, float(baseline.counts.sum()), float(current.counts.sum()))
    return float(np.nansum(area)), error


def _chi_square(first: Floats, second: Floats) -> float:
    n, m = first.sum(), second.sum()
    used = first + second > 0
    a, b = first[used], second[used]
    return float(np.sum((math.sqrt(m / n) * a - math.sqrt(n / m) * b) ** 2 / (a + b)))


def _null_rise(baseline: Column, current: Column) -> tuple[float, float]:
    before = baseline.share_of(baseline.nulls + baseline.nans)
    now = current.share_of(current.nulls + current.nans)
    # one row of doubt each, so that a share of exactly none or all has an error too (Agresti and Coull)
    variance = 0.0
    for share, rows in ((before, baseline.rows), (now, current.rows)):
        doubted = (share * rows + 1) / (rows + 2)
        variance += doubted * (1 - doubted) / rows if rows else math.inf
    return now - before, math.sqrt(variance)


def _error(slope_p: Floats, slope_q: Floats, p: Floats, q: Floats, n: float, m: float) -> float:
    """Return the standard error of a function of two multinomial shares from its slopes (delta method)."""
    first = float(np.sum(p * slope_p**2) - np.sum(p * slope_p) ** 2)
    second = float(np.sum(q * slope_q**2) - np.sum(q * slope_q) ** 2)
    return math.sqrt(max(first, 0.0) / n + max(second, 0.0) / m)


def _never_empty(shares: Floats, rows: float) -> Floats:
    return np.maximum(shares, 0.5 / max(rows, 1.0))
