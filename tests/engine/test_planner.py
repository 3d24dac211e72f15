"""Which probe comes next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sickbay.engine.planner import FLOORS, Candidate, coverage, information, missing, plan
from sickbay.terms.finding import Finding, measured
from tests.engine.nets import Net, cause, net, observed

CHAIN = net([cause(name, {f"{name}-shows": 0.9}, prior=0.2) for name in ("a", "b", "c")])


def candidates_for(chosen: Net, seconds: list[float]) -> list[Candidate]:
    return [Candidate(f"probe-{name}", (name,), s) for name, s in zip(chosen.kinds, seconds, strict=False)]


costs = st.lists(st.floats(0.01, 100), min_size=5, max_size=5)


@given(observed(grouped=True), costs, st.floats(0, 100), st.sampled_from(list(FLOORS)))
def test_a_probe_that_cannot_finish_is_never_chosen(
    case: tuple[Net, list[Finding]], seconds: list[float], left: float, mode: str
) -> None:
    chosen, findings = case
    candidates = candidates_for(chosen, seconds)
    choices = plan(chosen.belief(findings), candidates, mode=mode, seconds_left=left)  # type: ignore[arg-type]
    by_name = {c.name: c for c in candidates}
    assert all(by_name[choice.name].seconds <= left for choice in choices)


@given(observed(grouped=True), costs)
def test_fast_mode_leaves_nothing_out(case: tuple[Net, list[Finding]], seconds: list[float]) -> None:
    chosen, findings = case
    candidates = candidates_for(chosen, seconds)
    choices = plan(chosen.belief(findings), candidates, mode="fast")
    assert {choice.name for choice in choices} == {c.name for c in candidates}


@given(observed(grouped=True), costs)
def test_a_gentler_mode_never_starts_more(case: tuple[Net, list[Finding]], seconds: list[float]) -> None:
    chosen, findings = case
    belief, candidates = chosen.belief(findings), candidates_for(chosen, seconds)
    gentle, balanced, fast = (
        {choice.name for choice in plan(belief, candidates, mode=mode)} for mode in ("gentle", "balanced", "fast")
    )
    assert gentle <= balanced <= fast


@given(observed(grouped=True), costs, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_the_candidates(
    case: tuple[Net, list[Finding]], seconds: list[float], random: object
) -> None:
    chosen, findings = case
    belief, candidates = chosen.belief(findings), candidates_for(chosen, seconds)
    first = plan(belief, candidates, mode="fast")
    random.shuffle(candidates)  # type: ignore[attr-defined]
    assert plan(belief, candidates, mode="fast") == first
    assert [c.per_second for c in first] == sorted((c.per_second for c in first), reverse=True)


@given(observed(grouped=True))
def test_expected_bits_are_never_negative_and_never_beyond_the_entropy(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    bits, entropy = information(chosen.belief(findings))
    assert np.all(bits >= 0)
    assert np.all(bits <= entropy + 1e-9)
    assert np.all(bits <= 1 + 1e-9)


def test_a_cheaper_probe_for_the_same_finding_comes_first() -> None:
    choices = plan(CHAIN.belief(), [Candidate("dear", ("a-shows",), 9.0), Candidate("cheap", ("a-shows",), 1.0)])
    assert [choice.name for choice in choices] == ["cheap", "dear"]


def test_equal_choices_are_ordered_by_name() -> None:
    choices = plan(CHAIN.belief(), [Candidate("b", ("a-shows",), 1.0), Candidate("a", ("a-shows",), 1.0)])
    assert [choice.name for choice in choices] == ["a", "b"]


def test_a_probe_whose_findings_no_cause_shows_promises_nothing() -> None:
    (choice,) = plan(CHAIN.belief(), [Candidate("idle", ("linked-with-nothing",), 1.0)], mode="fast")
    assert choice.information == 0


def test_a_finding_whose_group_has_voted_promises_half() -> None:
    grouped = net([cause("a", {"x": 0.9, "y": 0.9}, prior=0.2)], {"x": "g", "y": "g"})
    apart = net([cause("a", {"x": 0.9, "y": 0.9}, prior=0.2)])
    probe = [Candidate("p", ("y",), 1.0)]
    (discounted,), (whole,) = (plan(n.belief([measured("x", 0.5)]), probe) for n in (grouped, apart))
    assert discounted.information == pytest.approx(whole.information / 2)


def test_what_is_in_flight_is_not_asked_again() -> None:
    grouped = net([cause("a", {"x": 0.9, "y": 0.9}, prior=0.2)], {"x": "g", "y": "g"})
    flying = Candidate("flying", ("x",), 1.0)
    assert plan(grouped.belief(), [Candidate("twin", ("y",), 1.0)], in_flight=[flying], mode="balanced") == []


def test_what_is_in_flight_makes_the_others_worth_less() -> None:
    probe, flying = [Candidate("p", ("b-shows",), 1.0)], [Candidate("q", ("a-shows",), 1.0)]
    (alone,), (beside,) = plan(CHAIN.belief(), probe), plan(CHAIN.belief(), probe, in_flight=flying)
    assert 0 < beside.information < alone.information


def test_a_finding_already_taken_promises_nothing() -> None:
    (choice,) = plan(CHAIN.belief([measured("a-shows", 1.0)]), [Candidate("p", ("a-shows",), 1.0)], mode="fast")
    assert choice.information == 0


def test_nothing_is_promised_when_nothing_is_in_doubt() -> None:
    belief = net([cause("a", {"x": 0.9}, prior=1e-6)]).belief()
    assert plan(belief, [Candidate("p", ("x",), 1.0)]) == []


@given(observed(grouped=True))
def test_coverage_is_a_share_and_whole_when_everything_was_measured(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    assert 0 <= coverage(chosen.belief(findings)) <= 1
    assert coverage(chosen.belief([measured(name, -1.0) for name in chosen.kinds])) == pytest.approx(1)


def test_coverage_is_nothing_when_nothing_was_measured() -> None:
    assert coverage(CHAIN.belief()) == 0


def test_missing_findings_are_sorted_by_what_they_could_bring() -> None:
    chosen = net([cause("a", {"sharp": 0.95, "dull": 0.1}, prior=0.3)])
    names = [name for name, _ in missing(chosen.belief(), ["dull", "sharp", "linked-with-nothing"])]
    assert names == ["sharp", "dull", "linked-with-nothing"]
