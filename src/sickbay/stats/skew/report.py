"""Two sides examined: what differs, since when, for whom, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.stats.skew.apart import Sampled
from sickbay.stats.skew.compare import MISMATCHES, Compared, Tables, compare
from sickbay.stats.skew.counting import FeatureCounts
from sickbay.stats.skew.explain import explain
from sickbay.stats.skew.explanation import Explained, Explanation
from sickbay.stats.skew.interval import wilson
from sickbay.stats.skew.joining import Sides
from sickbay.stats.skew.pairs import EXACT, Tolerance

notebook_view: Callable[[SkewReport], str] | None = None
"""Set by the report room: how a report shows itself in a notebook."""


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """One feature: its counts over all pairs, and the explanation of its mismatches."""

    counts: FeatureCounts
    explained: Explained
    segments: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The feature's name."""
        return self.counts.name

    @property
    def mismatch_share(self) -> float:
        """Share of the matched pairs that differ, NaN where none could be compared."""
        return self.counts.mismatched / self.counts.pairs if self.counts.pairs else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mismatch share (Wilson)."""
        return wilson(self.counts.mismatched, self.counts.pairs)

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """What turns one side into the other, best first; empty where nothing is claimed."""
        return self.explained.explanations

    @property
    def unknown(self) -> str:
        """Why the feature could not be compared, or empty."""
        return self.counts.unknown or self.explained.unknown

    @property
    def skewed(self) -> bool | None:
        """Whether the sides differ beyond float noise in a share that matters; None where it could not be measured."""
        if self.unknown:
            return None
        return bool(self.explanations) or self.mismatch_share - self.explained.noise_share >= PRACTICAL_SHARE


PRACTICAL_SHARE = 0.015
"""Share of differing pairs from which an unexplained difference matters too: a few late rows are how things are."""


@dataclass(frozen=True, slots=True)
class SkewReport:
    """All features of two sides. ``says``: what was read, by role (``offline``, ``online``, …).

    ``sampled``: what part of two sides in different engines was compared; None where all of both was.
    """

    sides: Sides
    features: tuple[FeatureSkew, ...]
    says: Mapping[str, str]
    notes: tuple[str, ...] = ()
    sampled: Sampled | None = None

    def __getitem__(self, name: str) -> FeatureSkew:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    @property
    def skewed(self) -> tuple[FeatureSkew, ...]:
        """The features that differ in a share that matters."""
        return tuple(f for f in self.features if f.skewed)

    @property
    def measured(self) -> bool:
        """Whether any feature could be compared at all."""
        return any(f.skewed is not None for f in self.features)

    def _repr_html_(self) -> str | None:
        return notebook_view(self) if notebook_view is not None else None


def examine(
    tables: Tables,
    *,
    keys: Sequence[str],
    says: Mapping[str, str] | None = None,
    time: str | None = None,
    online_time: str | None = None,
    features: Sequence[str] | None = None,
    tolerance: Tolerance = EXACT,
    tolerances: Mapping[str, Tolerance] | None = None,
    segments: Sequence[str] = (),
    sample: int = MISMATCHES,
    on_feature: Callable[[str], Any] | None = None,
) -> SkewReport:
    """Return two sides compared where they are (see ``compare``), and why each differing feature differs."""
    compared = compare(
        tables, keys=keys, time=time, online_time=online_time, features=features, tolerance=tolerance,
        tolerances=tolerances, segments=segments, sample=sample,
    )  # fmt: skip
    found = []
    for counts in compared.features:
        if on_feature is not None:
            on_feature(counts.name)
        found.append(_feature(counts, compared))
    return SkewReport(compared.sides, tuple(found), dict(says or {}), compared.notes)


def _feature(counts: FeatureCounts, compared: Compared) -> FeatureSkew:
    share = counts.mismatched / counts.pairs if counts.pairs else math.nan
    interval = wilson(counts.mismatched, counts.pairs)
    pairs = compared.pairs.get(counts.name)
    if pairs is None:
        why = counts.unknown or _unmet(compared.sides)
        plain = Explained(counts.name, counts.kind, counts.pairs, counts.mismatched, share, interval, unknown=why)
        return FeatureSkew(counts, plain)
    explained = explain(pairs, history=compared.histories.get(counts.name), events=compared.events or None)
    return FeatureSkew(counts, explained, compared.segments.get(counts.name, {}))


def _unmet(sides: Sides) -> str:
    """Return why no pair could be compared, or an empty text."""
    empty = [name for name, rows in (("offline", sides.offline_rows), ("online", sides.online_rows)) if not rows]
    if empty:
        return f"the {' and the '.join(empty)} side has no rows"
    return "" if sides.matched else "no row of one side meets a row of the other: look at the keys, types and zones"
