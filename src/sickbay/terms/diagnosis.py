"""The diagnosis: causes with probabilities and the sum that led there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sickbay.terms.change import Change
from sickbay.terms.finding import Finding

Stopped = Literal["confident", "budget", "exhausted", "interrupted"]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One term of the sum: what a finding added (natural log odds, positive is for) to this cause against no cause."""

    finding: str
    log_odds: float


@dataclass(frozen=True, slots=True)
class RankedCause:
    """One cause with its probability (of being present, alone or with another) and its reasons."""

    id: str
    probability: float
    says: str
    ledger: tuple[LedgerEntry, ...]
    remedies: tuple[str, ...] = ()
    prevention: str = ""
    title: str = ""
    basis: str = ""


@dataclass(frozen=True, slots=True)
class MissingEvidence:
    """A finding that was not measured, the probe that would, and what it could still change (bits expected)."""

    finding: str
    probe: str
    information: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question of the scenario with the sentences that answer it; empty when nothing measured does."""

    asks: str
    says: tuple[str, ...]
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer of one investigation; ``to_dict`` is the JSON contract ``sickbay.diagnosis/1``."""

    system: str
    scenario: str
    started_at: datetime
    seconds: float
    causes: tuple[RankedCause, ...]
    """Every cause with probability ≥ 0.005, most probable first."""
    none_of_these: float
    coverage: float
    """Share (0…1) of the evidence that could tell the leading causes apart which was obtained."""
    stopped: Stopped
    findings: tuple[Finding, ...]
    unexplained: tuple[str, ...]
    missing: tuple[MissingEvidence, ...]
    changes: tuple[Change, ...] = ()
    answers: tuple[Answer, ...] = ()
    pairs: tuple[tuple[str, str, float], ...] = ()
    """Probability that two causes are present together, for the pairs that matter."""
    symptom: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was asked: model, window, budget, mode; shown in the report, so that it can be run again."""

    @property
    def leader(self) -> RankedCause | None:
        """The most probable cause, or None when nothing reached 0.005."""
        return self.causes[0] if self.causes else None

    def finding(self, name: str) -> Finding | None:
        """Return the finding of that id, or None when no probe reported it."""
        return next((finding for finding in self.findings if finding.id == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON contract as plain Python values (see ``sickbay.terms.wire``)."""
        from sickbay.terms.wire import diagnosis_to_dict

        return diagnosis_to_dict(self)

    def _repr_html_(self) -> str | None:
        """Return the notebook view, once the report room has been loaded (``sickbay.investigate`` loads it)."""
        return None if notebook_view is None else notebook_view(self)


notebook_view: Callable[[Diagnosis], str] | None = None
"""Set by ``sickbay.report.notebook``: the nouns stay free of rendering, and notebooks still get a picture."""
