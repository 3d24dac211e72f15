"""The belief, held against enumeration of the joint distribution."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sickbay.engine.belief import MOST_FACTOR, Belief, summary, take_all
from sickbay.terms.change import CHANGE_KINDS, Change
from sickbay.terms.finding import CAP, Finding, measured, unknown
from tests.engine.nets import Net, brute_force, cause, full_joint, marginal, net, nets, observed

CLOSE = {"rtol": 0, "atol": 1e-10}


def beliefs_of(belief: Belief) -> dict[str, float]:
    return dict(zip((c.id for c in belief.network.causes), belief.marginals().tolist(), strict=True))


@given(observed())
def test_marginals_equal_the_enumerated_joint(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief, joint = chosen.belief(findings), full_joint(chosen, findings)
    for name, probability in beliefs_of(belief).items():
        assert probability == pytest.approx(marginal(joint, name), abs=1e-10)
    assert belief.none() == pytest.approx(joint[frozenset()], abs=1e-10)


@given(observed(grouped=True))
def test_marginals_of_grouped_findings_equal_the_direct_product(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief, direct = chosen.belief(findings), brute_force(chosen, findings)
    for name, probability in beliefs_of(belief).items():
        assert probability == pytest.approx(marginal(direct, name), abs=1e-10)


@given(observed(grouped=True))
def test_probabilities_lie_between_0_and_1_and_sum_up(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief = chosen.belief(findings)
    assert belief.posterior().sum() == pytest.approx(1)
    for values in (belief.posterior(), belief.marginals(), np.array([belief.none()]), belief.network.on):
        assert np.all((values >= 0) & (values <= 1 + 1e-12))
    # Every row but "none" holds one or two causes, so the marginals count each of them once or twice.
    assert 1 - belief.none() - 1e-9 <= belief.marginals().sum() <= 2 * (1 - belief.none()) + 1e-9


@given(observed(grouped=True), st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter(case: tuple[Net, list[Finding]], random: object) -> None:
    chosen, findings = case
    shuffled = list(findings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_allclose(chosen.belief(findings).posterior(), chosen.belief(shuffled).posterior(), **CLOSE)


@given(observed(grouped=True), st.data())
def test_a_withdrawn_finding_was_never_taken(case: tuple[Net, list[Finding]], data: st.DataObject) -> None:
    chosen, findings = case
    if not findings:
        return
    gone = data.draw(st.sampled_from(findings))
    belief = chosen.belief(findings)
    belief.withdraw(gone.id)
    never = chosen.belief([f for f in findings if f is not gone])
    np.testing.assert_allclose(belief.posterior(), never.posterior(), **CLOSE)
    assert belief.taken == never.taken
    assert belief.unexplained() == never.unexplained()


@given(observed(grouped=True), st.lists(st.floats(-6, 6), min_size=1, max_size=30))
def test_taking_and_withdrawing_many_times_does_not_wear_the_belief_down(
    case: tuple[Net, list[Finding]], ratios: list[float]
) -> None:
    chosen, findings = case
    belief = chosen.belief(findings)
    before = belief.posterior()
    for ratio in ratios:
        for name in chosen.kinds:
            if name not in {f.id for f in findings}:
                belief.take(measured(name, ratio))
                belief.withdraw(name)
    np.testing.assert_allclose(belief.posterior(), before, **CLOSE)


@given(observed(grouped=True))
def test_a_finding_taken_again_replaces_what_was_taken(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief = chosen.belief([replace(f, log_ratio=-f.log_ratio) for f in findings])
    for finding in findings:
        belief.take(finding)
    np.testing.assert_allclose(belief.posterior(), chosen.belief(findings).posterior(), **CLOSE)


@given(observed(grouped=True))
def test_unknown_changes_nothing(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    only_measured = chosen.belief([f for f in findings if f.status == "measured"])
    belief = chosen.belief(findings)
    for name in chosen.kinds:
        if name not in belief.taken:
            belief.take(unknown(name, "timed out: no answer"))
    np.testing.assert_array_equal(belief.posterior(), only_measured.posterior())


def test_a_finding_that_becomes_unknown_is_forgotten() -> None:
    chosen = net([cause("a", {"x": 0.9})])
    belief = chosen.belief([measured("x", 3.0)])
    belief.take(unknown("x", "no data: it is gone"))
    np.testing.assert_allclose(belief.posterior(), chosen.belief().posterior(), **CLOSE)


@given(st.floats(-4, 4), st.integers(2, 6), st.floats(0.05, 0.95))
def test_near_copies_in_a_group_do_not_add_up(ratio: float, copies: int, strength: float) -> None:
    names = [f"copy{i}" for i in range(copies)]
    chosen = net([cause("a", dict.fromkeys(names, strength)), cause("b", {})], dict.fromkeys(names, "one quantity"))
    many = chosen.belief([measured(name, ratio) for name in names])
    once = chosen.belief([measured(names[0], ratio)])
    np.testing.assert_allclose(many.posterior(), once.posterior(), **CLOSE)


def test_findings_of_different_groups_do_add_up() -> None:
    chosen = net([cause("a", {"x": 0.9, "y": 0.9})])
    one = chosen.belief([measured("x", 2.0)])
    two = chosen.belief([measured("x", 2.0), measured("y", 2.0)])
    assert two.marginals()[0] > one.marginals()[0]


@given(observed(grouped=True), st.sets(st.sampled_from(CHANGE_KINDS)))
def test_ledger_and_prior_odds_sum_up_to_the_posterior_odds_against_none(
    case: tuple[Net, list[Finding]], kinds: set[str]
) -> None:
    chosen, findings = case
    belief = take_all(chosen.network(), findings, [change(kind) for kind in sorted(kinds)])
    posterior = belief.log_posterior()
    for i in range(len(chosen.causes)):
        terms = [value for _, value in belief.ledger(i)]
        odds = posterior[belief.network.single(i)] - posterior[0]
        assert belief.log_odds[i] + math.fsum(terms) == pytest.approx(odds, abs=1e-9)
        assert [abs(t) for t in terms] == sorted((abs(t) for t in terms), reverse=True)


@given(nets(), st.floats(CAP, 60), st.sampled_from([1, -1]))
def test_a_log_ratio_counts_for_no_more_than_ln_100(chosen: Net, ratio: float, sign: int) -> None:
    for name in chosen.kinds:
        wild = Finding(name, "measured", sign * ratio)  # a plugin that did not use `measured`
        np.testing.assert_array_equal(
            chosen.belief([wild]).posterior(), chosen.belief([measured(name, sign * CAP)]).posterior()
        )


@pytest.mark.parametrize("ratio", [math.inf, -math.inf])
def test_an_infinite_log_ratio_is_capped_too(ratio: float) -> None:
    chosen = net([cause("a", {"x": 0.9})])
    belief = chosen.belief([Finding("x", "measured", ratio)])
    assert np.isfinite(belief.log_posterior()).all()
    assert measured("x", ratio).log_ratio == math.copysign(CAP, ratio)


@given(st.floats(0.2, 5), st.integers(1, 4))
def test_a_kind_of_change_scales_priors_once_however_often_it_is_seen(factor: float, times: int) -> None:
    chosen = net([cause("a", {"x": 0.9}, scaled_by={"deploy": factor}), cause("b", {"x": 0.5})])
    belief = take_all(chosen.network(), [measured("x", 1.0)], [change("deploy")] * times)
    direct = brute_force(chosen, [measured("x", 1.0)], changes=["deploy"])
    assert beliefs_of(belief)["a"] == pytest.approx(marginal(direct, "a"), abs=1e-10)
    assert beliefs_of(belief)["b"] == pytest.approx(marginal(direct, "b"), abs=1e-10)


def test_changes_together_multiply_prior_odds_by_at_most_eight() -> None:
    chosen = net([cause("a", {}, scaled_by={"deploy": 6.0, "config": 6.0}), cause("b", {}, scaled_by={"deploy": 1e-9})])
    belief = take_all(chosen.network(), [], [change("deploy"), change("config")])
    np.testing.assert_allclose(
        belief.log_odds - belief.network.log_odds, [math.log(MOST_FACTOR), -math.log(MOST_FACTOR)]
    )


@given(observed(grouped=True))
def test_triples_agree_with_the_direct_product_over_triples(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief = chosen.belief(findings)
    belief.widen()
    direct = brute_force(chosen, findings, most=3)
    for name, probability in beliefs_of(belief).items():
        assert probability == pytest.approx(marginal(direct, name), abs=1e-10)


@given(observed(grouped=True))
def test_triples_leave_the_odds_between_the_other_hypotheses_alone(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief = chosen.belief(findings)
    before = belief.log_posterior()
    belief.widen()
    after = belief.log_posterior()[: len(before)]
    np.testing.assert_allclose(after - after[0], before - before[0], rtol=0, atol=1e-9)


def test_widening_twice_lists_no_hypothesis_twice() -> None:
    chosen = net([cause(name, {"x": 0.5}) for name in "abcd"])
    belief = chosen.belief([measured("x", 2.0)])
    belief.widen()
    once = belief.marginals()
    belief.widen()
    np.testing.assert_allclose(belief.marginals(), once, **CLOSE)


def test_findings_taken_after_widening_count_for_triples_too() -> None:
    chosen = net([cause(name, {name * 2: 0.9}) for name in "abcd"])
    findings = [measured(name * 2, 3.0) for name in "abc"]
    early, late = chosen.belief(findings), chosen.belief()
    early.widen()
    late.widen()
    for finding in findings:
        late.take(finding)
    np.testing.assert_allclose(early.marginals(), late.marginals(), **CLOSE)


def test_a_strong_finding_that_no_cause_shows_stays_unexplained() -> None:
    belief = net([cause("a", {"x": 0.9}, prior=0.3)]).belief([measured("x", 4.0), measured("odd", 3.0)])
    assert belief.unexplained() == ["odd"]


def test_the_summary_names_the_likeliest_first_and_ties_by_name() -> None:
    belief = net([cause("b", {}), cause("a", {}), cause("z", {"x": 0.9})]).belief([measured("x", 3.0)])
    assert list(summary(belief)) == ["z", "a", "b"]


def test_pairs_list_two_causes_that_are_both_needed() -> None:
    belief = net([cause("a", {"x": 0.98}, prior=0.1), cause("b", {"y": 0.98}, prior=0.1)], leak=0.001).belief(
        [measured("x", CAP), measured("y", CAP)]
    )
    ((first, second, probability),) = belief.pairs()
    assert (first, second) == ("a", "b")
    assert probability > 0.8


def test_a_belief_over_no_causes_is_none_of_these() -> None:
    belief = net([]).belief([measured("x", 3.0)])
    assert belief.none() == 1
    assert not len(belief.marginals())


def change(kind: str) -> Change:
    return Change(kind, datetime(2026, 1, 5, tzinfo=UTC), "something")
