"""Mismatches counted by digests, in the embedded engine: a join carries one hash for all features that hardly differ.

A join costs what it carries. A glance at some pairs says which features differ at all; those are carried and compared
value by value, the others as one 64-bit hash of their values. Pairs whose hashes are equal are equal in these features
(a pair that differs has the same hash once in 2^64); the other pairs are fetched by their keys, which the join notes on
the way when they are few, and compared value by value, so that tolerances, nulls and NaN count as ever.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from sickbay.stats.skew import columns as c
from sickbay.stats.skew import counting, joining, keeping, sampling
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.counting import FeatureCounts, ToleranceOf, whole
from sickbay.stats.skew.joining import Asked, Keys, Only, Sides
from sickbay.stats.skew.keeping import Kept
from sickbay.stats.skew.odd import NOTED, Odd, fetch, noted

if TYPE_CHECKING:
    from sickbay.stats.skew.compare import Tables

LARGE = 200_000
"""Rows of the smaller side from which the glance is worth it."""
GLANCED, ENOUGH = 5_000, 1_000
"""Pairs that a glance is to see, about, and the fewest that it is judged by."""
FEATURES = 4, 500
RARE = 0.001
"""Share of the pairs seen up to which a feature that differs is carried in the hash all the same."""
FEW = 0.1
"""Share of the pairs up to which those with unequal hashes are fetched by their keys."""
BITS = 60
"""Features whose nulls one number marks."""

Made = tuple[Mapping[str, exp.Expression], Mapping[str, exp.Expression]]


@dataclass(frozen=True, slots=True)
class Digested:
    """Pairs, counts by feature, and what the sample may take.

    ``shared``: the features found the same, bit for bit, in all pairs but those that are ``odd``. ``kept``: pairs of
    the join, their ``shared`` features read from the offline side.
    """

    matched: int
    features: Mapping[str, FeatureCounts]
    shared: frozenset[str]
    kept: Kept | None = None
    odd: Odd | None = None


def count(
    tables: Tables, keys: Keys, sides: Sides, features: Sequence[Feature], allowed: ToleranceOf, sample: int
) -> Digested | None:
    """Return the counts of these features, or None where comparing all values is as cheap, or the engine another.

    ``sample``: how many mismatches of each feature are wanted afterwards, about; 0 when none are to be kept.
    """
    rows = min(sides.offline_rows, sides.online_rows)
    if tables.dialect != "duckdb" or keys.how != "equal" or rows < LARGE:
        return None
    if not FEATURES[0] <= len(features) <= FEATURES[1]:
        return None
    differing = _glance(tables, keys, sides, features)
    if differing is None:
        return None
    # so few that the join notes them all
    differing = {name: rate for name, rate in differing.items() if rate > min(RARE, NOTED / 2 / rows)}
    if len(differing) > counting.FEATURES_A_PASS:
        return None
    loud = [f for f in features if f.name in differing]
    quiet = [f for f in features if f.name not in differing]
    nullable = _nullable(tables, sides, quiet)
    kept = keeping.plan(keys, loud, quiet, differing, sides.online_rows, sample) if sample else None
    made: Made = (
        {"h": _digest(quiet, 0), **_nulls(nullable), **(kept.columns if kept else {})},
        {"g": _digest(quiet, 1)},
    )
    select = counting.select(loud, allowed, timed=keys.has_time)
    same = exp.EQ(this=exp.column("h"), expression=exp.column("g"))
    select = select.select(exp.alias_(_times(exp.Not(this=same)), "u"), copy=False)
    for i in range(len(nullable)):
        bit = exp.convert(1 << i % BITS)
        null = exp.EQ(this=exp.BitwiseAnd(this=exp.column(f"z{i // BITS}"), expression=bit), expression=bit.copy())
        select = select.select(exp.alias_(_times(exp.And(this=same.copy(), expression=null)), f"o{i}"), copy=False)
    select = select.from_(joining.joined(keys, sides, Asked(loud, made=made)).subquery("j"))
    outputs = [noted(keys, exp.NEQ(this=exp.column("h"), expression=exp.column("g")))]
    making, select = keeping.counted(select, [*outputs, kept.output()] if kept is not None else outputs)
    tables.query(making)
    raw = tables.query(select)
    matched, unequal = whole(raw["n"]), whole(raw["u"])
    found = {f.name: counting.one(f, i, raw, matched) for i, f in enumerate(loud)}
    if quiet and unequal > FEW * matched:
        found |= {f.name: f for f in counting.count(tables, keys, sides, quiet, allowed)[1]}
        return Digested(matched, found, frozenset())
    apart = fetch(tables, keys, sides, features) if 0 < unequal <= NOTED else None
    odd = _odd(tables, keys, sides, quiet, allowed, made, apart) if unequal else {}
    nulls = {f.name: whole(raw[f"o{i}"]) for i, f in enumerate(nullable)}
    for f in quiet:
        # what the pairs with unequal hashes have, and the nulls of the others, which both sides share
        one = odd.get(f.name) or FeatureCounts(f.name, f.kind, f.types, 0, 0, note=f.note)
        both = nulls.get(f.name, 0)
        found[f.name] = replace(
            one, pairs=matched, offline_null=one.offline_null + both, online_null=one.online_null + both
        )
    if unequal and apart is None:
        return Digested(matched, found, frozenset())
    return Digested(matched, found, frozenset(f.name for f in quiet), kept, apart)


def _glance(tables: Tables, keys: Keys, sides: Sides, features: Sequence[Feature]) -> dict[str, float] | None:
    """Return the features that differ in some bit, with the share of the pairs; None when too few were looked at."""
    rows = max(sides.offline_rows, sides.online_rows)
    head = exp.LT(this=exp.column("__row"), expression=exp.convert(math.ceil(math.sqrt(GLANCED * rows))))
    # the first rows of both are cheap to read, and hardly any of them meet when the orders are unlike
    drawn = sampling.within(keys, 4 * GLANCED / rows)
    looks: tuple[Only, ...] = ((head, head), drawn)
    for only in looks:
        outputs: list[exp.Expression] = [exp.alias_(exp.Count(this=exp.Star()), "n")]
        for i in range(len(features)):
            a, b = (exp.Anonymous(this="hash", expressions=[exp.column(f"{side}{i}")]) for side in "ab")
            outputs.append(exp.alias_(_times(exp.NEQ(this=a, expression=b)), f"d{i}"))
        met = joining.joined(keys, sides, Asked(features, only=only))
        raw = tables.query(exp.select(*outputs).from_(met.subquery("j")))
        if (seen := whole(raw["n"])) >= ENOUGH:
            return {f.name: d / seen for i, f in enumerate(features) if (d := whole(raw[f"d{i}"]))}
    return None


def _odd(
    tables: Tables, keys: Keys, sides: Sides, features: Sequence[Feature], allowed: ToleranceOf, made: Made,
    apart: Odd | None,
) -> dict[str, FeatureCounts]:  # fmt: skip
    """Return the counts over the pairs whose hashes are not equal."""
    select = counting.select(features, allowed, timed=keys.has_time)
    if apart is not None:
        raw = tables.query(select.from_(apart.rows(features).subquery("j")))
        return {f.name: counting.one(f, i, raw, whole(raw["n"])) for i, f in enumerate(features)}
    unlike = exp.NEQ(this=exp.column("h"), expression=exp.column("g"))
    met = joining.joined(keys, sides, Asked((), made=({"h": made[0]["h"]}, made[1])))
    named = exp.select(*(exp.column(name) for name, _ in keys.named(0))).from_(met.subquery("u")).where(unlike)
    rows = joining.joined(keys, sides, Asked(features, within="odd"))
    raw = tables.query(select.from_(rows.subquery("j")).with_("odd", as_=named, materialized=True))
    return {f.name: counting.one(f, i, raw, whole(raw["n"])) for i, f in enumerate(features)}


def _digest(features: Sequence[Feature], side: int) -> exp.Expression:
    if not features:
        return exp.convert(0)
    # an enumeration's hash is that of its number
    values = [exp.cast(c.value(f, side), "text") if f.kind == "text" else c.value(f, side) for f in features]
    return exp.Anonymous(this="hash", expressions=values)


def _nullable(tables: Tables, sides: Sides, features: Sequence[Feature]) -> list[Feature]:
    """Return the features with nulls offline; a Parquet file's own statistics say that there are none."""
    if not features:
        return []
    outputs = [exp.alias_(exp.Count(this=c.value(f, 0)), f"p{i}") for i, f in enumerate(features)]
    raw = tables.query(exp.select(*outputs).from_("offline"))
    return [f for i, f in enumerate(features) if whole(raw[f"p{i}"]) < sides.offline_rows]


def _nulls(features: Sequence[Feature]) -> dict[str, exp.Expression]:
    """Return z0 …: numbers with a bit for each feature that is null."""
    made: dict[str, exp.Expression] = {}
    for i, feature in enumerate(features):
        empty = exp.Is(this=c.value(feature, 0), expression=exp.Null())
        bit = exp.Case().when(empty, exp.cast(exp.convert(1 << i % BITS), "bigint")).else_(exp.convert(0))
        name = f"z{i // BITS}"
        made[name] = exp.Add(this=made[name], expression=bit) if name in made else bit
    return made


def _times(condition: exp.Expression) -> exp.Expression:
    """Return how many rows a condition holds for."""
    return exp.Sum(this=exp.Case().when(condition, exp.convert(1)).else_(exp.convert(0)))
