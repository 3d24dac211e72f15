"""Learning from closed incidents and from the lab: reviewable, reversible, off until there is enough.

Priors are a Dirichlet whose shipped values count as 30 incidents; link strengths are Betas whose shipped values count
as 12 observations (sequential updating, Spiegelhalter and Lauritzen 1990; noisy-OR responsibilities, Díez 1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sickbay.terms.cause import Cause, Link

PRIOR_WEIGHT = 30.0
LINK_WEIGHT = 12.0
ENOUGH = 50
"""Closed incidents before learned values may be adopted: below that the effect was inside the noise."""
OTHER = "other"
"""The cause of an incident that was none of the known ones."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A closed incident: the one cause a person confirmed (or "other"), and finding → on or off where measured."""

    cause: str
    findings: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """What learning would change, shown before it is adopted: value before and after, and how many cases speak."""

    cause: str
    finding: str
    before: float
    after: float
    cases: int


def strength_from_counts(word: float, on: int, of: int) -> float:
    """Return the strength after the finding was on in ``on`` of ``of`` lab injections, the word counting as 12.

    Raises ValueError when the counts make no sense.

    >>> round(strength_from_counts(0.85, 20, 20), 3)
    0.944
    """
    if not 0 <= on <= of:
        raise ValueError(f"on = {on} of {of}: on must lie between 0 and of")
    return (LINK_WEIGHT * word + on) / (LINK_WEIGHT + of)


def learn(
    causes: Sequence[Cause], incidents: Sequence[Observed], leaks: Mapping[str, float]
) -> tuple[list[Cause], list[Difference]]:
    """Return the causes with learned priors and strengths, and the differences; nothing changes under 50 incidents.

    The causes given are not altered: going back is using them again.
    """
    if len(incidents) < ENOUGH:
        return list(causes), []
    counts = {cause.id: 0 for cause in causes}
    for incident in incidents:
        if incident.cause in counts:
            counts[incident.cause] += 1
    learned, differences = [], []
    for cause in causes:
        prior = (PRIOR_WEIGHT * cause.prior + counts[cause.id]) / (PRIOR_WEIGHT + len(incidents))
        differences.append(Difference(cause.id, "", cause.prior, prior, counts[cause.id]))
        shows = {}
        for name, link in cause.shows.items():
            strength, cases = _learned_link(cause.id, name, link.strength, leaks.get(name, 0.03), incidents)
            shows[name] = Link(strength, f"{link.basis}; {cases} closed incidents") if cases else link
            if cases:
                differences.append(Difference(cause.id, name, link.strength, strength, cases))
        learned.append(replace(cause, prior=prior, shows=shows))
    return learned, [d for d in differences if abs(d.after - d.before) > 1e-12]


def _learned_link(
    cause: str, finding: str, strength: float, leak: float, incidents: Sequence[Observed]
) -> tuple[float, int]:
    """Return the strength after the incidents of this cause that measured the finding, and how many they were.

    An observation counts by the chance that the cause, not the leak, switched the finding on.
    """
    on, of, cases = 0.0, 0.0, 0
    for incident in incidents:
        if incident.cause == cause and finding in incident.findings:
            cases += 1
            of += 1.0
            if incident.findings[finding]:
                on += strength / (strength + leak - strength * leak)
    return (LINK_WEIGHT * strength + on) / (LINK_WEIGHT + of), cases
