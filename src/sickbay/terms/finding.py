"""Findings: named facts that may be on or off, with graded evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from sickbay.terms.evidence import Evidence

Status = Literal["measured", "unknown"]

CAP = math.log(100.0)
"""No single finding counts for more than this, in natural log units, whatever it measured."""


@dataclass(frozen=True, slots=True)
class FindingKind:
    """What a probe may find: declared once, beside the probe.

    ``says`` states the fact as if it were on. ``group`` names the quantity it is read from: findings of one group vote
    once. ``leak`` is how often it is on although no modelled cause is present.
    """

    id: str
    says: str
    group: str = ""
    leak: float = 0.03
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.id)


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured fact, or the reason why it could not be measured.

    ``log_ratio`` is ln P(observed | the finding is on) / P(… | it is off), capped to ±ln 100. An unknown
    finding carries 0: it teaches nothing. ``says`` is the sentence for a person, with the numbers in it.
    """

    id: str
    status: Status
    log_ratio: float = 0.0
    statistic: float | None = None
    unit: str = ""
    says: str = ""
    reason: str | None = None
    evidence: Evidence = field(default_factory=Evidence)
    probe: str = ""
    seconds: float = 0.0

    @property
    def on(self) -> bool:
        """True when the evidence speaks for the finding (ratio above one)."""
        return self.status == "measured" and self.log_ratio > 0


def measured(
    kind: FindingKind | str,
    log_ratio: float,
    *,
    statistic: float | None = None,
    says: str = "",
    evidence: Evidence | None = None,
) -> Finding:
    """Return a measured finding; the ratio is capped, and NaN is refused because it would read as evidence.

    Raises ValueError when ``log_ratio`` is NaN.
    """
    if math.isnan(log_ratio):
        raise ValueError(f"finding {_id(kind)}: the log ratio is NaN; report it as unknown instead")
    clean = None if statistic is None or not math.isfinite(statistic) else float(statistic)
    return Finding(
        id=_id(kind),
        status="measured",
        log_ratio=max(-CAP, min(CAP, float(log_ratio))),
        statistic=clean,
        unit=kind.unit if isinstance(kind, FindingKind) else "",
        says=says,
        evidence=evidence or Evidence(),
    )


def unknown(kind: FindingKind | str, reason: str, *, evidence: Evidence | None = None) -> Finding:
    """Return an unknown finding; ``reason`` reads as ``word: explanation``, e.g. ``no data: label is empty``."""
    return Finding(id=_id(kind), status="unknown", reason=reason, evidence=evidence or Evidence())


def _id(kind: FindingKind | str) -> str:
    return kind.id if isinstance(kind, FindingKind) else kind
