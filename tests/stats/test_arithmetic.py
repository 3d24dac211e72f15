from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sickbay.stats import arrivals, breakage, grading, labels, onset, segments, shift
from sickbay.stats.answers import threshold

rng = np.random.default_rng(7)
sizes = st.floats(1e-4, 0.5)


@given(sizes, sizes)
@settings(max_examples=60, deadline=None)
def test_a_measurement_without_precision_teaches_nothing(effect, practical):
    assert abs(grading.grade(effect, 1e6, practical)) < 0.01


@given(sizes)
@settings(max_examples=60, deadline=None)
def test_a_tiny_effect_speaks_against_however_precise_it_is(practical):
    assert grading.grade(0.1 * practical, 1e-9, practical) < -1.5
    assert grading.grade(-5 * practical, 1e-9, practical) < -2
    assert grading.grade(4 * practical, 1e-9, practical) > 5


@given(st.floats(0, 0.3), st.floats(0, 0.3), st.floats(1e-4, 0.05))
@settings(max_examples=60, deadline=None)
def test_a_larger_effect_never_speaks_less(a, b, error):
    low, high = sorted((a, b))
    assert grading.grade(low, error, 0.03) <= grading.grade(high, error, 0.03) + 1e-9


def test_looking_at_many_columns_is_paid_for():
    noise = grading.grades(rng.normal(0, 0.01, 5000), np.full(5000, 0.01), 0.02)
    assert grading.any_of(noise) < 1
    assert grading.any_of([*noise, 60.0]) > 40
    assert grading.any_of([]) == 0


def test_an_effect_that_is_not_known_teaches_nothing():
    assert grading.grade(math.nan, 0.1, 0.1) == 0


def series(levels, rows=800):
    rows = np.full(len(levels), float(rows))
    return rng.binomial(rows.astype(int), levels) / rows, rows


def test_a_step_is_dated_and_an_instant():
    found = onset.find(*series(np.where(np.arange(60) < 40, 0.06, 0.13)))
    assert found is not None
    assert found.low <= 40 <= found.high
    assert found.log_factor > 10
    assert found.instant > 0


def test_a_slope_is_no_instant():
    found = onset.find(*series(np.clip(0.06 + (np.arange(60) - 20) * 0.003, 0.06, 0.16)))
    assert found is not None
    assert found.instant < -3
    assert found.width > 15


def test_no_change_is_no_onset():
    factors = [onset.find(*series(np.full(60, 0.1))).log_factor for _ in range(40)]
    assert np.quantile(factors, 0.9) < 1


def test_too_short_a_series_has_no_onset():
    assert onset.find(np.array([0.1, 0.2, 0.3]), np.ones(3)) is None


def test_a_shift_is_told_and_its_absence_too():
    x, y = rng.normal(size=(3000, 3)), rng.normal(size=(3000, 3))
    none = np.zeros(3, dtype=bool)
    assert abs(shift.tell_apart(x, y, none).auc - 0.5) < 0.04
    moved = shift.tell_apart(x, y + 0.8, none)
    assert moved.auc > 0.75
    assert 0 < moved.effective_share < 1


def test_the_loss_that_moved_inputs_carry_is_estimated():
    x, y = rng.normal(size=(6000, 2)), rng.normal(size=(6000, 2))
    y[:, 0] += 0.7
    loss = (rng.random(6000) < np.clip(0.1 + 0.15 * x[:, 0], 0.01, 0.9)).astype(float)
    truth = np.clip(0.1 + 0.15 * y[:, 0], 0.01, 0.9).mean()
    none = np.zeros(2, dtype=bool)
    carried = shift.carried_loss(x, loss, y, shift.tell_apart(x, y, none), none)
    assert carried.loss == pytest.approx(truth, abs=0.03)


def test_resampling_follows_the_weights():
    rows = shift.resample(np.array([1.0, 1.0, 2.0, 0.0]))
    assert rows.tolist() == [0, 1, 2, 2]


def test_the_coin_that_was_tossed_is_found():
    expected = rng.random(20_000)
    truth = rng.random(20_000) < expected
    booked = np.where(truth & (rng.random(20_000) < 0.3), 0.0, truth.astype(float))
    missed, invented = labels.coin(expected, booked)
    assert missed == pytest.approx(0.3, abs=0.03)
    assert invented < 0.02


def test_moved_inputs_are_not_a_changed_meaning():
    x, y = rng.normal(size=(5000, 2)), rng.normal(size=(5000, 2)) + 0.8
    none = np.zeros(2, dtype=bool)

    def meaning(m):
        return (rng.random(len(m)) < 1 / (1 + np.exp(-2 * m[:, 0]))).astype(float)

    assert labels.compare(x, meaning(x), y, meaning(y), none).gain < 0.006
    assert labels.compare(x, meaning(x), y, meaning(-y), none).gain > 0.1


def test_the_usual_delay_is_not_a_loss_of_labels():
    age = 60 - np.arange(60) - 0.5
    usual = 1 - np.exp(-age / 3)
    found = arrivals.fit(usual, np.full(60, 500.0), 1.0)
    assert found is not None
    assert found.drop < 0.03
    assert found.delay_days == pytest.approx(3, rel=0.3)
    lost = arrivals.fit(usual * np.where(np.arange(60) >= 40, 0.6, 1.0), np.full(60, 500.0), 1.0)
    assert lost is not None
    assert lost.drop == pytest.approx(0.4, abs=0.06)
    assert lost.log_factor > 5


def test_a_mix_at_former_losses_is_counted_out():
    before = np.array(["a"] * 80 + ["b"] * 20, dtype=object)
    now = np.array(["a"] * 40 + ["b"] * 60, dtype=object)
    loss = np.where(before == "b", 0.5, 0.1)
    found = segments.mix(np.repeat(before, 50), np.repeat(now, 50), np.repeat(loss, 50), np.repeat(before, 50))
    assert found.carried == pytest.approx(0.16, abs=0.01)
    assert found.js > 0.2


def test_distances_of_samples():
    assert breakage.ks(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert breakage.ks(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert breakage.total_variation(np.array(["a", "b"], dtype=object), np.array(["b", "c"], dtype=object)) == 0.5


def test_the_threshold_is_read_off_the_log():
    score = np.linspace(0, 1, 1001)
    assert threshold(score, (score >= 0.37).astype(float)) == pytest.approx(0.37, abs=0.001)
    assert threshold(score, np.ones(1001)) == 0.5
