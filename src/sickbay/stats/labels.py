"""Did labels given inputs change, and how: by region (the concept moved) or by a coin (the labels are damaged).

A label model is learned on the baseline and asked about current rows. If relearning on current rows predicts their
labels better, P(y given x) changed. If a two-parameter coin (a share of positives booked as negatives, a share of
negatives booked as positives; class-conditional label noise, Natarajan et al. 2013) explains as much as relearning
does, the change does not depend on the inputs, as concept drift would: the labels are flipped, late, or lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from sickbay.stats.shift import classifier, cross_fit, one_thread
from sickbay.stats.table import Floats

EPS = 1e-4


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Nats per labelled row: what relearning gains over the baseline's label model, and what a coin alone gains.

    ``missed`` is the share of positives booked as negatives, ``invented`` the reverse; ``expected`` is the baseline
    model's probability for each row (both windows), for further looks.
    """

    gain: float
    error: float
    coin: float
    missed: float
    invented: float
    by_region: float
    """What relearning gains beyond the coin."""
    by_region_error: float
    expected_baseline: Floats
    expected_current: Floats


def compare(
    baseline: Floats, labels: Floats, current: Floats, labels_now: Floats, categorical: NDArray[np.bool_]
) -> LabelChange:
    """Compare P(y given x) of two windows of labelled rows (labels 0 or 1, no nulls)."""
    within = cross_fit(baseline, labels, categorical)
    with one_thread():
        model = classifier(len(labels), categorical).fit(baseline, labels)
        expected = model.predict_proba(current)[:, 1]
    # half the baseline each: the same size of training set on both sides, so that relearning is not handicapped
    at_start = _clip(expected)
    logit = np.log(at_start / (1 - at_start))[:, None]
    relearned = _clip(cross_fit(np.hstack([current, logit]), labels_now, np.append(categorical, False), folds=4))
    missed, invented = coin(at_start, labels_now)
    tossed = _clip(invented + (1 - missed - invented) * at_start)
    old, new, flat = _deviance(labels_now, at_start), _deviance(labels_now, relearned), _deviance(labels_now, tossed)
    own = _clip(within)
    # what relearning "gains" on the baseline itself, where nothing changed, is the cost of fitting: taken off
    again = _clip(
        cross_fit(
            np.hstack([baseline, np.log(own / (1 - own))[:, None]]), labels, np.append(categorical, False), folds=4
        )
    )
    idle = float(np.mean(_deviance(labels, own) - _deviance(labels, again)))
    best = np.minimum(new, flat) if new.mean() >= flat.mean() else new
    gain = np.maximum(old.mean() - min(new.mean(), flat.mean()) - max(0.0, idle), -1.0)
    return LabelChange(
        gain=float(gain),
        error=float((old - best).std() / np.sqrt(len(old))),
        coin=float(old.mean() - flat.mean()),
        missed=missed,
        invented=invented,
        by_region=float(flat.mean() - new.mean() - max(0.0, idle)),
        by_region_error=float((flat - new).std() / np.sqrt(len(old))),
        expected_baseline=within,
        expected_current=expected,
    )


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
