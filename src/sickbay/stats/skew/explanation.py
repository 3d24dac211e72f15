"""What the explainer says of a feature: which hypotheses turn one side into the other, and what would tell more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sickbay.stats.skew.pairs import FeatureKind

Side = Literal["online", "offline"]

IDS = (
    "rounding", "precision", "truncation", "unit-scale", "affine", "clip", "sign", "default-for-null",
    "text-normalisation", "encoding", "renamed-category", "swapped-column", "window-length", "timezone",
    "constant-lag", "cache", "stopped-updating", "late-events", "future-value", "other-source",
)  # fmt: skip
"""The hypotheses' ids: a contract."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One hypothesis that holds for a share of the mismatches.

    ``coverage``: share of the mismatching pairs that it turns into each other. ``side``: the side that was altered, the
    other one being taken as the truth. ``bits``: what it saves in describing the mismatches, its own parameters paid
    for. ``rivals``: hypotheses that these data cannot tell from it.
    """

    hypothesis: str
    parameters: Mapping[str, Any]
    coverage: float
    side: Side
    bits: float
    says: str
    fix: str
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer for one feature; ``explanations`` best first, empty where nothing is claimed.

    ``mismatch_share`` of all matched pairs with its 95 % Wilson ``interval``; NaN where no pair was there.
    ``would_separate``: observations that would tell what these data cannot. ``noise_share``: share of the pairs that
    differ by float noise alone. ``unknown``: why nothing could be said, or empty.
    ``examples``: (entity, time in seconds, offline, online), None for what is not there.
    """

    name: str
    kind: FeatureKind
    pairs: int
    mismatched: int
    mismatch_share: float
    interval: tuple[float, float]
    explanations: tuple[Explanation, ...] = ()
    would_separate: tuple[str, ...] = ()
    noise_share: float = 0.0
    notes: tuple[str, ...] = ()
    unknown: str = ""
    examples: tuple[tuple[Any, float | None, Any, Any], ...] = field(default=())

    @property
    def leader(self) -> Explanation | None:
        """The best explanation, or None."""
        return self.explanations[0] if self.explanations else None
