"""What the explanations of all features say together: which kind of rule carries how much of the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sickbay.stats.skew.explanation import Explanation
from sickbay.stats.skew.report import FeatureSkew

EXPLAINED: Mapping[str, tuple[str, ...]] = {
    "rounded": ("rounding", "precision", "truncation"),
    "other_rule": (
        "window-length", "affine", "clip", "sign", "default-for-null", "text-normalisation", "encoding",
        "swapped-column", "unit-scale", "renamed-category",
    ),
    "other_day": ("timezone",),
    "recoded": ("unit-scale", "renamed-category", "encoding", "affine"),
    "lagging": ("constant-lag",),
    "cached": ("cache",),
    "stopped": ("stopped-updating",),
    "late": ("late-events",),
    "future": ("future-value",),
    "other_source": ("other-source",),
}  # fmt: skip
"""Kind of rule → the explainer's hypotheses."""
RECODING = frozenset(EXPLAINED["recoded"])
ONSET = 0.2
"""Part of the time looked at after which a difference counts as having begun."""


@dataclass(slots=True)
class Weighed:
    """``share``: kind of rule → part of all differences that it carries; ``rest``: part that nothing carries."""

    share: dict[str, float] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    rivalled: dict[str, bool] = field(default_factory=dict)
    rest: float = 0.0
    onset: float | None = None


def weigh(skewed: Sequence[FeatureSkew], onsets: Mapping[str, float]) -> Weighed:
    """Return what carries the differences: every skewed feature votes once, its explanations by what they cover.

    ``onsets``: feature → how far into the time looked at its differences begin, 0 to 1.
    """
    made = Weighed()
    for feature in skewed:
        since = onsets.get(feature.name)
        left = 1.0
        for one in feature.explanations:
            kind = _kind(one, since)
            if kind is None:
                continue
            part = min(left, one.coverage)
            left -= part
            made.share[kind] = made.share.get(kind, 0.0) + part
            made.told.setdefault(kind, f"{feature.name}: {one.says}")
            made.rivalled[kind] = made.rivalled.get(kind, True) and bool(one.rivals)
        made.rest += left
    count = max(1, len(skewed))
    made.share = {kind: share / count for kind, share in made.share.items()}
    made.rest /= count
    made.onset = float(np.median(list(onsets.values()))) if onsets else None
    return made


def _kind(one: Explanation, since: float | None) -> str | None:
    if one.hypothesis in RECODING and since is not None and since > ONSET and one.hypothesis != "affine":
        return "recoded"
    return next((kind for kind, ids in EXPLAINED.items() if one.hypothesis in ids), None)
