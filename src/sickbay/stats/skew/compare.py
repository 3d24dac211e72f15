"""Two tables of the same features compared where they are: one join, one row of counts, then a bounded sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlglot import exp

from sickbay.stats.skew import columns as c
from sickbay.stats.skew import counting, digests, joining, sampling
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.counting import FeatureCounts
from sickbay.stats.skew.joining import Keys, Sides
from sickbay.stats.skew.pairs import EXACT, History, Pairs, Tolerance
from sickbay.stats.table import Array

MISMATCHES = 8_000
"""Mismatching pairs per feature that leave the engine, about; chosen by a hash of the keys."""


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
    chosen = _unread(tables, chosen)
    joining.columns_there(segments, tables.types["offline"], tables.types["offline"], "the segment")
    sides = joining.count(tables, joined)
    allowed = {f.name: c.width(f.types, (tolerances or {}).get(f.name, tolerance)) for f in chosen}
    sides, counted, quick = _counted(tables, joined, sides, chosen, allowed, sample=0 if segments else sample)
    notes = [*joined.notes, *notes, *joining.say(sides)]
    differing = {f.name: f.mismatched for f in counted if f.mismatched}
    drawn = sampling.draw(tables, joined, sides, chosen, differing, allowed, segments, sample, quick)
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


def _unread(tables: Tables, features: Sequence[Feature]) -> list[Feature]:
    """Return the features, those that are text on one side with how many of its values are none of the other's kind."""
    made = list(features)
    for side, table in enumerate(("offline", "online")):
        texts = [i for i, f in enumerate(made) if f.kind in ("number", "time") and f.kinds[side] == "text"]
        if not texts:
            continue
        outputs = []
        for i in texts:
            lost = exp.And(
                this=exp.Is(this=c.value(made[i], side), expression=exp.Null()),
                expression=exp.Not(this=exp.Is(this=exp.column(made[i].name, quoted=True), expression=exp.Null())),
            )
            case = exp.Case().when(lost, exp.convert(1)).else_(exp.convert(0))
            outputs.append(exp.alias_(exp.Sum(this=case), f"u{i}"))
        raw = tables.query(exp.select(*outputs).from_(table))
        for i in texts:
            if unread := counting.whole(raw[f"u{i}"]):
                said = f"{unread:,} {table} values cannot be read as {made[i].kind}s and count as missing"
                made[i] = replace(made[i], note=f"{made[i].note}; {said}")
    return made


def _counted(
    tables: Tables, joined: Keys, sides: Sides, features: Sequence[Feature], allowed: Mapping[str, Tolerance], *,
    sample: int,
) -> tuple[Sides, list[FeatureCounts], digests.Digested | None]:  # fmt: skip
    """Return the pairs that met, counts per feature, and what counting by digests found on the way, if it was used."""
    if not sides.offline_rows or not sides.online_rows:
        return sides, [FeatureCounts(f.name, f.kind, f.types, 0, 0, note=f.note) for f in features], None

    def width(feature: Feature) -> Tolerance:
        return allowed[feature.name]

    quick = digests.count(tables, joined, sides, features, width, sample)
    if quick is not None:
        return joining.met(sides, joined, quick.matched), [quick.features[f.name] for f in features], quick
    matched, counted = counting.count(tables, joined, sides, features, width)
    return joining.met(sides, joined, matched), counted, None
