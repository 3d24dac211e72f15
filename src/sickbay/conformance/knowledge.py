"""What knowledge must keep: every name resolves, every cause is told apart, can be broken, and can be helped."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations

from sickbay.registry import Fault
from sickbay.terms.cause import Cause, Knowledge

APART = 0.25
"""Difference of strength that tells two causes apart."""


def problems(
    knowledge: Knowledge, findings: Collection[str], probes: Collection[str], faults: list[Fault]
) -> list[str]:
    """Return everything that is wrong, a sentence each; an empty list is a pass."""
    return [
        *_names(knowledge, findings, probes),
        *_complete(knowledge, faults),
        *_apart(knowledge),
    ]


def _names(knowledge: Knowledge, findings: Collection[str], probes: Collection[str]) -> Iterator[str]:
    for scenario in knowledge.scenarios.values():
        for finding in (scenario.symptom, *(name for q in scenario.questions for name in q.answered_by)):
            if finding not in findings:
                yield f"scenario {scenario.id} names the finding {finding}, which no probe reports"
        for probe in scenario.first:
            if probe not in probes:
                yield f"scenario {scenario.id} starts with the probe {probe}, which does not exist"
    views = [cause for seen in knowledge.views.values() for cause in seen.values()]
    for cause in [*knowledge.causes.values(), *views]:
        for finding in cause.shows:
            if finding not in findings:
                yield f"cause {cause.id} shows {finding}, which no probe reports"
        for remedy in cause.remedies:
            if remedy not in knowledge.advice:
                yield f"cause {cause.id} names the remedy {remedy}, which nothing describes"


def _complete(knowledge: Knowledge, faults: list[Fault]) -> Iterator[str]:
    produced = {fault.produces for fault in faults}
    for cause in knowledge.causes.values():
        parts = {"remedy": cause.remedies, "prevention": cause.prevention, "basis": cause.basis, "finding": cause.shows}
        for what, there in parts.items():
            if not there:
                yield f"cause {cause.id} has no {what}"
        if cause.id not in produced:
            yield f"no fault produces the cause {cause.id}"
    for scenario in knowledge.scenarios:
        total = sum(cause.prior for cause in knowledge.seen_from(scenario).values() if cause.scenario == scenario)
        if not 0.8 <= total <= 1.3:
            yield f"the priors of scenario {scenario} sum up to {total:.2f}, not to about one"


def _apart(knowledge: Knowledge) -> Iterator[str]:
    for scenario in knowledge.scenarios.values():
        causes = sorted(
            (c for c in knowledge.seen_from(scenario.id).values() if c.scenario == scenario.id), key=lambda c: c.id
        )
        for a, b in combinations(causes, 2):
            if _difference(a, b) < APART and (a.id, b.id) not in scenario.inseparable:
                yield f"nothing tells {a.id} and {b.id} apart, and they are not declared inseparable"


def _difference(a: Cause, b: Cause) -> float:
    def strength(cause: Cause, finding: str) -> float:
        return cause.shows[finding].strength if finding in cause.shows else 0.0

    return max(abs(strength(a, f) - strength(b, f)) for f in a.shows.keys() | b.shows.keys())
