"""Growth and scalability: known curves are recovered, noise widens the answer, nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sickbay.stats import latency
from sickbay.stats.scaling import by_level, growth, pooling, scalability, steepness

SIZES = np.array([4.0, 40, 80, 160])


@given(st.floats(0.8, 2.6), st.floats(0.001, 0.02))
@settings(max_examples=40, deadline=None)
def test_the_order_of_a_clean_curve_lies_in_its_interval(order, constant):
    found = growth(SIZES, constant + 2e-4 * SIZES**order)
    assert found.low - 0.06 <= order <= found.high + 0.06


def test_linear_and_quadratic_work_are_told_apart_in_noise():
    rng = np.random.default_rng(3)
    for _ in range(20):
        noise = np.exp(rng.normal(0, 0.06, 4))
        assert growth(SIZES, (0.01 + 0.004 * SIZES) * noise).low < 1.36
        assert growth(SIZES, (0.01 + 4e-5 * SIZES**2) * noise).low > 1.36


def test_a_constant_time_does_not_grow():
    assert growth(SIZES, [0.2, 0.21, 0.19, 0.2]).growing < 0.2


@pytest.mark.parametrize(("sizes", "times"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 0, 2]), ([1, 2, 3], [1, 2])])
def test_growth_refuses_nonsense(sizes, times):
    with pytest.raises(ValueError, match="growth"):
        growth(sizes, times)


def test_the_law_is_recovered_and_says_whether_more_workers_help():
    n = np.array([1, 2, 4, 8, 16, 32])
    shared = 100 * n / (1 + 0.3 * (n - 1) + 0.002 * n * (n - 1))
    found = scalability(n, shared * np.exp(np.random.default_rng(0).normal(0, 0.02, 6)))
    assert found.serial_low <= 0.3 <= found.serial_high
    assert found.gain(8, 16) < 1.25, "a third of the work is serial: twice the workers give hardly more"
    alone = scalability(n, 100.0 * n)
    assert alone.gain(8, 16) > 1.9


def test_without_a_baseline_a_figure_teaches_less():
    known = latency.against(0.5, 0.05, general=0.1, matters=2.5, floor=0.01)
    unknown = latency.against(0.5, None, general=0.05, matters=2.5, floor=0.01)
    assert known > unknown > 0
    assert latency.against(0.05, 0.05, general=0.1, matters=2.5, floor=0.01) < -1


def pods(own, *, seed=0):
    """Return requests under way, throughput and replicas of a day: one share of what is waited for comes with each."""
    rng = np.random.default_rng(seed)
    r = rng.choice([2.0, 3, 4, 6], 600)
    n = r * np.exp(rng.uniform(-0.5, 3.2, 600))
    m = n / r**own
    x = r**own * 40 * m / (1 + 0.15 * (m - 1) + 0.001 * m * (m - 1))
    return n, x * np.exp(rng.normal(0, 0.05, 600)), r


@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
def test_what_replicas_share_is_told_from_what_each_has(own):
    n, x, r = pods(own)
    found = pooling(*by_level(n, x, r)[:3])
    assert found.low - 0.05 <= own <= found.high + 0.05
    assert found.high - found.low < 0.3
    gain = found.gain(12.0, 2, 4)
    assert gain > 1.8 if own == 1 else gain < 1.6 if own else gain < 1.2


def test_levels_leave_out_what_is_not_known_and_say_how_far_points_lie():
    n, x, r = pods(1.0)
    n[::7], x[::5] = np.nan, 0.0
    concurrency, throughput, replicas, spread = by_level(n, x, r)
    assert len(concurrency) == len(throughput) == len(replicas) > 20
    assert 0.04 < spread < 0.2
    assert len(by_level([np.nan], [1.0])[0]) == 0


def test_steepness_is_one_where_nobody_waits_and_nothing_at_the_peak():
    n = np.array([1, 2, 4, 8, 16, 32])
    assert steepness(scalability(n, 100.0 * n), 16) > 0.97
    shared = scalability(n, 100 * n / (1 + 0.4 * (n - 1) + 0.01 * n * (n - 1)))
    assert abs(steepness(shared, shared.peak)) < 0.02


def test_one_number_of_replicas_is_refused():
    with pytest.raises(ValueError, match="replicas"):
        pooling([1, 2, 3, 4], [1, 2, 3, 4], [1, 1, 1, 1])
