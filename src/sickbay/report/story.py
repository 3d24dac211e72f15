"""A diagnosis told in the order a person at 3 AM needs it; the formats only set it in type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sickbay import redact
from sickbay.report import glossary as meanings
from sickbay.report import words
from sickbay.report.glossary import Glossary
from sickbay.terms.diagnosis import Answer, Diagnosis, RankedCause
from sickbay.terms.evidence import Exhibit
from sickbay.terms.finding import Finding

SHOWN = 12
"""Findings whose exhibits are drawn openly; the rest stand folded below them."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One row of the ranking; the row of "none of these" has no id."""

    id: str
    title: str
    says: str
    share: float
    """Probability in 0…1, and 0 when it is not a number: the length of the bar."""
    percent: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A question and its answers; ``why_not`` stands in when there are none."""

    asks: str
    says: tuple[str, ...]
    why_not: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the ledger: what was found, and what it added to the leader and to the runner-up."""

    id: str
    says: str
    leader: float
    rival: float | None


TELLING = 0.005
"""Bits above which something that is not known could change the ranking."""
UNNAMED = "the site file names no "


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not measured: the question left open, why, and the probe that would settle it."""

    id: str
    says: str
    why: str
    probe: str
    bits: float


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do: an imperative, what it is for, its risk and cost."""

    id: str
    says: str
    cause: str
    risk: str
    cost: str


@dataclass(frozen=True, slots=True)
class Observation:
    """A finding with its sentence and what it says about itself: ``found``, ``not found`` or ``unknown``."""

    finding: Finding
    says: str
    state: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a report shows, in words; redacted."""

    diagnosis: Diagnosis
    verdict: str
    caveats: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    ranking: str
    """Heading of the ranking: without evidence it is not one of causes, only of how often each occurs."""
    hypotheses: tuple[Hypothesis, ...]
    """The ranking; empty when there is neither evidence nor a prior."""
    together: tuple[str, ...]
    replies: tuple[Reply, ...]
    leader: str
    rival: str
    reasons: tuple[Reason, ...]
    steps: tuple[Step, ...]
    prevention: tuple[tuple[str, str], ...]
    measure_next: tuple[Gap, ...]
    gaps: tuple[Gap, ...]
    elsewhere: str
    """What was not looked at, for the site file does not name the systems that would tell; empty if nothing is left."""
    unexplained: tuple[str, ...]
    shown: tuple[Observation, ...]
    folded: tuple[Observation, ...]
    observations: tuple[Observation, ...]
    again: str


def tell(diagnosis: Diagnosis, glossary: Glossary | None = None) -> Story:
    """Return the story of a diagnosis; ``glossary`` defaults to everything registered."""
    meaning = glossary if glossary is not None else meanings.load()
    safe = redact.redact_all(diagnosis)
    observations = tuple(_observation(finding, meaning) for finding in safe.findings)
    shown, folded = _exhibited(safe, observations)
    causes = suspects(safe)
    gaps, elsewhere = _gaps(safe, meaning)
    return Story(
        diagnosis=safe,
        verdict=words.verdict(safe),
        caveats=_caveats(safe),
        facts=_facts(safe),
        ranking="Which cause, and how sure" if measured(safe) else "Before any evidence: how often each cause occurs",
        hypotheses=_hypotheses(safe) if measured(safe) or safe.causes else (),
        together=_together(safe),
        replies=tuple(_reply(safe, answer) for answer in safe.answers),
        leader=words.title(safe.causes[0]) if safe.causes else "",
        rival=words.title(safe.causes[1]) if len(safe.causes) > 1 else "",
        reasons=_reasons(safe, meaning),
        steps=_steps(causes, meaning),
        prevention=tuple((words.title(c), words.sentence(c.prevention)) for c in causes if c.prevention),
        measure_next=tuple(gap for gap in gaps if gap.bits > TELLING)[:3],
        gaps=gaps,
        elsewhere=_elsewhere(elsewhere),
        unexplained=tuple(_named(safe, name, meaning) for name in safe.unexplained),
        shown=shown,
        folded=folded,
        observations=observations,
        again=words.again(safe),
    )


def measured(diagnosis: Diagnosis) -> int:
    """Return how many findings were measured."""
    return sum(finding.status == "measured" for finding in diagnosis.findings)


def suspects(diagnosis: Diagnosis) -> tuple[RankedCause, ...]:
    """Return the causes worth acting on: the leader, and others at 20 % or more; nobody when nothing was measured."""
    if not measured(diagnosis):
        return ()
    believed = [c for c in diagnosis.causes if c.probability >= 0.2]
    leader = diagnosis.leader
    if not believed and leader is not None and leader.probability >= 0.05:
        believed = [leader]
    return tuple(believed[:3])


def _caveats(diagnosis: Diagnosis) -> tuple[str, ...]:
    total, known = len(diagnosis.findings), measured(diagnosis)
    caveats = []
    if diagnosis.stopped == "interrupted":
        caveats.append(words.stopped(diagnosis))
    if not known and diagnosis.causes:
        caveats.append("The probabilities below are only how often each cause occurs; no evidence went into them.")
    elif known < total:
        rest = f"{words.count(total - known, 'finding')} of {total} could not be measured"
        caveats.append(f"{rest}: unknown is not the same as absent.")
    symptom = diagnosis.finding(diagnosis.symptom) if diagnosis.symptom else None
    if known and symptom is not None and symptom.status == "unknown":
        reason = words.clean(symptom.reason or "no reason given").rstrip(".")
        caveats.append(f"Whether the symptom is there was not measured ({reason}).")
    return tuple(caveats)


def _facts(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    facts = [
        ("System", words.clean(diagnosis.system, 120)),
        ("Scenario", words.humanised(diagnosis.scenario) if diagnosis.scenario else "none given: from the symptoms"),
        ("Started", words.moment(diagnosis.started_at)),
        ("Took", words.duration(diagnosis.seconds)),
        ("Measured", f"{measured(diagnosis)} of {words.count(len(diagnosis.findings), 'finding')}"),
        ("Coverage", f"{words.share(diagnosis.coverage)} of the deciding evidence"),
    ]
    return tuple(facts)


def _hypotheses(diagnosis: Diagnosis) -> tuple[Hypothesis, ...]:
    rows = [
        Hypothesis(
            words.clean(c.id, 120),
            words.title(c),
            words.sentence(c.says),
            _unit(c.probability),
            words.percent(c.probability),
        )
        for c in diagnosis.causes
    ]
    none = diagnosis.none_of_these
    row = Hypothesis(
        "", "None of these", "Something that is not in the catalogue, or nothing.", _unit(none), words.percent(none)
    )
    place = next((i for i, c in enumerate(diagnosis.causes) if not none < c.probability), len(rows))
    return (*rows[:place], row, *rows[place:])


def _together(diagnosis: Diagnosis) -> tuple[str, ...]:
    titles = {cause.id: words.lower_first(words.title(cause)) for cause in diagnosis.causes}
    return tuple(
        f"{titles.get(a, a)} and {titles.get(b, b)} together: {words.percent(p)}"
        for a, b, p in diagnosis.pairs
        if p >= 0.05
    )


def _reply(diagnosis: Diagnosis, answer: Answer) -> Reply:
    asks = words.clean(answer.asks)
    if answer.says:
        return Reply(asks, tuple(words.sentence(says) for says in answer.says), "")
    found = [finding for name in answer.findings if (finding := diagnosis.finding(name))]
    reasons = [finding.reason for finding in found if finding.status == "unknown" and finding.reason]
    why = words.clean(reasons[0]).rstrip(".") if reasons else "nothing that was measured answers it"
    return Reply(asks, (), f"Not answered: {why}.")


def _reasons(diagnosis: Diagnosis, meaning: Glossary) -> tuple[Reason, ...]:
    if not diagnosis.causes:
        return ()
    for_leader = {entry.finding: entry.log_odds for entry in diagnosis.causes[0].ledger}
    second = diagnosis.causes[1] if len(diagnosis.causes) > 1 else None
    for_rival = {entry.finding: entry.log_odds for entry in second.ledger} if second else {}
    rows = [
        Reason(name, _named(diagnosis, name, meaning), for_leader.get(name, 0.0), for_rival.get(name, 0.0))
        if second
        else Reason(name, _named(diagnosis, name, meaning), for_leader[name], None)
        for name in {**for_leader, **for_rival}
    ]
    telling = [r for r in rows if max(_weight(r.leader), _weight(r.rival)) >= 0.05]
    return tuple(sorted(telling, key=lambda r: (-_weight(r.leader), -_weight(r.rival), r.id)))


def _steps(causes: tuple[RankedCause, ...], meaning: Glossary) -> tuple[Step, ...]:
    steps: dict[str, Step] = {}
    for cause in causes:
        for name in cause.remedies:
            advice = meaning.remedy(name)
            says = words.sentence(advice.says)
            steps.setdefault(name, Step(name, says, words.title(cause), advice.risk, words.sentence(advice.cost)))
    return tuple(steps.values())


def _gaps(diagnosis: Diagnosis, meaning: Glossary) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """Return what was not measured, most useful first; apart, what belongs to systems that are not named here."""
    gaps: dict[str, Gap] = {}
    for miss in diagnosis.missing:
        why = miss.reason or _reason(diagnosis, miss.finding) or "not run"
        gaps[miss.finding] = Gap(
            miss.finding, meaning.whether(miss.finding), words.because(why), miss.probe, _finite(miss.information)
        )
    for finding in diagnosis.findings:
        if finding.status == "unknown":
            why = finding.reason or "no reason given"
            gaps.setdefault(
                finding.id, Gap(finding.id, meaning.whether(finding.id), words.because(why), finding.probe, 0.0)
            )
    asked = {finding.id for finding in diagnosis.findings}
    apart = {k for k, gap in gaps.items() if k not in asked and gap.bits <= TELLING and UNNAMED in gap.why}
    ranked = sorted(gaps.values(), key=lambda gap: -gap.bits)
    return tuple(gap for gap in ranked if gap.id not in apart), tuple(gap for gap in ranked if gap.id in apart)


def _elsewhere(gaps: Sequence[Gap]) -> str:
    if not gaps:
        return ""
    systems = sorted({one for gap in gaps for one in gap.why.partition(UNNAMED)[2].rstrip(".").split(", ")})
    return (
        f"Not looked at: {words.count(len(gaps), 'finding')} of other scenarios, for which the site file would have to "
        f"name {words.listed(systems)}."
    )


def _exhibited(
    diagnosis: Diagnosis, observations: tuple[Observation, ...]
) -> tuple[tuple[Observation, ...], tuple[Observation, ...]]:
    """Split the findings that carry exhibits: those that answer or decide something first, the rest apart."""
    answering = {name for answer in diagnosis.answers for name in answer.findings}
    weight = {e.finding: _weight(e.log_odds) for cause in reversed(diagnosis.causes[:2]) for e in cause.ledger}
    carrying = [o for o in observations if o.exhibits]
    telling = [o for o in carrying if o.finding.on or o.finding.id in answering]
    telling.sort(key=lambda o: (-weight.get(o.finding.id, 0.0), o.finding.id))
    shown = tuple(telling[:SHOWN])
    return shown, tuple(o for o in carrying if o not in shown)


def _observation(finding: Finding, meaning: Glossary) -> Observation:
    state = "unknown" if finding.status == "unknown" else "found" if finding.on else "not found"
    return Observation(finding, meaning.observed(finding), state, tuple(finding.evidence.exhibits))


def _named(diagnosis: Diagnosis, name: str, meaning: Glossary) -> str:
    finding = diagnosis.finding(name)
    return meaning.observed(finding) if finding is not None else words.sentence(meaning.finding(name))


def _reason(diagnosis: Diagnosis, name: str) -> str:
    finding = diagnosis.finding(name)
    return (finding.reason or "") if finding is not None else ""


def _unit(probability: float) -> float:
    return min(1.0, max(0.0, _finite(probability)))


def _finite(amount: float) -> float:
    return amount if math.isfinite(amount) else 0.0


def _weight(amount: float | None) -> float:
    return abs(_finite(amount)) if amount is not None else 0.0
