"""Did the inputs move: a classifier that tells baseline rows from current ones, and what its odds are good for.

The classifier's cross-fitted AUC measures how far the joint distribution moved (Lopez-Paz and Oquab 2017, "Revisiting
classifier two-sample tests"); its odds are density ratios (Bickel, Brückner and Scheffer 2009), so that the baseline
can be reweighted to the current inputs. What the baseline's loss would be on the current inputs is estimated doubly
robustly (reweighting plus a loss model; Robins, Rotnitzky and Zhao 1994; used for performance shift by Cai, Namkoong
and Yadlowsky 2023, "Diagnosing model performance under distribution shift").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
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

    ``weights`` are for the baseline rows, for example to a common segment mix; None is equal weights. Weighted rows are
    drawn again by their weight (systematic resampling) instead of being weighted in the fit, which is far slower; a row
    drawn twice stays in one fold.
    """
    rows = np.arange(len(baseline)) if weights is None else resample(weights)
    x = np.vstack([baseline[rows], current])
    y = np.repeat([0, 1], [len(rows), len(current)])
    fold = np.concatenate([rows, np.arange(len(current))]) % 2
    p = cross_fit(x, y, categorical, fold=fold)
    odds = np.clip(p, 1e-6, 1 - 1e-6) / (1 - np.clip(p, 1e-6, 1 - 1e-6)) * len(rows) / len(current)
    p = odds / (1 + odds)
    auc = weighted_auc(y, p, np.ones(len(y)))
    effective = len(baseline) if weights is None else weights.sum() ** 2 / np.sum(weights**2)
    return Domain(auc, auc_error(auc, effective, len(current)), p[: len(rows)], p[len(rows) :])


def resample(weights: Floats) -> NDArray[np.int64]:
    """Return as many row numbers as there are weights, each row about in proportion to its weight; no chance in it."""
    ends = np.cumsum(weights) / np.sum(weights)
    points = (np.arange(len(weights)) + 0.5) / len(weights)
    return np.minimum(np.searchsorted(ends, points), len(weights) - 1)


def cross_fit(
    x: Floats,
    y: NDArray[Any],
    categorical: NDArray[np.bool_],
    *,
    folds: int = 2,
    fold: NDArray[np.int64] | None = None,
) -> Floats:
    """Return out-of-fold probabilities of class 1 by boosted trees; rows go to folds by position unless given."""
    fold = np.arange(len(y)) % folds if fold is None else fold
    out = np.full(len(y), float(np.mean(y)))
    for k in range(folds):
        train, test = fold != k, fold == k
        if len(np.unique(y[train])) == 2:
            model = classifier(int(train.sum()), categorical)
            with one_thread():
                model.fit(x[train], y[train])
                out[test] = model.predict_proba(x[test])[:, 1]
    return out


_fitting = Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Give a context in which boosted trees use one thread, and which one caller at a time may enter.

    On a busy machine the threads of a fit wait for each other at every node: with two threads on two shared cores a fit
    was seen to take forty times as long as with one. One caller at a time, because scikit-learn swaps the process-wide
    warning filters around each fit, and two at once trip over each other.
    """
    from threadpoolctl import threadpool_limits

    with _fitting, threadpool_limits(limits=1):
        yield


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
        "max_bins": 64,
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
        with one_thread():
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
