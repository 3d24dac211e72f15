"""The network as arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sickbay.engine.network import DEFAULT_LEAK, FOREIGN, MOST_PAIRED, build
from tests.engine.nets import Net, brute_force, cause, hypotheses, marginal, net, nets


@given(nets(), st.randoms(use_true_random=False))
def test_the_same_knowledge_in_another_order_gives_the_same_arrays(chosen: Net, random: object) -> None:
    causes = list(chosen.causes)
    random.shuffle(causes)  # type: ignore[attr-defined]
    one, other = chosen.network(), build(causes, chosen.kinds)
    assert (one.causes, one.findings) == (other.causes, other.findings)
    np.testing.assert_array_equal(one.off, other.off)


@given(nets())
def test_it_lists_none_every_cause_and_every_pair_once(chosen: Net) -> None:
    network = chosen.network()
    names = [c.id for c in network.causes]
    listed = [frozenset(names[i] for i in np.flatnonzero(row)) for row in network.members]
    assert listed[0] == frozenset()
    assert len(listed) == len(set(listed))
    assert set(listed) == set(hypotheses(chosen))
    assert [listed[network.single(i)] for i in range(len(names))] == [frozenset([name]) for name in names]


@given(nets())
def test_the_prior_belief_is_the_prior(chosen: Net) -> None:
    direct = brute_force(chosen, [])
    belief = chosen.belief()
    for i, c in enumerate(belief.network.causes):
        assert abs(belief.marginals()[i] - marginal(direct, c.id)) < 1e-10


def test_only_the_likeliest_causes_are_paired_when_there_are_many() -> None:
    causes = [cause(f"c{i:03}", {}, prior=0.001 + i * 1e-5) for i in range(MOST_PAIRED + 10)]
    network = net(causes).network()
    assert len(network.members) == 1 + len(causes) + MOST_PAIRED * (MOST_PAIRED - 1) // 2
    paired = network.members[network.members.sum(axis=1) == 2].any(axis=0)
    assert not paired[:10].any()
    assert paired[10:].all()


def test_a_cause_of_another_scenario_is_a_quarter_as_likely() -> None:
    causes = [cause("here", {}, scenario="a"), cause("there", {}, scenario="b"), cause("anywhere", {})]
    odds = dict(zip(["anywhere", "here", "there"], build(causes, {}, scenario="a").log_odds, strict=True))
    assert odds["here"] == odds["anywhere"]
    assert np.isclose(odds["there"], odds["here"] + np.log(FOREIGN))


def test_a_finding_without_a_declaration_gets_the_usual_leak_and_its_own_group() -> None:
    network = build([cause("a", {"x": 0.9})], {})
    assert network.leaks.tolist() == [DEFAULT_LEAK]
    assert network.groups == ("x",)


def test_a_link_that_is_always_shown_still_leaves_finite_numbers() -> None:
    assert np.isfinite(net([cause("a", {"x": 1.0})]).network().off).all()
