"""Did the inputs move: a classifier that tells baseline rows from current ones, and what its odds are good for.

The classifier's cross-fitted AUC measures how far the joint distribution moved (Lopez-Paz and Oquab 2017, "Revisiting
classifier two-sample tests"); its odds are density ratios (Bickel, Brückner and Scheffer 2009), so that the baseline
can be reweighted to the current inputs. What the baseline's loss would be on the current inputs is estimated doubly
robustly (reweighting plus a loss model; Robins, Rotnitzky and Zhao 1994; used for performance shift by Cai, Namkoong
and Yadlowsky 2023, "Diagnosing model performance under distribution shift").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.table import Floats

MAX_WEIGHT = 20.0
OVERLAP = 0.9
"""Current rows that the classifier calls current with more than this probability have no baseline to speak of."""


@dataclass(frozen=True, slots=True)
class Domain:
    """How well current rows are told from baseline rows, and each row's probability of being current (balanced)."""

    auc: float
    error: float
    baseline: Floats
    current: Floats

    @property
    def weights(self) -> Floats:
        """Density ratio current / baseline of each baseline row, clipped at 20, mean one."""
        p = np.clip(self.baseline, 1e-6, 1 - 1e-6)
        ratio = np.minimum(p / (1 - p), MAX_WEIGHT)
        return np.asarray(ratio / ratio.mean(), dtype=np.float64)

    @property
    def effective_share(self) -> float:
        """Kish's effective sample size of the reweighted baseline, as a share of its rows."""
        w = self.weights
        return float(w.sum() ** 2 / np.sum(w**2) / len(w))

    @property
    def overlap(self) -> NDArray[np.bool_]:
        """Current rows whose inputs the baseline knows."""
        return self.current < OVERLAP


def tell_apart(
    baseline: Floats, current: Floats, categorical: NDArray[np.bool_], *, weights: Floats | None = None
) -> Domain:
    """Cross-fit a boosted-tree classifier of current against baseline rows, both sides weighing the same.

    ``weights`` are for the baseline rows, for example to a common segment mix; None is equal weights.
    """
    x = np.vstack([baseline, current])
    y = np.repeat([0, 1], [len(baseline), len(current)])
    w0 = np.ones(len(baseline)) if weights is None else weights
    w = np.concatenate([w0 / w0.sum(), np.full(len(current), 1 / len(current))]) * len(y) / 2
    p = cross_fit(x, y, categorical, weights=w)
    auc = weighted_auc(y, p, w)
    effective = min(w0.sum() ** 2 / np.sum(w0**2), len(current))
    return Domain(auc, auc_error(auc, effective, effective), p[: len(baseline)], p[len(baseline) :])


def cross_fit(
    x: Floats, y: NDArray[Any], categorical: NDArray[np.bool_], *, weights: Floats | None = None, folds: int = 2
) -> Floats:
    """Return out-of-fold probabilities of class 1 by boosted trees; rows are assigned to folds by position."""
    fold = np.arange(len(y)) % folds
    out = np.full(len(y), float(np.mean(y)))
    for k in range(folds):
        train, test = fold != k, fold == k
        if len(np.unique(y[train])) == 2:
            model = classifier(int(train.sum()), categorical)
            model.fit(x[train], y[train], sample_weight=None if weights is None else weights[train])
            out[test] = model.predict_proba(x[test])[:, 1]
    return out


def classifier(rows: int, categorical: NDArray[np.bool_]) -> Any:
    """Return an unfitted small boosted-tree classifier for that many rows; deterministic."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(categorical_features=_mask(categorical), **_settings(rows))


def regressor(rows: int, categorical: NDArray[np.bool_], *, iterations: int = 40) -> Any:
    """Return an unfitted small boosted-tree regressor (squared error) for that many rows; deterministic."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(categorical_features=_mask(categorical), **_settings(rows, iterations))


def _mask(categorical: NDArray[np.bool_]) -> Any:
    return categorical if categorical.any() else None


def _settings(rows: int, iterations: int = 40) -> dict[str, Any]:
    return {
        "max_iter": iterations,
        "max_leaf_nodes": 15,
        "learning_rate": 0.15,
        "min_samples_leaf": max(5, min(50, rows // 40)),
        "l2_regularization": 1.0,
        "early_stopping": False,
        "random_state": 0,
    }


def weighted_auc(y: NDArray[Any], score: Floats, weights: Floats) -> float:
    """Return the weighted area under the ROC curve; ties count half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, score, sample_weight=weights))


def auc_error(auc: float, positives: float, negatives: float) -> float:
    """Return the standard error of an AUC (Hanley and McNeil 1982)."""
    a = min(max(auc, 1e-6), 1 - 1e-6)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    n, m = max(positives, 1.0), max(negatives, 1.0)
    return float(np.sqrt((a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)) / (n * m)))


@dataclass(frozen=True, slots=True)
class Carried:
    """What the baseline's loss would be on the current inputs, with its standard error (unit of the loss)."""

    loss: float
    error: float


def carried_loss(
    baseline: Floats, losses: Floats, current: Floats, domain: Domain, categorical: NDArray[np.bool_]
) -> Carried:
    """Estimate the baseline's mean loss on the current inputs, doubly robustly.

    Mean of the loss model over the current rows, plus the reweighted residuals of the baseline rows.
    """
    fold = np.arange(len(losses)) % 2
    on_baseline = np.empty(len(losses))
    on_current = np.zeros(len(current))
    for k in (0, 1):
        model = regressor(int((fold != k).sum()), categorical)
        model.fit(baseline[fold != k], losses[fold != k])
        on_baseline[fold == k] = model.predict(baseline[fold == k])
        on_current += model.predict(current) / 2
    w = domain.weights
    residual = losses - on_baseline
    correction = float(np.sum(w * residual) / w.sum())
    variance = np.sum((w * (residual - correction)) ** 2) / w.sum() ** 2 + on_current.var() / len(current)
    return Carried(float(on_current.mean()) + correction, float(np.sqrt(variance)))


def leave_out(baseline: Floats, current: Floats, categorical: NDArray[np.bool_], columns: Sequence[int]) -> Domain:
    """Return the domain classifier fitted without some columns."""
    kept = np.setdiff1d(np.arange(baseline.shape[1]), np.asarray(columns, dtype=int))
    return tell_apart(baseline[:, kept], current[:, kept], categorical[kept])
