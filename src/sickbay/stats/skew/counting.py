"""The counts of a comparison: per feature over all pairs that met, in one statement for up to a hundred features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlglot import exp

from sickbay.stats.skew import columns as c
from sickbay.stats.skew import joining, sampling, uniqueness
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.joining import Asked, Keys, Sides
from sickbay.stats.skew.pairs import FeatureKind, Tolerance
from sickbay.stats.table import Array

if TYPE_CHECKING:
    from sickbay.stats.skew.compare import Tables

FEATURES_A_PASS = 100

ToleranceOf = Callable[[Feature], Tolerance]


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """One feature over all matched pairs; ``first`` and ``last``: time of the first and last mismatch, in seconds.

    ``entities``: how many a mismatch concerns, None where only a part of them was looked at.
    ``types``: the engine's, offline and online. ``unknown``: why it was not compared, or empty.
    """

    name: str
    kind: FeatureKind
    types: tuple[str, str]
    pairs: int
    mismatched: int
    offline_null: int = 0
    online_null: int = 0
    first: float | None = None
    last: float | None = None
    entities: int | None = None
    note: str = ""
    unknown: str = ""


def count(
    tables: Tables, keys: Keys, sides: Sides, features: Sequence[Feature], allowed: ToleranceOf
) -> tuple[int, list[FeatureCounts]]:
    """Return the pairs that met, and the counts of each feature over them, value by value."""
    matched, result = 0, []
    for first in range(0, max(1, len(features)), FEATURES_A_PASS):
        part = features[first : first + FEATURES_A_PASS]
        rows = joining.joined(keys, sides, Asked(part))
        raw = tables.query(select(part, allowed, timed=keys.has_time).from_(rows.subquery("j", copy=False), copy=False))
        matched = whole(raw["n"])
        result += [one(feature, i, raw, matched) for i, feature in enumerate(part)]
    return matched, result


def select(features: Sequence[Feature], allowed: ToleranceOf, *, timed: bool) -> exp.Select:
    """Return the outputs over pairs: their number n, and per feature m0 (mismatches), p0, q0 (values), lo0, hi0."""
    outputs: list[exp.Expression] = [exp.alias_(exp.Count(this=exp.Star()), "n", copy=False)]
    for i, feature in enumerate(features):
        outputs += _outputs(feature, i, allowed(feature), timed)
    return exp.select(*outputs)


def one(feature: Feature, i: int, raw: Mapping[str, Array], matched: int) -> FeatureCounts:
    """Return the counts of the i-th feature of a statement's answer."""
    first, last = (_moment(raw[f"{end}{i}"]) if f"{end}{i}" in raw else None for end in ("lo", "hi"))
    return FeatureCounts(
        feature.name, feature.kind, feature.types, matched, whole(raw[f"m{i}"]), matched - whole(raw[f"p{i}"]),
        matched - whole(raw[f"q{i}"]), first, last, note=feature.note,
    )  # fmt: skip


def whole(values: Array) -> int:
    """Return a statement's one number; a sum over no rows, which is null, is 0."""
    return uniqueness.whole(values[0])


def _outputs(feature: Feature, i: int, tolerance: Tolerance, timed: bool) -> list[exp.Expression]:
    a, b = exp.column(f"a{i}"), exp.column(f"b{i}")
    wrong = c.mismatch(feature, a, b, tolerance)
    outputs: list[exp.Expression] = [
        exp.alias_(exp.Sum(this=wrong), f"m{i}", copy=False), exp.alias_(exp.Count(this=a.copy()), f"p{i}"),
        exp.alias_(exp.Count(this=b.copy()), f"q{i}"),
    ]  # fmt: skip
    if timed:
        is_wrong = exp.EQ(this=wrong.copy(), expression=exp.convert(1))
        moment = exp.Case().when(is_wrong, exp.column("t"), copy=False)
        outputs.append(exp.alias_(exp.Min(this=moment), f"lo{i}", copy=False))
        outputs.append(exp.alias_(exp.Max(this=moment.copy()), f"hi{i}", copy=False))
    return outputs


def _moment(values: Array) -> float | None:
    seconds = sampling.seconds(values)
    return float(seconds[0]) if len(seconds) and np.isfinite(seconds[0]) else None
