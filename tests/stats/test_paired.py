"""Paired comparisons: the metrics are the library's, the errors those that repetition shows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from sickbay.stats import paired
from sickbay.stats.paired import Side

REFERENCE = {
    "auc": lambda y, s: metrics.roc_auc_score(y, s.score),
    "accuracy": lambda y, s: metrics.accuracy_score(y, s.predicted),
    "log_loss": lambda y, s: metrics.log_loss(y, s.score),
    "brier": lambda y, s: metrics.brier_score_loss(y, s.score),
    "f1": lambda y, s: metrics.f1_score(y, s.predicted),
    "precision": lambda y, s: metrics.precision_score(y, s.predicted),
    "recall": lambda y, s: metrics.recall_score(y, s.predicted),
    "rmse": lambda y, s: metrics.root_mean_squared_error(y, s.predicted),
    "mae": lambda y, s: metrics.mean_absolute_error(y, s.predicted),
}


def world(seed, rows, first=0.5, second=0.8):
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=rows) * 1.5
    label = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    sides = []
    for noise in (first, second):
        score = 1 / (1 + np.exp(-(logit + noise * rng.normal(size=rows))))
        sides.append(Side(score, (score > 0.5).astype(float)))
    return label, sides[0], sides[1]


@pytest.mark.parametrize("metric", REFERENCE)
def test_the_metric_is_the_librarys(metric):
    label, first, second = world(1, 900)
    found = paired.compare(metric, label, first, second)
    a, b = (REFERENCE[metric](label, side) for side in (first, second))
    assert (found.candidate, found.champion) == (pytest.approx(a, abs=1e-6), pytest.approx(b, abs=1e-6))
    assert found.gain == pytest.approx(a - b if metric in paired.HIGHER else b - a, abs=1e-6)


@pytest.mark.parametrize("metric", REFERENCE)
def test_the_stated_error_is_the_one_that_repetition_shows(metric):
    found = [paired.compare(metric, *world(seed, 600)) for seed in range(200)]
    spread = np.std([e.gain for e in found])
    assert 0.8 * spread < np.median([e.error for e in found]) < 1.3 * spread


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth = paired.compare("auc", *world(9, 400_000)).gain
    found = [paired.compare("auc", *world(seed, 500)).interval(1.96) for seed in range(300)]
    covered = [low < truth < high for low, high in found]
    assert 0.92 < np.mean(covered) < 0.99


def test_rows_of_one_group_count_once():
    label, first, second = world(3, 300)
    again = [np.tile(v, 5) for v in (label, first.score, first.predicted, second.score, second.predicted)]
    sides = Side(again[1], again[2]), Side(again[3], again[4])
    alone = paired.compare("brier", label, first, second).error
    naive = paired.compare("brier", again[0], *sides).error
    grouped = paired.compare("brier", again[0], *sides, np.tile(np.arange(300), 5)).error
    assert naive < 0.6 * alone
    assert grouped == pytest.approx(alone, rel=0.05)


def test_few_rows_that_agree_are_not_certainty():
    label = np.array([0.0, 1.0] * 10)
    same = Side(label, label)
    assert paired.compare("accuracy", label, same, same).error > 0.04


def test_calibration_error_is_found_and_its_absence_too():
    label, first, _ = world(5, 20_000, first=0.0)
    assert paired.calibration(label, first.score)[0] < 0.02
    squeezed = 0.3 + 0.4 * first.score
    error, low, high = paired.calibration(label, squeezed)
    assert low < error < high
    assert low > 0.08
