"""When to answer and when to stop looking."""

from __future__ import annotations

from hypothesis import given

from sickbay.engine.stopping import CONFIDENT, IN_DOUBT, SECOND, stage
from sickbay.terms.finding import CAP, Finding, measured
from tests.engine.nets import Net, cause, net, observed


def test_no_causes_leave_nothing_to_look_for() -> None:
    assert stage(net([]).belief()) == "settled"


def test_a_belief_with_nothing_believed_is_open() -> None:
    assert stage(net([cause("a", {"x": 0.9}, prior=0.3)]).belief()) == "open"


def test_a_believed_cause_with_no_other_in_sight_settles_it() -> None:
    belief = net([cause("a", {"x": 0.95, "y": 0.95}, prior=0.3), cause("b", {"z": 0.9}, prior=0.001)]).belief(
        [measured("x", CAP), measured("y", CAP)]
    )
    assert stage(belief) == "settled"


def test_a_second_cause_at_five_percent_keeps_the_sweep_going() -> None:
    belief = net([cause("a", {"x": 0.95, "y": 0.95}, prior=0.3), cause("b", {"z": 0.9}, prior=0.05)]).belief(
        [measured("x", CAP), measured("y", CAP)]
    )
    assert SECOND <= belief.marginals()[1] < IN_DOUBT
    assert stage(belief) == "answered"


def test_a_second_cause_in_doubt_keeps_the_question_open() -> None:
    belief = net([cause("a", {"x": 0.95, "y": 0.95}, prior=0.3), cause("b", {"z": 0.9}, prior=0.3)]).belief(
        [measured("x", CAP), measured("y", CAP)]
    )
    assert belief.marginals()[0] >= CONFIDENT
    assert stage(belief) == "open"


def test_two_believed_causes_are_one_answer() -> None:
    belief = net([cause(name, {f"{name}{i}": 0.98 for i in range(3)}, prior=0.2) for name in "ab"]).belief(
        [measured(f"{name}{i}", CAP) for name in "ab" for i in range(3)]
    )
    assert stage(belief) == "settled"


def test_a_healthy_system_is_an_answer_too() -> None:
    belief = net([cause("a", {"x": 0.98}, prior=0.05)]).belief([measured("x", -CAP)])
    assert stage(belief) == "settled"


@given(observed(grouped=True))
def test_an_answer_always_rests_on_a_believed_cause_or_on_none(case: tuple[Net, list[Finding]]) -> None:
    chosen, findings = case
    belief = chosen.belief(findings)
    marginals = belief.marginals()
    if stage(belief) != "open":
        assert max(marginals.max(), belief.none()) >= CONFIDENT
        assert all(m >= CONFIDENT or m < IN_DOUBT for m in marginals)
