"""Two models on the same rows: the difference of a metric with the standard error that the pairing gives.

Every metric is a smooth function of averages, so each row has an influence on the difference; the standard error is
that of the mean influence (Hampel 1974). For AUC this is DeLong, DeLong and Clarke-Pearson 1988; for accuracy it is
McNemar's variance. Rows of one group (a customer, a session) can be taken together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from sickbay.stats.table import Floats

HIGHER = frozenset({"auc", "accuracy", "f1", "precision", "recall"})
"""Metrics of which more is better; of the others less is."""
RELATIVE = frozenset({"log_loss", "brier", "rmse", "mae"})
"""Metrics whose size depends on the data: their margins are shares of the champion's value."""
NEEDS_SCORE = frozenset({"auc", "log_loss", "brier"})
METRICS = {
    "binary": ("auc", "accuracy", "log_loss", "brier", "f1", "precision", "recall"),
    "multiclass": ("accuracy",),
    "regression": ("rmse", "mae"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One model's answers: ``score`` (a probability) and ``predicted`` (class code or number), NaN if absent."""

    score: Floats
    predicted: Floats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric of both sides; ``gain``: what the candidate is better by (negative: worse), with its standard error."""

    metric: str
    candidate: float
    champion: float
    gain: float
    error: float
    rows: int
    independent: float
    """What the error rests on: rows or groups, or those of the rarer class."""

    def interval(self, z: float) -> tuple[float, float]:
        """Return the interval ``z`` standard errors around the gain."""
        return self.gain - z * self.error, self.gain + z * self.error


def compare(
    metric: str, label: Floats, candidate: Side, champion: Side, group: NDArray[np.int64] | None = None
) -> Estimate:
    """Return the candidate's gain in a metric over the champion on the same rows; ValueError for an unknown metric."""
    rows = len(label)
    if rows == 0:
        return Estimate(metric, math.nan, math.nan, math.nan, math.nan, 0, 0.0)
    first, influence_first = _metric(metric, label, candidate)
    second, influence_second = _metric(metric, label, champion)
    sign = 1.0 if metric in HIGHER else -1.0
    influence = sign * (influence_first - influence_second)
    sums = influence if group is None else np.bincount(group, weights=influence)
    independent = float(len(sums) if group is None else len(np.unique(group)))
    if metric == "auc":
        positives = float((label == 1).sum())
        independent = min(independent, positives, rows - positives)
    variance = float(np.sum((sums - sums.sum() / max(1.0, independent)) ** 2)) / rows**2
    # one pair that might have differed: without it, twenty rows that agree would be certainty
    unseen = 1.0 / max(1.0, independent) ** 2 if metric in HIGHER else 0.0
    error = math.sqrt(variance + unseen)
    return Estimate(metric, first, second, sign * (first - second), error, rows, independent)


def calibration(label: Floats, score: Floats, bins: int = 15, draws: int = 400) -> tuple[float, float, float]:
    """Return the calibration error (root of the mean square gap over equal-mass bins) with a 95 % interval.

    What sampling alone adds is taken off (Kumar, Liang, Ma 2019); the interval comes from drawing the bins' rates.
    """
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    weight = np.array([len(part) for part in parts]) / len(label)
    said = np.array([score[part].mean() for part in parts])
    seen = np.array([label[part].mean() for part in parts])
    doubt = np.array([(seen[i] * (1 - seen[i]) + 1 / (len(p) + 4)) / len(p) for i, p in enumerate(parts)])
    rng = np.random.default_rng(0)
    drawn = seen + rng.normal(size=(draws, len(parts))) * np.sqrt(doubt)
    gaps = ((drawn - said) ** 2 - 2 * doubt) @ weight
    middle = float(((seen - said) ** 2 - doubt) @ weight)
    low, high = np.quantile(gaps, [0.025, 0.975])
    return math.sqrt(max(0.0, middle)), math.sqrt(max(0.0, low)), math.sqrt(max(0.0, high, middle))


def _metric(metric: str, label: Floats, side: Side) -> tuple[float, Floats]:
    """Return the metric and the influence of each row on it (whose mean is zero)."""
    match metric:
        case "auc":
            return _auc(label, side.score)
        case "accuracy":
            return _mean((side.predicted == label).astype(np.float64))
        case "brier":
            return _mean((side.score - label) ** 2)
        case "log_loss":
            p = np.clip(side.score, 1e-7, 1 - 1e-7)
            return _mean(-(label * np.log(p) + (1 - label) * np.log1p(-p)))
        case "mae":
            return _mean(np.abs(side.predicted - label))
        case "rmse":
            mean, influence = _mean((side.predicted - label) ** 2)
            root = math.sqrt(mean)
            return root, influence / (2 * root) if root > 0 else influence
        case "precision" | "recall" | "f1":
            return _ratio(metric, label, side.predicted)
    raise ValueError(f"unknown metric {metric!r}")


def _mean(values: Floats) -> tuple[float, Floats]:
    mean = float(values.mean())
    return mean, values - mean


def _ratio(metric: str, label: Floats, predicted: Floats) -> tuple[float, Floats]:
    hit = ((predicted == 1) & (label == 1)).astype(np.float64)
    said, there = (predicted == 1).astype(np.float64), (label == 1).astype(np.float64)
    below = {"precision": said, "recall": there, "f1": (said + there) / 2}[metric]
    if below.sum() == 0:
        return 0.0, np.zeros(len(label))
    ratio = float(hit.sum() / below.sum())
    return ratio, (hit - ratio * below) / below.mean()


def _auc(label: Floats, score: Floats) -> tuple[float, Floats]:
    positive = label == 1
    p, n = int(positive.sum()), int((~positive).sum())
    if p == 0 or n == 0:
        return math.nan, np.full(len(label), math.nan)
    ranks = rankdata(score)
    within = np.empty(len(label))
    within[positive], within[~positive] = rankdata(score[positive]), rankdata(score[~positive])
    placed = np.where(positive, (ranks - within) / n, 1 - (ranks - within) / p)
    auc = float(placed[positive].mean())
    scale = np.where(positive, len(label) / p, len(label) / n)
    return auc, (placed - auc) * scale
