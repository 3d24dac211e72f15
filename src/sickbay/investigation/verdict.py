"""From beliefs to the diagnosis: ranked causes with their reasons, answers, what is missing and what is unexplained."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sickbay.engine import planner
from sickbay.redact import redact_all
from sickbay.terms.cause import Scenario
from sickbay.terms.diagnosis import Answer, Diagnosis, LedgerEntry, MissingEvidence, RankedCause, Stopped
from sickbay.terms.finding import CAP, Finding

if TYPE_CHECKING:
    from sickbay.investigation.loop import State

LISTED = 0.005


def write(state: State, stopped: Stopped, started_at: datetime, seconds: float, settings: dict[str, Any]) -> Diagnosis:
    """Return the diagnosis of an investigation that has ended."""
    belief = state.belief
    if belief.unexplained():
        belief.widen()
    findings = [finding for run in state.done for finding in run.findings.values()]
    findings.sort(key=lambda f: (f.status != "measured", -abs(f.log_ratio), f.id))
    scenario = _scenario(state, findings)
    diagnosis = Diagnosis(
        system=state.connections.context.site.system.name,
        scenario=scenario.id,
        started_at=started_at,
        seconds=seconds,
        causes=_ranked(state),
        none_of_these=belief.none(),
        coverage=planner.coverage(belief),
        stopped=stopped,
        findings=tuple(findings),
        unexplained=tuple(belief.unexplained()),
        missing=tuple(_missing(state, findings)),
        changes=tuple(sorted((c for run in state.done for c in run.changes), key=lambda c: (c.at, c.subject))),
        answers=tuple(_answers(scenario, findings)),
        pairs=tuple(belief.pairs()),
        symptom=scenario.symptom,
        settings=settings,
    )
    return redact_all(diagnosis)


def _scenario(state: State, findings: list[Finding]) -> Scenario:
    """Return the scenario asked for; else that of the likeliest cause, or the one whose symptom shows most."""
    if len(state.scenarios) == 1:
        return state.scenarios[0]
    marginals = state.belief.marginals()
    likeliest = state.belief.network.causes[int(marginals.argmax())]
    if marginals.max() >= state.belief.none() and likeliest.scenario in state.knowledge.scenarios:
        return state.knowledge.scenarios[likeliest.scenario]
    shown = {finding.id: finding.log_ratio for finding in findings if finding.status == "measured"}
    return max(state.scenarios, key=lambda scenario: shown.get(scenario.symptom, -CAP))


def _ranked(state: State) -> tuple[RankedCause, ...]:
    belief = state.belief
    marginals = belief.marginals()
    ranked = []
    for i, cause in enumerate(belief.network.causes):
        if marginals[i] < LISTED:
            continue
        ranked.append(
            RankedCause(
                id=cause.id,
                probability=float(marginals[i]),
                says=cause.says,
                ledger=tuple(LedgerEntry(name, value) for name, value in belief.ledger(i)),
                remedies=cause.remedies,
                prevention=cause.prevention,
                title=cause.title,
                basis=cause.basis,
            )
        )
    return tuple(sorted(ranked, key=lambda cause: (-cause.probability, cause.id)))


def _missing(state: State, findings: list[Finding]) -> list[MissingEvidence]:
    """Return what was not measured and why, what it could still change first."""
    asked_of = {kind.id: probe.name for probe in state.probes.values() for kind in probe.findings}
    reasons = {finding.id: finding.reason or "" for finding in findings if finding.status == "unknown"}
    for name, probe in state.probes.items():
        for kind in probe.findings:
            if name in state.not_runnable:
                reasons[kind.id] = state.not_runnable[name]
            elif name in state.waiting:
                reasons.setdefault(kind.id, "not run: nothing more was worth its cost")
    return [
        MissingEvidence(name, asked_of.get(name, ""), bits, reasons.get(name, ""))
        for name, bits in planner.missing(state.belief, set(reasons))
    ]


def _answers(scenario: Scenario, findings: list[Finding]) -> list[Answer]:
    """Return each question of the scenario with the sentences of the measured findings that answer it."""
    by_id = {finding.id: finding for finding in findings}
    answers = []
    for question in scenario.questions:
        spoken = [by_id[name] for name in question.answered_by if name in by_id]
        heard = [finding for finding in spoken if finding.status == "measured" and finding.says]
        heard.sort(key=lambda f: -f.log_ratio)
        strong = [finding for finding in heard if finding.on] or heard[:1]
        answers.append(Answer(question.asks, tuple(f.says for f in strong), tuple(f.id for f in strong)))
    return answers
