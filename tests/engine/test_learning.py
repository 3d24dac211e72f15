"""Learning from closed incidents and from the lab."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sickbay.engine.learning import ENOUGH, LINK_WEIGHT, OTHER, Observed, learn, strength_from_counts
from tests.engine.nets import cause

CAUSES = [cause("a", {"x": 0.6, "y": 0.3}, prior=0.1), cause("b", {"x": 0.1}, prior=0.2)]
LEAKS = {"x": 0.03, "y": 0.03}


@given(st.integers(0, ENOUGH - 1))
def test_nothing_is_learned_from_fewer_than_fifty_incidents(count: int) -> None:
    learned, differences = learn(CAUSES, [Observed("a", {"x": True})] * count, LEAKS)
    assert learned == CAUSES
    assert differences == []


def test_fifty_incidents_move_the_prior_towards_what_happened() -> None:
    learned, differences = learn(CAUSES, [Observed("a", {"x": True})] * ENOUGH, LEAKS)
    assert learned[0].prior == pytest.approx((30 * 0.1 + 50) / 80)
    assert learned[1].prior == pytest.approx((30 * 0.2 + 0) / 80)
    assert {(d.cause, d.finding) for d in differences} == {("a", ""), ("b", ""), ("a", "x")}
    assert next(d for d in differences if d.finding == "x").cases == ENOUGH


def test_a_learned_link_says_how_many_incidents_speak_and_the_others_stay() -> None:
    learned, _ = learn(CAUSES, [Observed("a", {"x": True})] * ENOUGH, LEAKS)
    assert learned[0].shows["x"].strength > 0.6
    assert "50 closed incidents" in learned[0].shows["x"].basis
    assert learned[0].shows["y"] is CAUSES[0].shows["y"]
    assert learned[1].shows == CAUSES[1].shows


def test_learning_is_reversible_because_the_causes_given_are_not_touched() -> None:
    before = copy.deepcopy(CAUSES)
    learn(CAUSES, [Observed("a", {"x": False, "y": True})] * 80, LEAKS)
    assert before == CAUSES


def test_incidents_with_another_cause_lower_every_prior() -> None:
    learned, _ = learn(CAUSES, [Observed(OTHER, {})] * ENOUGH, LEAKS)
    assert all(new.prior < old.prior for new, old in zip(learned, CAUSES, strict=True))


incidents = st.builds(
    Observed,
    st.sampled_from(["a", "b", OTHER]),
    st.dictionaries(st.sampled_from(["x", "y", "unheard-of"]), st.booleans()),
)


@given(st.lists(incidents, min_size=ENOUGH, max_size=90))
def test_what_is_learned_stays_a_probability_and_every_change_is_shown(cases: list[Observed]) -> None:
    learned, differences = learn(CAUSES, cases, LEAKS)
    shown = {(d.cause, d.finding) for d in differences}
    for new, old in zip(learned, CAUSES, strict=True):
        assert 0 < new.prior < 1
        assert (new.id, "") in shown or new.prior == pytest.approx(old.prior)
        for name, link in new.shows.items():
            assert 0 < link.strength < 1
            assert (new.id, name) in shown or link.strength == pytest.approx(old.shows[name].strength)


@given(st.floats(0.01, 0.99), st.integers(0, 200), st.integers(0, 200))
def test_a_strength_from_counts_lies_between_the_word_and_the_share(word: float, on: int, more: int) -> None:
    of = on + more
    strength = strength_from_counts(word, on, of)
    share = on / of if of else word
    assert min(word, share) - 1e-12 <= strength <= max(word, share) + 1e-12
    assert strength == pytest.approx((LINK_WEIGHT * word + on) / (LINK_WEIGHT + of))


@pytest.mark.parametrize(("on", "of"), [(3, 2), (-1, 5), (0, -1)])
def test_counts_that_make_no_sense_are_refused(on: int, of: int) -> None:
    with pytest.raises(ValueError, match="between 0 and of"):
        strength_from_counts(0.5, on, of)
