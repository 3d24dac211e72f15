"""What must hold for any values: the arithmetic of the explainer, and what it must not claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sickbay.stats.skew import History, Pairs, Tolerance, differ, explain, lags
from sickbay.stats.skew.aggregates import over
from sickbay.stats.skew.hypotheses.rounding import nearest
from sickbay.stats.skew.interval import wilson
from sickbay.stats.skew.timeline import timeline

few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 10_000)


def values(seed: int, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(rng.uniform(-2, 6), 1, n)) * rng.choice([-1, 1], n)


@few
@given(seeds, st.floats(0.05, 0.4), st.sampled_from([2.0, 1e-3, 100.0, 1.17, -4.0, 0.45359237]))
def test_a_factor_is_found_whatever_the_values_and_the_share(seed, share, factor):
    offline = values(seed, 600)
    wrong = np.random.default_rng(seed).random(600) < share
    found = explain(Pairs("x", "number", offline, np.where(wrong, offline * factor, offline)))
    assert found.leader is not None
    assert found.leader.hypothesis == "unit-scale"
    assert found.leader.parameters["factor"] == pytest.approx(factor, rel=1e-6)
    assert found.leader.coverage == pytest.approx(1.0, abs=0.02)


@few
@given(seeds, st.floats(-15, -8))
def test_float_noise_is_no_skew(seed, size):
    offline = values(seed)
    online = offline * (1 + np.random.default_rng(seed).normal(0, 10.0**size, len(offline)))
    assert explain(Pairs("x", "number", offline, online)).explanations == ()


@few
@given(seeds)
def test_values_that_have_nothing_to_do_with_each_other_follow_no_rule(seed):
    found = explain(Pairs("x", "number", values(seed), values(seed + 20_000)))
    assert {e.hypothesis for e in found.explanations} <= {"other-source"}


@few
@given(seeds)
def test_few_levels_that_differ_at_random_follow_no_rule(seed):
    rng = np.random.default_rng(seed)
    offline, online = (rng.integers(0, 4, 400).astype(float) for _ in range(2))
    assert explain(Pairs("n", "number", offline, online)).explanations == ()
    words = np.array(list("abcd"), dtype=object)
    text = explain(Pairs("w", "text", words[offline.astype(int)], words[online.astype(int)]))
    assert text.explanations == ()


@few
@given(seeds, st.floats(0.001, 0.009))
def test_a_few_late_rows_are_no_fault(seed, share):
    rng = np.random.default_rng(seed)
    who, when = np.repeat(np.arange(50), 40), np.tile(np.arange(40) * 3600.0, 50)
    history = History(who, when, np.round(rng.normal(50, 10, 2000), 2))
    rows = rng.integers(1, 39, 3000) + 40 * rng.integers(0, 50, 3000)
    offline = history.value[rows]
    late = rng.random(3000) < share
    online = np.where(late, history.value[rows - 1], offline)
    found = explain(Pairs("x", "number", offline, online, who[rows], when[rows] + 60.0), history=history)
    assert found.explanations == ()


@few
@given(seeds)
def test_the_same_pairs_give_the_same_answer(seed):
    offline = values(seed)
    pairs = Pairs("x", "number", offline, np.round(offline, 1))
    assert explain(pairs) == explain(pairs)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_differing_is_symmetric_and_nothing_differs_from_itself(listed):
    first = np.array(listed)
    second = np.roll(first, 1)
    assert not differ(first, first, Tolerance(0.0, 0.0)).any()
    assert np.array_equal(differ(first, second), differ(second, first))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 500), st.integers(1, 500))
def test_an_interval_holds_its_share(hits, rows):
    low, high = wilson(min(hits, rows), rows)
    assert 0 <= low <= min(hits, rows) / rows <= high <= 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=30))
def test_the_stretch_in_most_intervals_is_the_one_of_a_plain_count(listed):
    low = np.array([a for a, _ in listed], dtype=float)
    high = low + np.array([w for _, w in listed])
    start, end, count = lags.stab(low, high)
    counts = [int(((low < at) & (at <= high)).sum()) for at in np.arange(0.5, 80, 0.5)]
    assert count == max(counts)
    middle = (start + end) / 2
    assert int(((low < middle) & (middle <= high)).sum()) == count


@settings(deadline=None, max_examples=50)
@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_rounding_is_within_half_a_step(value, digits):
    assert abs(nearest(np.array([value]), 10.0**-digits)[0] - value) <= 0.5 * 10.0**-digits * (1 + 1e-9) + 1e-9


@few
@given(seeds, st.integers(1, 40))
def test_an_aggregate_is_the_one_of_a_plain_loop(seed, hours):
    rng = np.random.default_rng(seed)
    who, when = rng.integers(0, 5, 200), rng.integers(0, 200, 200) * 3600.0
    amount = np.round(rng.normal(10, 5, 200), 2)
    line = timeline(History(who, when, amount), who)
    ask_who, ask_when = rng.integers(0, 6, 50), rng.integers(-10, 230, 50) * 3600.0
    for how, plain in (("sum", np.sum), ("count", len), ("max", np.max), ("min", np.min)):
        made = over(line, ask_who, ask_when - hours * 3600.0, ask_when, how, closed=True)
        for i in range(50):
            inside = amount[(who == ask_who[i]) & (when > ask_when[i] - hours * 3600.0) & (when <= ask_when[i])]
            wanted = plain(inside) if len(inside) or how in ("sum", "count") else np.nan
            assert made[i] == pytest.approx(wanted, nan_ok=True, abs=1e-9)
