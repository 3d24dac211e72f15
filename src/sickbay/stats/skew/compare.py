"""Two tables of the same features compared where they are: one join, one row of counts, then a bounded sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from sqlglot import exp

from sickbay.stats.skew import columns as c
from sickbay.stats.skew import joining, sampling
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.joining import Keys, Sides
from sickbay.stats.skew.pairs import EXACT, FeatureKind, History, Pairs, Tolerance
from sickbay.stats.table import Array

MISMATCHES = 8_000
"""Mismatching pairs per feature that leave the engine, about; chosen by a hash of the keys."""
FEATURES_A_PASS = 100


class Tables(Protocol):
    """Tables of one engine: ``offline``, ``online``, perhaps ``history`` and ``events``.

    ``types[table][column]``: the engine's own names of the types.
    """

    @property
    def types(self) -> Mapping[str, Mapping[str, str]]: ...  # noqa: D102

    @property
    def dialect(self) -> str: ...  # noqa: D102

    @property
    def has_try_cast(self) -> bool: ...  # noqa: D102

    def query(self, select: exp.Expression) -> dict[str, Array]: ...  # noqa: D102


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


@dataclass(frozen=True, slots=True)
class Compared:
    """Counts per side and per feature, the sampled pairs of the features that differ, and what is to be noted.

    ``histories``: feature → its values by entity and time, of the sampled entities. ``events``: column → likewise.
    ``segments``: feature → segment column → level → (share of the mismatches, share of the equal pairs).
    """

    sides: Sides
    features: tuple[FeatureCounts, ...]
    pairs: Mapping[str, Pairs] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    events: Mapping[str, History] = field(default_factory=dict)
    segments: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def compare(
    tables: Tables,
    *,
    keys: Sequence[str],
    time: str | None = None,
    online_time: str | None = None,
    features: Sequence[str] | None = None,
    tolerance: Tolerance = EXACT,
    tolerances: Mapping[str, Tolerance] | None = None,
    segments: Sequence[str] = (),
    sample: int = MISMATCHES,
) -> Compared:
    """Return how far the two sides agree, per feature, and a sample of the pairs that do not.

    ``time``: with a column of that name on both sides a key like the others; with ``online_time`` each online row meets
    the last offline row at or before it; where the online side has no time at all, the entity's latest offline row.
    Raises TableError for keys that are not there or do not identify rows.
    """
    joined = joining.prepare(tables.types, keys, time, online_time, tables.dialect)
    chosen, unknown, notes = _features(tables, joined, features)
    joining.columns_there(segments, tables.types["offline"], tables.types["offline"])
    sides = joining.count(tables, joined)
    allowed = tolerances or {}
    sides, counted = _counted(tables, joined, sides, chosen, allowed, tolerance)
    notes = [*joined.notes, *notes, *joining.say(sides)]
    differing = {f.name: f.mismatched for f in counted if f.mismatched}
    drawn = sampling.draw(tables, joined, sides, chosen, differing, allowed, tolerance, segments, sample)
    counted = [sampling.entities(f, drawn) for f in counted]
    drawn = sampling.narrowed(tables, drawn)
    return Compared(
        sides, tuple(counted + unknown), drawn.pairs, sampling.histories(tables, joined, chosen, drawn),
        sampling.events(tables, joined, drawn), drawn.segments, tuple(notes),
    )  # fmt: skip


def _features(
    tables: Tables, joined: Keys, wanted: Sequence[str] | None
) -> tuple[list[Feature], list[FeatureCounts], list[str]]:
    """Return what can be compared, what cannot and why, and what is to be noted."""
    offline, online = tables.types["offline"], tables.types["online"]
    aside = {*joined.entity, joined.time, joined.online_time}
    names = joining.columns_there(wanted, offline, online) if wanted else [n for n in offline if n in online]
    good, bad = [], []
    for name in names:
        if name in aside and not wanted:
            continue
        found = c.pair_up(name, (offline[name], online[name]), try_cast=tables.has_try_cast)
        if isinstance(found, str):
            bad.append(FeatureCounts(name, "text", (offline[name], online[name]), 0, 0, unknown=found))
        else:
            good.append(found)
    notes = []
    for side, mine, other in (("offline", offline, online), ("online", online, offline)):
        alone = [n for n in mine if n not in other and n not in aside]
        if alone and not wanted:
            more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
            notes.append(f"only the {side} side has {', '.join(map(repr, alone[:5]))}{more}")
    return good, bad, notes


def _counted(
    tables: Tables, joined: Keys, sides: Sides, features: Sequence[Feature], allowed: Mapping[str, Tolerance],
    tolerance: Tolerance,
) -> tuple[Sides, list[FeatureCounts]]:  # fmt: skip
    """Return the pairs that met, and counts per feature: one statement for up to a hundred features."""
    if not sides.offline_rows or not sides.online_rows:
        return sides, [FeatureCounts(f.name, f.kind, f.types, 0, 0, note=f.note) for f in features]
    result = []
    for first in range(0, max(1, len(features)), FEATURES_A_PASS):
        part = features[first : first + FEATURES_A_PASS]
        rows = joining.joined(joined, sides, part)
        outputs: list[exp.Expression] = [exp.alias_(exp.Count(this=exp.Star()), "n", copy=False)]
        for i, feature in enumerate(part):
            outputs += _outputs(feature, i, allowed.get(feature.name, tolerance), joined.has_time)
        raw = tables.query(exp.select(*outputs).from_(rows.subquery("j", copy=False), copy=False))
        sides = joining.met(sides, joined, int(raw["n"][0]))
        result += [_one(feature, i, raw, sides.matched, joined.has_time) for i, feature in enumerate(part)]
    return sides, result


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


def _one(feature: Feature, i: int, raw: Mapping[str, Array], matched: int, timed: bool) -> FeatureCounts:
    first, last = (_moment(raw[f"{end}{i}"]) if timed else None for end in ("lo", "hi"))
    wrong = raw[f"m{i}"][0]
    return FeatureCounts(
        feature.name, feature.kind, feature.types, matched, 0 if wrong is None or wrong != wrong else int(wrong),
        matched - int(raw[f"p{i}"][0]), matched - int(raw[f"q{i}"][0]), first, last, note=feature.note,
    )  # fmt: skip


def _moment(values: Array) -> float | None:
    seconds = sampling.seconds(values)
    return float(seconds[0]) if len(seconds) and np.isfinite(seconds[0]) else None
