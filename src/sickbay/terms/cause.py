"""Causes and scenarios as the engine sees them, whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STRENGTHS: Mapping[str, float] = {
    "always": 0.98,
    "usually": 0.85,
    "often": 0.6,
    "sometimes": 0.3,
    "rarely": 0.08,
}
"""The words of a knowledge file, as probabilities that a cause switches a finding on."""


@dataclass(frozen=True, slots=True)
class Link:
    """How surely a cause shows a finding: probability in 0…1 and where that number comes from."""

    strength: float
    basis: str = "expert"


@dataclass(frozen=True, slots=True)
class Cause:
    """A named hypothesis about what is wrong."""

    id: str
    says: str
    prior: float
    basis: str
    shows: Mapping[str, Link]
    remedies: tuple[str, ...] = ()
    prevention: str = ""
    scaled_by: Mapping[str, float] = field(default_factory=dict)
    """Change kind → factor on the prior odds when such a change was seen shortly before the symptom."""
    title: str = ""
    group: str = ""
    scenario: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question the report must answer with numbers, and the findings whose sentences answer it, best first."""

    asks: str
    answered_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The symptom a person arrives with: what it sounds like, its causes, and how it tilts their priors."""

    id: str
    title: str
    symptom: str
    says: str
    first: tuple[str, ...] = ()
    """Probes to run before planning starts, because everyone would ask for them."""
    questions: tuple[Question, ...] = ()
    inseparable: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Pairs of causes that no finding tells apart, each with the reason."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A remedy that knowledge can name before code can plan it: what to do, its risk, and what it costs."""

    id: str
    says: str
    risk: str
    cost: str = ""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything known: causes, scenarios, advice, and the leak of each finding; the engine's whole input."""

    causes: Mapping[str, Cause]
    scenarios: Mapping[str, Scenario]
    advice: Mapping[str, Advice]
    views: Mapping[str, Mapping[str, Cause]] = field(default_factory=dict)
    """Scenario → causes that belong to another one and show themselves differently there."""

    def seen_from(self, scenario: str) -> dict[str, Cause]:
        """Return every cause by id, as it shows itself in this scenario."""
        return {**self.causes, **self.views.get(scenario, {})}
