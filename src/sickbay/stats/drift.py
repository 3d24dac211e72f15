"""Drift of one column from two profiles over the same bins, with the sampling error of each measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sickbay.stats.profile import Column
from sickbay.stats.table import Floats

PRACTICAL_JS = 0.1
"""Jensen–Shannon distance (0…1) from which a change of distribution is of practical size."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a column moved. ``js`` is the Jensen–Shannon distance (base 2, 0…1), less what sampling alone gives.

    ``js_error`` is its standard error; ``psi`` the population stability index (natural log); ``ks`` the largest gap of
    the cumulative shares (numbers only); ``null_rise`` the rise of the null share.
    """

    name: str
    js: float
    js_error: float
    psi: float
    ks: float
    null_rise: float


def compare(baseline: Column, current: Column) -> Drift:
    """Return the drift between two profiles of one column over the same bins.

    Sources: Lin 1991 (Jensen–Shannon); Siddiqi 2006 (PSI); the plug-in bias (k−1)/(8 n ln 2) of each side is taken off
    the divergence (Grassberger 1988 for the entropy bias it comes from).
    """
    p, q = baseline.shares, current.shares
    n, m = float(baseline.counts.sum()), float(current.counts.sum())
    null_rise = _share(current.nulls, current.rows) - _share(baseline.nulls, baseline.rows)
    if n == 0 or m == 0:
        return Drift(baseline.name, np.nan, np.nan, np.nan, np.nan, null_rise)
    used = int(np.count_nonzero(p + q))
    bias = (used - 1) * (1 / n + 1 / m) / (8 * np.log(2) * 1.0)
    divergence = jensen_shannon(p, q)
    js = float(np.sqrt(max(0.0, divergence - bias)))
    js_error = float(
        np.sqrt(bias / max(1, used - 1) * 2) / max(js, np.sqrt(bias), 1e-9) * np.sqrt(max(divergence, bias))
    )
    ks = float(np.max(np.abs(np.cumsum(p) - np.cumsum(q)))) if baseline.edges is not None else float("nan")
    return Drift(baseline.name, js, js_error, population_stability(p, q, n, m), ks, null_rise)


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Return the Jensen–Shannon divergence of two share vectors in bits (0…1)."""
    mix = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / mix), 0.0) + np.where(q > 0, q * np.log2(q / mix), 0.0)
    return float(max(0.0, terms.sum() / 2))


def population_stability(p: Floats, q: Floats, n: float, m: float) -> float:
    """Return the population stability index; an empty bin counts as half a row, so that it stays finite."""
    a = np.maximum(p, 0.5 / max(n, 1.0))
    b = np.maximum(q, 0.5 / max(m, 1.0))
    return float(np.sum((b - a) * np.log(b / a)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
