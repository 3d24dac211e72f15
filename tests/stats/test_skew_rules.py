"""Rules that others could be taken for: near copies of a column, steps against offsets, constants, chains, times."""

from __future__ import annotations

import numpy as np
import pytest

from sickbay.stats.skew import History, Pairs, Tolerance, explain
from sickbay.stats.skew.timeline import timeline

N = 4_000


def sides(kind="number", *, seed=1, offline, altered, share=0.3, others=None):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(offline)) < share
    online = offline.copy()
    online[wrong] = altered[wrong]
    mine = others or {}
    return Pairs("amount", kind, offline, online, None, None, dict(mine), dict(mine))


def money(seed=1):
    return np.round(np.random.default_rng(seed).lognormal(3, 1, N), 2)


COPIES = {
    "unit-scale": lambda x: x * 1.19,
    "rounding": lambda x: np.round(x, 0),
    "truncation": np.trunc,
    "clip": lambda x: np.minimum(x, 30.0),
    "affine": lambda x: x + 4.9,
    "sign": np.negative,
}


@pytest.mark.parametrize("rule", COPIES)
@pytest.mark.parametrize("copied", [1.0, 0.97])
def test_a_column_that_is_nearly_a_copy_is_no_swapped_column(rule, copied):
    x = money()
    made = COPIES[rule](x)
    copy = np.where(np.random.default_rng(2).random(N) < copied, made, money(3))
    found = explain(sides(offline=x, altered=made, others={"copy": copy}))
    assert found.leader is not None
    assert found.leader.hypothesis == rule, found
    assert "swapped-column" not in {e.hypothesis for e in found.explanations}
    if copied == 1.0 and rule != "affine":  # all differences are one: by these no column is known
        assert "swapped-column" in found.leader.rivals


def test_a_copy_that_stayed_right_is_not_where_the_value_comes_from():
    x = money()
    pairs = sides(offline=x, altered=money(6), share=0.5, others={"copy": x})
    assert "swapped-column" not in {e.hypothesis for e in explain(pairs).explanations}


def test_of_near_copies_the_one_that_fits_clearly_better_than_any_rule_is_named():
    x = money()
    copy = np.where(np.random.default_rng(2).random(N) < 0.8, x * 1.19, money(3))
    found = explain(sides(offline=x, altered=copy, others={"gross": copy}))
    assert found.leader is not None
    assert (found.leader.hypothesis, found.leader.parameters["column"]) == ("swapped-column", "gross")


def test_two_columns_that_changed_places_are_named_though_one_is_a_multiple_of_the_other():
    x = money()
    wrong = np.random.default_rng(1).random(N) < 0.3
    gross = x * 1.19
    pairs = Pairs(
        "net", "number", x, np.where(wrong, gross, x), None, None, {"gross": gross},
        {"gross": np.where(wrong, x, gross)},
    )  # fmt: skip
    found = explain(pairs)
    assert found.leader is not None
    assert (found.leader.hypothesis, found.leader.parameters["mutual"]) == ("swapped-column", True)


def test_prices_brought_to_a_step_are_not_a_cent_dearer():
    rng = np.random.default_rng(4)
    x = rng.integers(1, 60, N) - rng.choice([0.01, 0.05, 0.0], N)
    found = explain(sides(offline=x, altered=np.round(x * 20) / 20))
    assert found.leader is not None
    assert (found.leader.hypothesis, found.leader.parameters) == ("rounding", {"step": 0.05})


def test_many_values_that_became_one_are_a_constant_and_no_rounding():
    x = np.random.default_rng(5).integers(0, 45, N).astype(float)
    found = explain(sides(offline=x, altered=np.zeros(N)))
    assert [e.hypothesis for e in found.explanations] == ["default-for-null"]


def test_the_commonest_value_of_another_source_is_no_default():
    rng = np.random.default_rng(6)
    x = rng.beta(0.6, 3, N)
    found = explain(sides(offline=x, altered=np.round(x * rng.lognormal(0.1, 0.3, N) + 3, 2)))
    assert [e.hypothesis for e in found.explanations] == ["other-source"]


@pytest.mark.parametrize(("factor", "digits"), [(1.19, 2), (0.84, 2), (1.609344, 1)])
def test_a_factor_is_found_though_the_result_was_rounded(factor, digits):
    x = money()
    found = explain(sides(offline=x, altered=np.round(x * factor, digits)))
    assert [e.hypothesis for e in found.explanations] == ["unit-scale"]
    assert found.leader is not None
    assert found.leader.parameters == {"factor": pytest.approx(factor, rel=1e-4), "rounded": True}


def test_of_two_rules_one_on_the_other_the_first_is_told_first():
    x = money()
    found = explain(sides(offline=x, altered=np.minimum(x * 60, 800.0)))
    assert [e.hypothesis for e in found.explanations] == ["unit-scale", "clip"]


@pytest.mark.parametrize(("word", "step"), [("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)])
def test_times_cut_to_whole_days_hours_and_minutes(word, step):
    x = 1.77e9 + np.random.default_rng(7).integers(0, 60 * 86400, N).astype(float)
    found = explain(sides("time", offline=x, altered=np.floor(x / step) * step))
    assert found.leader is not None
    assert (found.leader.hypothesis, found.leader.parameters) == ("truncation", {"step": word, "way": "down"})


@pytest.mark.filterwarnings("error")
def test_values_at_the_end_of_the_range_of_floats_are_no_trouble():
    x = 10.0 ** np.random.default_rng(8).uniform(-300, 300, N)
    found = explain(sides(offline=x, altered=x * 100))
    assert found.leader is not None
    assert found.leader.hypothesis == "unit-scale"


def test_long_identifiers_that_lost_their_last_digits():
    x = np.random.default_rng(9).integers(10**11, 10**12, N).astype(float)
    found = explain(sides(offline=x, altered=np.floor(x / 1000) * 1000), tolerance=Tolerance(0.0, 1e-12))
    assert found.leader is not None
    assert (found.leader.hypothesis, found.leader.parameters["digits"]) == ("truncation", -3)


def truths(rule, *, share=0.5, seed=10):
    """Pairs of a truth value with its history; ``rule`` gives the altered value for entities and times."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(200), 60)
    when = np.concatenate([np.sort(rng.uniform(0, 60 * 3600 * 6, 60)) for _ in range(200)])
    history = History(who, when, (rng.random(len(who)) < 0.3).astype(float))
    line = timeline(history, who)
    entity, time = rng.integers(0, 200, N), rng.uniform(20 * 3600 * 6, 55 * 3600 * 6, N)
    offline = line.at(entity, time)
    altered = rule(line, entity, time, rng)
    online = np.where(rng.random(N) < share, altered, offline)
    return Pairs("flag", "boolean", offline, online, entity, time), history


def test_truth_values_of_some_hours_ago():
    pairs, history = truths(lambda line, who, at, rng: line.at(who, at - 2 * 3600.0))
    found = explain(pairs, history=history)
    assert found.leader is not None
    assert found.leader.hypothesis == "constant-lag"
    assert found.leader.parameters["lag_seconds"] == pytest.approx(7200, rel=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_truth_values_turned_round_at_random_are_no_lag(seed):
    pairs, history = truths(lambda line, who, at, rng: 1 - line.at(who, at), share=0.1, seed=seed)
    assert explain(pairs, history=history).explanations == ()


def test_a_factor_that_is_close_to_a_known_unit_is_found_as_it_is():
    x = np.random.default_rng(4).lognormal(2, 1, N)
    found = explain(sides(offline=x, altered=x * 0.621371))
    assert found.leader is not None
    assert (found.leader.hypothesis, found.leader.parameters["factor"]) == ("unit-scale", 0.621371)


@pytest.mark.parametrize(("share", "claimed"), [(1.0, ["sign"]), (0.97, ["sign"]), (0.5, []), (0.05, [])])
def test_a_truth_value_is_inverted_only_where_nearly_all_pairs_differ(share, claimed):
    x = (np.random.default_rng(5).random(N) < 0.2).astype(float)
    found = explain(sides("boolean", offline=x, altered=1 - x, share=share))
    assert [one.hypothesis for one in found.explanations] == claimed
