"""What the ids of a diagnosis mean: findings, remedies, probes in words, so that no report shows a bare id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sickbay.report import words
from sickbay.terms.cause import Advice
from sickbay.terms.finding import Finding, FindingKind


@dataclass(frozen=True, slots=True)
class Glossary:
    """Meanings by id; an id that is not in it is shown as words made from the id."""

    advice: Mapping[str, Advice] = field(default_factory=dict)
    kinds: Mapping[str, FindingKind] = field(default_factory=dict)

    def finding(self, name: str) -> str:
        """Return what the finding states when it is on."""
        kind = self.kinds.get(name)
        return words.clean(kind.says if kind and kind.says else words.humanised(name))

    def whether(self, name: str) -> str:
        """Return the question that measuring the finding would settle; the bare statement would read as a fact."""
        return f"Whether {words.lower_first(self.finding(name).rstrip('.'))}"

    def observed(self, finding: Finding) -> str:
        """Return the finding's own sentence; without one, what it states, and whether that is so, not so or unknown."""
        if finding.says:
            return words.sentence(finding.says)
        if finding.status == "unknown":
            return f"{self.whether(finding.id)}: not known."
        states = self.finding(finding.id).rstrip(".")
        return words.sentence(states if finding.on else f"Not found: {words.lower_first(states)}")

    def remedy(self, name: str) -> Advice:
        """Return the advice of that id; one that knowledge does not describe is named as it is."""
        known = self.advice.get(name)
        return known or Advice(id=name, says=words.sentence(words.humanised(name)), risk="", cost="")


def load() -> Glossary:
    """Return the glossary of everything registered: knowledge files and probes, plugins included."""
    from sickbay import registry
    from sickbay.knowledge import loader

    return Glossary(loader.load().advice, registry.KINDS.load())
