"""Did labels given inputs change, and how: by region (the concept moved) or by a coin (the labels are damaged).

Baseline and current rows are pooled and the label is learned twice: from the inputs alone, and from the inputs and the
window a row comes from. Where knowing the window helps on current rows, P(y given x) changed; where the inputs merely
moved, it does not help, because both models learned from the rows there. If a two-parameter coin (a share of positives
booked as negatives, a share of negatives booked as positives; class-conditional label noise, Natarajan et al. 2013)
explains as much, the change does not depend on the inputs, as concept drift would: labels are flipped, late, or lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from sickbay.stats.shift import classifier, one_thread
from sickbay.stats.table import Floats

EPS = 1e-3
FOLDS = 3


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Nats per labelled current row: what knowing the window gains, and what a coin alone gains.

    ``missed`` is the share of positives booked as negatives, ``invented`` the reverse; ``expected`` is the chance of a
    positive by the baseline's rule for each row (both windows), for further looks.
    """

    gain: float
    error: float
    coin: float
    missed: float
    invented: float
    by_region: float
    """What the window and the inputs together gain beyond the coin."""
    by_region_error: float
    expected_baseline: Floats
    expected_current: Floats


def compare(
    baseline: Floats, labels: Floats, current: Floats, labels_now: Floats, categorical: NDArray[np.bool_]
) -> LabelChange:
    """Compare P(y given x) of two windows of labelled rows (labels 0 or 1, no nulls)."""
    n = len(labels)
    x = np.vstack([baseline, current])
    y = np.concatenate([labels, labels_now])
    window = np.repeat([0.0, 1.0], [n, len(labels_now)])
    alone, told, by_old_rule = (_clip(p) for p in _learn(x, y, window, categorical))
    now = window > 0
    old, new = _deviance(y[now], alone[now]), _deviance(y[now], told[now])
    expected = by_old_rule[now]
    missed, invented = coin(expected, labels_now)
    tossed = _clip(invented + (1 - missed - invented) * expected)
    flat = _deviance(labels_now, tossed)
    best = new if new.mean() < flat.mean() else flat
    return LabelChange(
        gain=float((old - best).mean()),
        error=float((old - best).std() / np.sqrt(len(best))),
        coin=float((_deviance(labels_now, expected) - flat).mean()),
        missed=missed,
        invented=invented,
        by_region=float((flat - new).mean()),
        by_region_error=float((flat - new).std() / np.sqrt(len(new))),
        expected_baseline=by_old_rule[~now],
        expected_current=expected,
    )


def _learn(x: Floats, y: Floats, window: Floats, categorical: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return out-of-fold chances of a positive: from inputs alone, told the window, and told "baseline" for all."""
    told = np.column_stack([x, window])
    as_before = np.column_stack([x, np.zeros(len(y))])
    mask = np.append(categorical, False)
    fold = np.arange(len(y)) % FOLDS
    results = [np.full(len(y), float(y.mean())) for _ in range(3)]
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        if len(np.unique(y[train])) < 2:
            continue
        with one_thread():
            plain = classifier(int(train.sum()), categorical).fit(x[train], y[train])
            knowing = classifier(int(train.sum()), mask).fit(told[train], y[train])
            results[0][test] = plain.predict_proba(x[test])[:, 1]
            results[1][test] = knowing.predict_proba(told[test])[:, 1]
            results[2][test] = knowing.predict_proba(as_before[test])[:, 1]
    return results[0], results[1], results[2]


def coin(expected: Floats, labels: Floats) -> tuple[float, float]:
    """Return (missed, invented) that make the labels most likely given the expected probabilities."""

    def cost(rates: Floats) -> float:
        p = _clip(rates[1] + (1 - rates[0] - rates[1]) * expected)
        return float(_deviance(labels, p).mean())

    best = minimize(cost, x0=np.array([0.02, 0.02]), bounds=[(0.0, 0.95), (0.0, 0.6)], method="L-BFGS-B")
    missed, invented = best.x
    return float(missed), float(invented)


def _clip(p: Floats) -> Floats:
    return np.clip(p, EPS, 1 - EPS)


def _deviance(labels: Floats, p: Floats) -> Floats:
    return np.asarray(-np.where(labels > 0.5, np.log(p), np.log(1 - p)), dtype=np.float64)
