"""How the rows of two sides meet: by keys, by keys and time, or each with the last row of the other before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from sickbay.errors import TableError, nearest
from sickbay.stats.skew import columns as c
from sickbay.stats.skew import uniqueness
from sickbay.stats.skew.columns import ColumnKind, Feature

if TYPE_CHECKING:
    from sickbay.stats.skew.compare import Tables

How = Literal["equal", "as-of", "latest"]
Only = tuple[exp.Expression | None, exp.Expression | None]
"""A condition by side that rows have to meet, or None."""
HOPELESS = 0.5
"""Share of a side's rows whose keys are not theirs alone from which the keys are the wrong ones."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows of both sides; ``duplicated``: keys occur more than once, set aside; ``keyless``: a key is null."""

    offline_rows: int
    online_rows: int
    matched: int
    offline_only: int
    online_only: int
    offline_duplicated: int = 0
    online_duplicated: int = 0
    offline_keyless: int = 0
    online_keyless: int = 0


@dataclass(frozen=True, slots=True)
class Keys:
    """What rows are matched by. ``native_asof``: the engine's own as-of join is used, proven equal by a test."""

    entity: tuple[str, ...]
    kinds: Mapping[str, tuple[ColumnKind, ColumnKind]]
    time: str | None
    online_time: str | None
    how: How
    native_asof: bool
    notes: tuple[str, ...] = ()

    @property
    def has_time(self) -> bool:
        """Whether pairs have a time."""
        return self.time is not None

    def named(self, side: int) -> list[tuple[str, exp.Expression]]:
        """Return the aliased key expressions of a side: k0, k1 … and t."""
        made = [(f"k{i}", c.key(name, self.kinds[name], side)) for i, name in enumerate(self.entity)]
        moment = self.time if side == 0 else (self.online_time or self.time)
        if moment is not None and not (side == 1 and self.how == "latest"):
            made.append(("t", exp.cast(exp.column(moment, quoted=True), "timestamp")))
        return made


def prepare(
    types: Mapping[str, Mapping[str, str]], keys: Sequence[str], time: str | None, online_time: str | None, dialect: str
) -> Keys:
    """Return how the rows meet; TableError for a key or time that is not there or cannot be one."""
    offline, online = types["offline"], types["online"]
    if not keys:
        raise TableError("no keys are named", hint="name the columns that identify an entity with --keys")
    kinds = {}
    for name in dict.fromkeys(keys):
        for side, there in (("offline", offline), ("online", online)):
            _there(name, there, side, "the key")
        kinds[name] = (c.kind_of(offline[name]), c.kind_of(online[name]))
        if "nested" in kinds[name] or "other" in kinds[name]:
            raise TableError(f"the key {name!r} is of a type that rows cannot be matched by", hint="name plain columns")
    notes = [
        f"the key {name!r} is {offline[name]} offline and {online[name]} online: matched as text"
        for name, (first, second) in kinds.items()
        if first != second and {first, second} != {"whole", "number"}
    ]
    kinds = {n: ("number", "number") if set(k) == {"whole", "number"} else k for n, k in kinds.items()}
    how: How = "equal"
    if time is not None:
        _there(time, offline, "offline", "the time")
        _is_time(time, offline[time], "offline")
        other = online_time or time
        if online_time is not None or time in online:
            _there(other, online, "online", "the time")
            _is_time(other, online[other], "online")
            how = "as-of" if online_time is not None else "equal"
            if c.zoned(offline[time]) != c.zoned(online[other]):
                notes.append(
                    f"the times declare different zones ({offline[time]} offline, {online[other]} online): the one "
                    "without a zone is read as UTC"
                )
        else:
            how = "latest"
            notes.append("the online side has no time: each of its rows meets the entity's latest offline row")
    elif online_time is not None:
        raise TableError("--online-time needs --time, the offline side's column", hint="name both")
    return Keys(tuple(kinds), kinds, time, online_time, how, dialect == "duckdb", tuple(notes))


def columns_there(
    wanted: Sequence[str], offline: Mapping[str, str], online: Mapping[str, str], what: str = "the feature"
) -> list[str]:
    """Return these columns; TableError for one that a side lacks."""
    for name in wanted:
        for side, there in (("offline", offline), ("online", online)):
            _there(name, there, side, what)
    return list(dict.fromkeys(wanted))


def count(tables: Tables, keys: Keys) -> Sides:
    """Return how many rows each side has and how many meet; TableError where the keys do not identify rows."""
    sides = [_side(tables, keys, side) for side in (0, 1)]
    for name, (rows, doubled, _) in zip(("offline", "online"), sides, strict=True):
        if rows and doubled > HOPELESS * rows:
            listed = ", ".join(keys.entity) + (f" and {keys.time}" if keys.time else "")
            raise TableError(
                f"{listed} do not identify the rows of the {name} side: {doubled:,} of {rows:,} rows share theirs with "
                "another row",
                hint="name all key columns with --keys, and the time with --time",
            )
    (rows_a, doubled_a, keyless_a), (rows_b, doubled_b, keyless_b) = sides
    return Sides(rows_a, rows_b, 0, rows_a, rows_b, doubled_a, doubled_b, keyless_a, keyless_b)


def met(sides: Sides, keys: Keys, matched: int) -> Sides:
    """Return the sides with the number of pairs that met; as-of, an offline row that nothing met is no miss."""
    offline = sides.offline_rows - sides.offline_duplicated - sides.offline_keyless - matched
    online = sides.online_rows - sides.online_duplicated - sides.online_keyless - matched
    return replace(sides, matched=matched, offline_only=offline if keys.how == "equal" else 0, online_only=online)


def say(sides: Sides) -> list[str]:
    """Return in words what was set aside."""
    said = []
    for name, doubled, keyless in (
        ("offline", sides.offline_duplicated, sides.offline_keyless),
        ("online", sides.online_duplicated, sides.online_keyless),
    ):
        if doubled:
            said.append(f"{doubled:,} {name} rows share their keys with another row and are set aside")
        if keyless:
            said.append(f"{keyless:,} {name} rows have a key that is null and are set aside")
    return said


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the rows that meet.

    ``extra``: further offline columns, as x0 …. ``made``: name → expression over a side's own columns, offline and
    online. ``only``: a condition by side. ``within``: a table of the keys (k0 …, t) that alone are wanted.
    ``shared``: features whose values are equal in every pair, read from the offline side alone.
    """

    features: Sequence[Feature]
    extra: Sequence[str] = ()
    made: tuple[Mapping[str, exp.Expression], Mapping[str, exp.Expression]] = field(default=({}, {}))
    only: Only = (None, None)
    within: str | None = None
    shared: frozenset[str] = frozenset()


def joined(keys: Keys, sides: Sides, asked: Asked) -> exp.Select:
    """Return the rows that meet: k0 …, t, then a0, b0 … for the features' values, and what else is asked."""
    offline = _rows(keys, 0, asked, aside=sides.offline_duplicated > 0)
    online = _rows(keys, 1, asked, aside=sides.online_duplicated > 0)
    if keys.how == "latest":
        offline = _latest(keys, offline)
    if keys.how == "as-of" and not keys.native_asof:
        return _by_window(keys, offline, online, asked)
    on = [_equal(name) for name in _entity(keys)]
    if keys.how == "equal" and keys.has_time:
        on.append(_equal("t"))
    if keys.how == "as-of":
        on.append(exp.GTE(this=exp.column("t", table="b"), expression=exp.column("t", table="a")))
        join = exp.Join(this=offline.subquery("a", copy=False), method="ASOF", on=exp.and_(*on))
        return _picked(keys, asked).from_(online.subquery("b", copy=False), copy=False).join(join, copy=False)
    join = exp.Join(this=online.subquery("b", copy=False), on=exp.and_(*on))
    return _picked(keys, asked).from_(offline.subquery("a", copy=False), copy=False).join(join, copy=False)


def _picked(keys: Keys, asked: Asked) -> exp.Select:
    chosen = [(name, name, "b") for name in _entity(keys)]
    if keys.has_time:
        chosen.append(("t", "t", "a" if keys.how == "latest" else "b"))
    for i, feature in enumerate(asked.features):
        chosen.append((f"a{i}", f"a{i}", "a"))
        chosen.append((f"b{i}", f"a{i}", "a") if feature.name in asked.shared else (f"b{i}", f"b{i}", "b"))
    chosen += [(f"x{i}", f"x{i}", "a") for i in range(len(asked.extra))]
    chosen += [(name, name, "ab"[side]) for side in (0, 1) for name in asked.made[side]]
    # named again, for one engine gives a joined column the name of its table too
    return exp.select(*(exp.alias_(exp.column(name, table=side), out, copy=False) for out, name, side in chosen))


def _by_window(keys: Keys, offline: exp.Select, online: exp.Select, asked: Asked) -> exp.Select:
    """Return the as-of join without an engine's own: the running maximum of the offline times meets them again."""
    names = _entity(keys)
    marks = []
    for side, rows in ((0, offline), (1, online)):
        seen = exp.column("t") if side == 0 else exp.cast(exp.Null(), "timestamp")
        columns = [
            *(exp.column(n) for n in names),
            exp.column("t"),
            exp.alias_(seen, "s"),
            exp.alias_(exp.convert(side), "w"),
        ]
        marks.append(exp.select(*columns).from_(rows.copy().subquery("r")))
    order = exp.Order(expressions=[exp.Ordered(this=exp.column(n), desc=False) for n in ("t", "w")])
    running = exp.Window(
        this=exp.Max(this=exp.column("s")),
        partition_by=[exp.column(n) for n in names],
        order=order,
        spec=None,
        over="OVER",
    )
    both = exp.union(*marks, distinct=False).subquery("u")
    looked = exp.select(
        *(exp.column(n) for n in names), exp.column("t"), exp.column("w"), exp.alias_(running, "s")
    ).from_(both)
    was = exp.EQ(this=exp.column("w"), expression=exp.convert(1))
    met = (
        exp.select(*(exp.column(n) for n in names), exp.column("t"), exp.column("s"))
        .from_(looked.subquery("v"))
        .where(was)
    )
    first = exp.and_(
        *(exp.EQ(this=exp.column(n, table="b"), expression=exp.column(n, table="m")) for n in (*names, "t"))
    )
    second = exp.and_(
        *(exp.EQ(this=exp.column(n, table="m"), expression=exp.column(n, table="a")) for n in names),
        exp.EQ(this=exp.column("s", table="m"), expression=exp.column("t", table="a")),
    )
    return (
        _picked(keys, asked)
        .from_(online.subquery("b", copy=False), copy=False)
        .join(exp.Join(this=met.subquery("m"), on=first), copy=False)
        .join(exp.Join(this=offline.subquery("a", copy=False), on=second), copy=False)
    )


def _latest(keys: Keys, offline: exp.Select) -> exp.Select:
    order = exp.Order(expressions=[exp.Ordered(this=exp.column("t"), desc=True)])
    number = exp.Window(
        this=exp.RowNumber(), partition_by=[exp.column(n) for n in _entity(keys)], order=order, spec=None, over="OVER"
    )
    ranked = exp.select(exp.Star(), exp.alias_(number, "place")).from_(offline.subquery("r", copy=False))
    first = exp.EQ(this=exp.column("place"), expression=exp.convert(1))
    return exp.select(exp.Star()).from_(ranked.subquery("l")).where(first)


def _rows(keys: Keys, side: int, asked: Asked, *, aside: bool) -> exp.Select:
    """Return one side's rows with keys and values under their short names; without keyless and duplicated ones."""
    named = keys.named(side)
    columns = [exp.alias_(expression, name, copy=False) for name, expression in named]
    columns += [
        exp.alias_(c.value(f, side), f"{'ab'[side]}{i}", copy=False)
        for i, f in enumerate(asked.features)
        if side == 0 or f.name not in asked.shared
    ]
    if side == 0:
        columns += [exp.alias_(exp.column(n, quoted=True), f"x{i}", copy=False) for i, n in enumerate(asked.extra)]
    columns += [exp.alias_(expression, name) for name, expression in asked.made[side].items()]
    rows = exp.select(*columns).from_(("offline", "online")[side])
    wanted: list[exp.Expression] = [exp.Not(this=exp.Is(this=e.copy(), expression=exp.Null())) for _, e in named]
    if (only := asked.only[side]) is not None:
        wanted.append(only.copy())
    rows = rows.where(exp.and_(*wanted), copy=False)
    names = [name for name, _ in named]
    if asked.within is not None:
        rows = _among(rows, exp.to_table(asked.within, alias="o"), names)
    if not aside:
        return rows
    alone = exp.select(*(exp.column(n) for n in names)).from_(_groups(keys, side).subquery("g"))
    alone = alone.where(exp.EQ(this=exp.column("n"), expression=exp.convert(1)))
    return _among(rows, alone.subquery("o"), names)


def _among(rows: exp.Select, others: exp.Expression, names: Sequence[str]) -> exp.Select:
    """Return the rows whose keys are among the others', each of which is there once."""
    on = exp.and_(*(exp.EQ(this=exp.column(n, table="r"), expression=exp.column(n, table="o")) for n in names))
    picked = [exp.column(one.alias_or_name, table="r") for one in rows.selects]
    return exp.select(*picked).from_(rows.subquery("r")).join(exp.Join(this=others, on=on))


def _groups(keys: Keys, side: int) -> exp.Select:
    named = keys.named(side)
    inner = exp.select(*(exp.alias_(e, n) for n, e in named)).from_(("offline", "online")[side])
    filled = [exp.Not(this=exp.Is(this=e.copy(), expression=exp.Null())) for _, e in named]
    names = [exp.column(n) for n, _ in named]
    counted = exp.select(*names, exp.alias_(exp.Count(this=exp.Star()), "n"))
    return counted.from_(inner.where(exp.and_(*filled)).subquery("r")).group_by(*(n.copy() for n in names))


def _side(tables: Tables, keys: Keys, side: int) -> tuple[int, int, int]:
    """Return rows, rows whose keys are not theirs alone, and rows without a key."""
    # a bare COUNT(*) is answered from what some engines remember of a file, not always rightly
    empty = exp.or_(*(exp.Is(this=expression, expression=exp.Null()) for _, expression in keys.named(side)))
    if tables.dialect == "duckdb" and (counted := uniqueness.count(tables, keys, side, empty)) is not None:
        return counted
    unkeyed = exp.Case().when(empty, exp.convert(1)).else_(exp.convert(0))
    total = exp.select(exp.alias_(exp.Sum(this=unkeyed), "n")).from_(("offline", "online")[side])
    keyless = uniqueness.whole(tables.query(total)["n"][0])
    more = (
        exp.Case().when(exp.GT(this=exp.column("n"), expression=exp.convert(1)), exp.column("n")).else_(exp.convert(0))
    )
    outputs = [exp.alias_(exp.Sum(this=exp.column("n")), "keyed"), exp.alias_(exp.Sum(this=more), "doubled")]
    raw = tables.query(exp.select(*outputs).from_(_groups(keys, side).subquery("g")))
    keyed, doubled = (uniqueness.whole(raw[name][0]) for name in ("keyed", "doubled"))
    return keyed + keyless, doubled, keyless


def _entity(keys: Keys) -> list[str]:
    return [f"k{i}" for i in range(len(keys.entity))]


def _equal(name: str) -> exp.Expression:
    return exp.EQ(this=exp.column(name, table="a"), expression=exp.column(name, table="b"))


def _there(name: str, types: Mapping[str, str], side: str, what: str) -> None:
    if name not in types:
        same = next((one for one in types if one.lower() == name.lower()), name)
        hint = nearest(same, types) or f"columns there: {', '.join(list(types)[:20])}"
        raise TableError(f"the {side} side has no column {name!r}, which is {what} asked for", hint=hint)


def _is_time(name: str, engine_type: str, side: str) -> None:
    if c.kind_of(engine_type) != "time":
        raise TableError(
            f"the time {name!r} of the {side} side is of type {engine_type}", hint="a timestamp or date is needed"
        )
