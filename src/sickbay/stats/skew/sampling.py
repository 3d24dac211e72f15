"""The bounded part of two sides that leaves the engine: differing pairs, some equal ones, and their histories.

Which rows is a rule, not chance: those whose first key has a hash below a limit (whole numbers: (|k mod 1,000,003| ·
48,271) mod 1,000,003; anything else: MD5 of its text), the limit being such that about ``sample`` mismatches of each
feature are among them. So whole entities are drawn, with all their rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from sickbay.stats.skew import columns as c
from sickbay.stats.skew import joining
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.joining import Asked, Keys, Only, Sides
from sickbay.stats.skew.pairs import History, Pairs, Tolerance
from sickbay.stats.table import Array, Floats

if TYPE_CHECKING:
    from sickbay.stats.skew.compare import Tables
    from sickbay.stats.skew.counting import FeatureCounts
    from sickbay.stats.skew.digests import Digested

PRIME, FACTOR = 1_000_003, 48_271
EQUAL = 6_000
"""Equal pairs drawn, about."""
ROWS = 200_000
"""Rows of one sample, at most."""
FEATURES_A_PASS, OTHERS = 60, 60
"""Differing features of one sample; further features fetched beside them, for columns that were swapped."""
ENTITIES, HISTORY_ROWS = 1_000, 1_000_000
"""Entities whose history is fetched, and its rows at most."""
ARRIVALS = (
    "created",
    "created_at",
    "created_timestamp",
    "ingested_at",
    "arrived_at",
    "arrival",
    "_created",
    "loaded_at",
)
"""Names under which a history says when a row arrived."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Sampled pairs by feature, and the part of the entities they stand for."""

    pairs: Mapping[str, Pairs] = field(default_factory=dict)
    part: Mapping[str, float] = field(default_factory=dict)
    segments: Mapping[str, Any] = field(default_factory=dict)


def draw(
    tables: Tables, keys: Keys, sides: Sides, features: Sequence[Feature], mismatched: Mapping[str, int],
    allowed: Mapping[str, Tolerance], segments: Sequence[str], sample: int, found: Digested | None,
) -> Drawn:  # fmt: skip
    """Return the sample of the features in ``mismatched`` (name → mismatching pairs of the whole tables).

    ``found``: what counting by digests found on the way: features to be read from one side, pairs at hand.
    """
    differing = [f for f in features if mismatched.get(f.name)]
    made = Drawn()
    for first in range(0, len(differing), FEATURES_A_PASS):
        part = differing[first : first + FEATURES_A_PASS]
        kinds = {f.kind for f in part}
        beside = [f for f in features if f not in part and f.kind in kinds][:OTHERS]
        one = _draw(tables, keys, sides, part, beside, mismatched, allowed, segments, sample, found)
        made = Drawn(
            {**made.pairs, **one.pairs},
            {**made.part, **one.part},
            {**made.segments, **one.segments},
        )
    return made


def _draw(
    tables: Tables, keys: Keys, sides: Sides, part: Sequence[Feature], beside: Sequence[Feature],
    mismatched: Mapping[str, int], allowed: Mapping[str, Tolerance], segments: Sequence[str], sample: int,
    found: Digested | None,
) -> Drawn:  # fmt: skip
    both = [*part, *beside]
    shares = {f.name: min(1.0, sample / mismatched[f.name]) for f in part}
    equal = EQUAL / max(1, sides.matched)
    largest = max(equal, *shares.values())
    wanted: list[exp.Expression] = [below(keys, equal)]
    for i, f in enumerate(part):
        wrong = c.mismatch(f, exp.column(f"a{i}"), exp.column(f"b{i}"), allowed[f.name])
        differs = exp.EQ(this=wrong, expression=exp.convert(1))
        inside = below(keys, shares[f.name])
        wanted.append(exp.Paren(this=exp.And(this=inside, expression=differs)) if inside is not TRUE else differs)
    where = TRUE if any(w is TRUE for w in wanted) else exp.or_(*wanted)
    only = within(keys, largest)
    if found is not None and found.odd is not None and not segments:
        # what differs in the shared features is there; the others are read as ever, and no more than they need
        needed = max([equal, *(shares[f.name] for f in part if f.name not in found.shared)])
        if found.kept is not None and found.kept.has(both, needed):
            base = found.kept.rows(both)
        else:
            base = joining.joined(keys, sides, Asked(both, only=within(keys, needed), shared=found.shared))
        select = _where(exp.union(found.odd.without(base), found.odd.rows(both), distinct=False), where)
    elif found is not None and found.odd is None and found.kept is not None and found.kept.has(both, largest):
        select = _where(found.kept.rows(both), where)
    elif found is not None and where is not TRUE and 2 * len(part) <= len(both):
        # the keys of the sample first, from a join of what differs alone: all columns are carried for those only
        named = _where(joining.joined(keys, sides, Asked(part, only=only)), where, [n for n, _ in keys.named(1)])
        same = found.shared if found.odd is None else frozenset()
        asked = Asked(both, extra=segments, within="wanted", shared=same)
        select = _where(joining.joined(keys, sides, asked), TRUE).with_("wanted", as_=named, materialized=True)
    else:
        select = _where(joining.joined(keys, sides, Asked(both, extra=segments, only=only)), where)
    raw = tables.query(select)
    entity = tuple(raw[f"k{i}"] for i in range(len(keys.entity)))
    codes = coded(entity)
    time = seconds(raw["t"]) if keys.has_time else None
    offline = {f.name: plain(raw[f"a{i}"], f.kind) for i, f in enumerate(both)}
    online = {f.name: plain(raw[f"b{i}"], f.kind) for i, f in enumerate(both)}
    pairs, levels = {}, {}
    for f in part:
        others = [o.name for o in both if o.kind == f.kind and o.name != f.name]
        pairs[f.name] = Pairs(
            f.name, f.kind, offline[f.name], online[f.name], codes, time,
            {n: offline[n] for n in others}, {n: online[n] for n in others}, sides.matched, mismatched[f.name],
            allowed[f.name],
        )  # fmt: skip
        if segments:
            levels[f.name] = _segments(pairs[f.name], segments, raw)
    return Drawn(pairs, shares, levels)


TRUE = exp.true()


def _where(rows: exp.Query, where: exp.Expression, names: Sequence[str] = ()) -> exp.Select:
    """Return the pairs that a condition holds for: these columns, or all of them."""
    columns: list[exp.Expression] = [exp.column(name) for name in names] or [exp.Star()]
    select = exp.select(*columns).from_(rows.subquery("j", copy=False)).limit(ROWS)
    return select if where is TRUE else select.where(where, copy=False)


def within(keys: Keys, share: float) -> Only:
    """Return the condition for this share of the entities by side, over the sides' own columns."""
    if share >= 1:
        return None, None
    first, second = (below(keys, share, keys.named(side)[0][1]) for side in (0, 1))
    return first, second


def below(keys: Keys, share: float, column: exp.Expression | None = None) -> exp.Expression:
    """Return a condition that holds for this share of the entities, always for the same ones."""
    if share >= 1:
        return TRUE
    column = column or exp.column("k0")
    if keys.kinds[keys.entity[0]][0] == "whole" and len(set(keys.kinds[keys.entity[0]])) == 1:
        return lower(mixed(column), share)
    return lower(digest(column), share)


def mixed(column: exp.Expression) -> exp.Expression:
    """Return the hash of a whole number: the same on every engine, and for every width that it is stored in."""
    # the remainder first: the smallest number of a type has no absolute value in it; and 64 bits for the product
    small = exp.cast(exp.Paren(this=exp.Mod(this=column, expression=exp.convert(PRIME))), "bigint")
    product = exp.Paren(this=exp.Mul(this=exp.Abs(this=small), expression=exp.convert(FACTOR)))
    return exp.Paren(this=exp.Mod(this=product, expression=exp.convert(PRIME)))


def digest(column: exp.Expression) -> exp.Expression:
    """Return the hash of anything else: that of its text."""
    return exp.MD5(this=exp.cast(column, "text"))


def lower(hashed: exp.Expression, share: float) -> exp.Expression:
    """Return the condition that a hash (of ``mixed`` or ``digest``) is in the lowest ``share`` of its range."""
    limit: exp.Expression = exp.convert(max(1, round(share * PRIME)))
    if isinstance(hashed, exp.MD5):
        limit = exp.Literal.string(f"{max(1, int(share * 16**8)):08x}")
    return exp.Paren(this=exp.LT(this=hashed, expression=limit))


def entities(counted: FeatureCounts, drawn: Drawn) -> FeatureCounts:
    """Return the counts with the number of entities a mismatch concerns, where every mismatch was drawn."""
    pairs = drawn.pairs.get(counted.name)
    if pairs is None or pairs.entity is None or drawn.part[counted.name] < 1 or len(pairs.entity) >= ROWS:
        return counted
    from sickbay.stats.skew.pairs import differ

    wrong = differ(pairs.offline, pairs.online, pairs.tolerance)
    return replace(counted, entities=len(set(pairs.entity[wrong].tolist())))


def histories(tables: Tables, keys: Keys, features: Sequence[Feature], drawn: Drawn) -> dict[str, History]:
    """Return the features' values by entity and time, from ``history`` or else from the offline side itself."""
    table = "history" if "history" in tables.types else "offline"
    if not keys.has_time or not drawn.pairs:
        return {}
    names = [f for f in features if f.name in drawn.pairs and f.name in tables.types[table]]
    fetched = _of_entities(
        tables, keys, table, [(f.name, c.value(_as(f, tables.types[table]), 0)) for f in names], drawn
    )
    if fetched is None:
        return {}
    entity, time, created, raw = fetched
    return {f.name: History(entity, time, plain(raw[f"v{i}"], f.kind), created) for i, f in enumerate(names)}


def events(tables: Tables, keys: Keys, drawn: Drawn) -> dict[str, History]:
    """Return what the features may be computed from: the number columns of ``events``, and one for counting."""
    if "events" not in tables.types or not keys.has_time or not drawn.pairs:
        return {}
    types = tables.types["events"]
    aside = {*keys.entity, keys.time, *ARRIVALS}
    names = [n for n, t in types.items() if n not in aside and c.kind_of(t) in ("whole", "number")][:20]
    made = [(n, exp.cast(exp.column(n, quoted=True), "double")) for n in names]
    fetched = _of_entities(tables, keys, "events", made, drawn)
    if fetched is None:
        return {}
    entity, time, _, raw = fetched
    found = {n: History(entity, time, plain(raw[f"v{i}"], "number")) for i, n in enumerate(names)}
    return found or {"events": History(entity, time, np.ones(len(time)))}


def _of_entities(
    tables: Tables, keys: Keys, table: str, values: Sequence[tuple[str, exp.Expression]], drawn: Drawn
) -> tuple[Array, Floats, Floats | None, Mapping[str, Array]] | None:
    """Return entity, time, arrival and values of the sampled entities' rows, or None when there is nothing to fetch."""
    types = tables.types[table]
    times = [n for n, t in types.items() if c.kind_of(t) == "time"]
    moment = keys.time if keys.time in types else next((n for n in times if n not in ARRIVALS), None)
    if moment is None or not values or any(name not in types for name in keys.entity):
        return None
    columns = [exp.alias_(c.key(n, keys.kinds[n], 0), f"k{i}") for i, n in enumerate(keys.entity)]
    columns.append(exp.alias_(exp.cast(exp.column(moment, quoted=True), "timestamp"), "t"))
    arrived = next((n for n in times if n.lower() in ARRIVALS and n != moment), None)
    if arrived is not None:
        columns.append(exp.alias_(exp.cast(exp.column(arrived, quoted=True), "timestamp"), "c"))
    columns += [exp.alias_(expression, f"v{i}") for i, (_, expression) in enumerate(values)]
    listed = _literals(drawn, keys)
    select = exp.select(*columns).from_(table).limit(HISTORY_ROWS)
    if listed is not None:
        select = select.where(exp.In(this=columns[0].this.copy(), expressions=listed))
    raw = tables.query(select)
    entity = coded(tuple(raw[f"k{i}"] for i in range(len(keys.entity))))
    return entity, seconds(raw["t"]), seconds(raw["c"]) if arrived is not None else None, raw


def narrowed(tables: Tables, drawn: Drawn) -> Drawn:
    """Return the sample with the pairs of the first entities alone, where a history of more would be too long to fetch.

    What a pair's entity has no history for would read as an entity without events. Entities with mismatches come first.
    """
    if not {"history", "events"} & set(tables.types):
        return drawn
    chosen = _chosen(drawn)
    if len(chosen) < ENTITIES:
        return drawn
    return replace(drawn, pairs={name: _only(one, chosen) for name, one in drawn.pairs.items()})


def _only(pairs: Pairs, entities: Mapping[Any, None]) -> Pairs:
    """Return the pairs of these entities."""
    kept = np.array([_first(entity) in entities for entity in _entities(pairs)], dtype=bool)
    return replace(
        pairs, offline=pairs.offline[kept], online=pairs.online[kept],
        entity=None if pairs.entity is None else pairs.entity[kept],
        time=None if pairs.time is None else pairs.time[kept],
        others_offline={name: values[kept] for name, values in pairs.others_offline.items()},
        others_online={name: values[kept] for name, values in pairs.others_online.items()},
    )  # fmt: skip


def _chosen(drawn: Drawn) -> dict[Any, None]:
    """Return the first keys of the entities whose history is fetched: of those with mismatches, so many."""
    from sickbay.stats.skew.pairs import differ

    found: dict[Any, None] = {}
    for pairs in drawn.pairs.values():
        wrong = differ(pairs.offline, pairs.online, pairs.tolerance).tolist()
        found |= dict.fromkeys(_first(e) for e, w in zip(_entities(pairs), wrong, strict=True) if w)
    return dict.fromkeys(list(found)[:ENTITIES])


def _entities(pairs: Pairs) -> list[Any]:
    return [] if pairs.entity is None else pairs.entity.tolist()


def _first(entity: Any) -> Any:
    """Return the first key of an entity that may have several."""
    return entity[0] if isinstance(entity, tuple) else entity


def _literals(drawn: Drawn, keys: Keys) -> list[exp.Expression] | None:
    """Return the first keys of the sampled entities as literals; None for all."""
    found = _chosen(drawn)
    kind = keys.kinds[keys.entity[0]]
    if not found or kind[0] not in ("whole", "text") or len(set(kind)) > 1:
        return None
    return [exp.convert(int(v)) if kind[0] == "whole" else exp.Literal.string(str(v)) for v in found]


def _as(feature: Feature, types: Mapping[str, str]) -> Feature:
    engine_type = types[feature.name]
    return replace(feature, types=(engine_type, feature.types[1]), kinds=(c.kind_of(engine_type), feature.kinds[1]))


def coded(keys: tuple[Array, ...]) -> Array:
    """Return one object per row that tells entities apart: the key, or a tuple of keys."""
    if len(keys) == 1:
        out = np.empty(len(keys[0]), dtype=object)
        out[:] = [_scalar(v) for v in keys[0].tolist()]
        return out
    listed = [tuple(_scalar(v) for v in row) for row in zip(*(k.tolist() for k in keys), strict=True)]
    out = np.empty(len(listed), dtype=object)
    for i, row in enumerate(listed):
        out[i] = row
    return out


def _scalar(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain(values: Array, kind: str) -> Array:
    """Return an engine's answer as the explainer takes it: floats with NaN, or objects with None."""
    if kind == "text":
        out = np.empty(len(values), dtype=object)
        out[:] = [None if v is None or v != v else str(v) for v in values.tolist()]
        return out
    if kind == "time":
        return seconds(values)
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    return np.array([np.nan if v is None else float(v) for v in values.tolist()], dtype=np.float64)


def seconds(values: Array) -> Floats:
    """Return instants as seconds since 1970, NaN where there is none; a time without a zone is taken as UTC."""
    if values.dtype.kind == "M":
        micro = values.astype("datetime64[us]")
        return np.where(np.isnat(micro), np.nan, micro.astype(np.int64) / 1e6)
    return np.array([_second(v) for v in values.tolist()], dtype=np.float64)


def _second(value: Any) -> float:
    if value is None or value != value:
        return float("nan")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return float((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())


def _segments(
    pairs: Pairs, names: Sequence[str], raw: Mapping[str, Array]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return per segment column the levels that most mismatches are in: share of the mismatches, of the equal pairs."""
    from sickbay.stats.skew.pairs import differ

    wrong = differ(pairs.offline, pairs.online, pairs.tolerance)
    result = {}
    for i, name in enumerate(names):
        level: NDArray[Any] = np.array([str(v) for v in raw[f"x{i}"].tolist()], dtype=object)
        counted: dict[str, tuple[float, float]] = {}
        for one in sorted(set(level.tolist())):
            inside = level == one
            counted[one] = (
                round(float(inside[wrong].mean()) if wrong.any() else 0.0, 4),
                round(float(inside[~wrong].mean()) if (~wrong).any() else 0.0, 4),
            )
        top = sorted(counted, key=lambda one: -counted[one][0])[:8]
        result[name] = {one: counted[one] for one in top}
    return result
