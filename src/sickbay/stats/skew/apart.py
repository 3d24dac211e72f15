"""Sides in two engines: the rows of a part of the entities, the same on both, are carried to where they can be joined.

Which entities is the rule of ``sampling``, computed by each engine: those whose key has a hash below a limit. What each
sent is checked by computing its hash once more where they meet. Where one side is so much smaller that few of its rows
would be drawn, its keys are: of the other side come the rows that have one of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlglot import exp

from sickbay.errors import TableError
from sickbay.stats import bins
from sickbay.stats.skew import columns as c
from sickbay.stats.skew import joining, sampling
from sickbay.stats.skew.compare import Tables
from sickbay.stats.skew.interval import wilson
from sickbay.stats.skew.joining import Keys, Sides
from sickbay.stats.skew.uniqueness import whole

ROWS, CELLS, TEXT = 150_000, 6_000_000, 200_000_000
"""What is carried of a side at most, about: rows, values, and characters of text."""
LOOKED = 200
"""Rows by which the length of texts is judged."""
STEPS = 20
"""Times that the share is halved at most."""
ENTITIES = 100
"""Entities that a sample is to hold at least."""
LISTED = 5_000
"""Rows of the smaller side whose keys are asked for one by one, at most."""
PLAIN = (("whole", "whole"), ("text", "text"))
UNLIKE = 0.01
"""Share of the rows with another hash from which the engines are held not to compute the same."""
SIDES = ("offline", "online")
WIDE = ("uint64", "ubigint", "hugeint", "int128", "int256", "uint256")
EXACT, LARGEST = 9e15, 9e21
"""Below the first every whole number is a float; beyond the second nothing is told apart."""


class Places(Tables, Protocol):
    """Tables in several engines; what was carried is queried in the embedded one (``sources.apart``)."""

    def engine(self, role: str) -> str: ...  # noqa: D102

    def carry(  # noqa: D102
        self, role: str, columns: Mapping[str, tuple[str, exp.Expression]], where: exp.Expression | None, rows: int
    ) -> int: ...

    def keep(self, role: str, where: exp.Expression) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Sampled:
    """What of two sides was compared. ``share``: of the values of ``key``; 1 when all were.

    ``keys_of``: the side whose values these are, the other's rows being those that have one; None: drawn alike.
    ``rows``, ``carried``: offline and online. ``entities``: values of the key among the carried rows, by side.
    ``keyless``: rows without the key, of which a sample has none. ``equal``: rows meet by equal keys, so that an
    offline row may be alone.
    """

    engines: tuple[str, str]
    key: str
    share: float
    keys_of: int | None
    rows: tuple[int, int]
    carried: tuple[int, int]
    entities: tuple[int, int]
    keyless: tuple[int, int]
    equal: bool

    @property
    def whole(self) -> bool:
        """Whether all rows of both sides were compared."""
        return self.share >= 1 and self.keys_of is None

    def alone(self, side: int, sides: Sides) -> tuple[int, int, int]:
        """Return how many rows of the whole side meet none of the other: estimate, and its 95 % interval.

        The interval is Wilson's over entities, which is too wide rather than too narrow where rows share theirs.
        """
        found, most = (sides.offline_only, sides.online_only)[side], max(1, self.rows[side] - self.keyless[side])
        if self.whole or (self.keys_of == side and self.share >= 1):
            return found, found, found
        if self.keys_of is None or self.keys_of == side:
            about, low, high = self._share(found, side)
        else:  # all its rows but those that the smaller side meets
            part = (self.rows[1 - side] - self.keyless[1 - side]) / most
            about, low, high = (1 - part * one for one in self._share(sides.matched, 1 - side))
            low, high = high, low
            if self.share >= 1:
                low = high = about
        return round(about * most), math.floor(max(0.0, low) * most), math.ceil(min(1.0, high) * most)

    def _share(self, found: int, side: int) -> tuple[float, float, float]:
        share = found / self.carried[side] if self.carried[side] else 0.0
        return (share, *wilson(share * self.entities[side], self.entities[side]))

    def says(self, sides: Sides) -> list[str]:
        """Return in words what was compared."""
        one, other = self.engines
        where = f"offline is in {one}, online in {'another ' if one == other else ''}{other}: "
        if self.whole:
            return [f"{where}all rows were carried into one engine"]
        counted = " and ".join(
            f"{done:,} of {rows:,} {side} rows" for side, done, rows in zip(SIDES, self.carried, self.rows, strict=True)
        )
        lowest = f"a hash in the lowest 1/{round(1 / self.share)}"
        whose = f"those whose {self.key} has {lowest}"
        if self.keys_of is not None:
            whose = f"those whose {self.key} is one of the {SIDES[self.keys_of]} side's values"
            whose += f" with {lowest}" if self.share < 1 else ""
        notes = [
            f"{where}a sample was compared, {counted}, {whose}; all counts are of the sample, and what differs in "
            f"fewer than about {3 / max(1, sides.matched):.2g} of the pairs may be missed"
        ]
        for side in (0, 1) if self.equal else (1,):
            about, low, high = self.alone(side, sides)
            interval = f"about {about:,} (95 %: {low:,} to {high:,})" if low < high else f"{about:,}"
            notes.append(f"of all {self.rows[side]:,} {SIDES[side]} rows {interval} meet none of the other side")
        for name, none in zip(SIDES, self.keyless, strict=True):
            if none:
                notes.append(f"{none:,} of all {name} rows have no {self.key} and are set aside")
        return notes


def bring(
    places: Places, *, keys: Sequence[str], time: str | None = None, online_time: str | None = None,
    features: Sequence[str] | None = None, segments: Sequence[str] = (),
) -> Sampled:  # fmt: skip
    """Carry what a comparison needs of both sides into the embedded engine, where ``places`` reads it from then on.

    Raises TableError for keys that are not there, and where no key draws the same rows on both sides.
    """
    met = joining.prepare(places.types, keys, time, online_time, places.dialect)
    columns = [_columns(places, met, features, segments, side) for side in (0, 1)]
    rows = (_rows(places, "offline"), _rows(places, "online"))
    most = min(_bound(places, columns[side], SIDES[side]) for side in (0, 1))
    smaller = int(rows[1] < rows[0])
    keys_of, drawn = None, (met.entity[0], 1.0)
    if max(rows) > most:
        if (alike := _alike(places, met, rows, most)) is None:
            keys_of, drawn = smaller, _few(places, met, rows[smaller], smaller)
        else:
            drawn = alike
    key, share = drawn
    keyless = [0, 0] if max(rows) <= most else [rows[side] - _keyed(places, key, SIDES[side]) for side in (0, 1)]
    for side in (smaller, 1 - smaller):
        hashed = _hash(met, key, side)
        where = sampling.lower(hashed, share) if share < 1 and hashed is not None else None
        if keys_of is not None and side != keys_of:
            where = _among(places, met, key, keys_of)
        if places.carry(SIDES[side], columns[side], where, 2 * most) >= 2 * most:
            raise _undrawn(places, met, f"the {SIDES[side]} side has more than {2 * most:,} rows for a few values")
    if share < 1 and keys_of is None:
        _check(places, met, key, share)
    counted = [_counted(places, key, role) for role in SIDES]
    return Sampled(
        (places.engine("offline"), places.engine("online")), key, share, keys_of, rows,
        (counted[0][0], counted[1][0]), (counted[0][1], counted[1][1]), (keyless[0], keyless[1]),
        met.how == "equal",
    )  # fmt: skip


def _columns(
    places: Places, keys: Keys, features: Sequence[str] | None, segments: Sequence[str], side: int
) -> dict[str, tuple[str, exp.Expression]]:
    """Return the columns to be carried: name → the type they get, and what the engine makes of them."""
    mine, other = places.types[SIDES[side]], places.types[SIDES[1 - side]]
    both = [name for name in mine if name in other]
    if features:
        both = joining.columns_there(features, places.types["offline"], places.types["online"])
    beside = joining.columns_there(segments, mine, mine, "the segment") if side == 0 else []
    moment = keys.time if side == 0 else keys.online_time or keys.time
    made = {}
    for name in dict.fromkeys([*keys.entity, moment, *both, *beside]):
        if name is None or name not in mine or c.kind_of(mine[name]) in ("nested", "other"):
            continue
        made[name] = _carried(name, mine[name], other.get(name, ""), is_key=name in keys.entity)
    return made


def _carried(name: str, engine_type: str, other: str, *, is_key: bool) -> tuple[str, exp.Expression]:
    """Return the type that a column gets in the embedded engine, and the expression that its own engine gives."""
    column = exp.column(name, quoted=True)
    kind = c.kind_of(engine_type)
    if kind == "whole":
        wide = any(word in one.lower() for word in WIDE for one in (engine_type, other))
        return "HUGEINT" if wide else "BIGINT", column
    if kind == "number":
        if is_key and any(word in engine_type.lower() for word in ("decimal", "numeric")):
            return "DECIMAL(38, 10)", exp.cast(column, "text")
        return "DOUBLE", bins.number(column)
    if kind == "time":
        return "TIMESTAMPTZ" if c.zoned(engine_type) else "TIMESTAMP", column
    return ("BOOLEAN", column) if kind == "boolean" else ("VARCHAR", exp.cast(column, "text"))


def _rows(places: Places, role: str) -> int:
    # a bare COUNT(*) is answered from what some engines remember of a file, not always rightly
    one = exp.Sum(this=exp.Case().when(exp.true(), exp.convert(1)).else_(exp.convert(0)))
    return whole(places.query(exp.select(exp.alias_(one, "n")).from_(role))["n"][0])


def _keyed(places: Places, key: str, role: str) -> int:
    count = exp.Count(this=exp.column(key, quoted=True))
    return whole(places.query(exp.select(exp.alias_(count, "n")).from_(role))["n"][0])


def _bound(places: Places, columns: Mapping[str, tuple[str, exp.Expression]], role: str) -> int:
    """Return the rows of a side that may be carried: so many rows, values, or characters."""
    most = min(ROWS, CELLS // max(1, len(columns)))
    texts = [made.copy() for kind, made in columns.values() if kind == "VARCHAR"]
    if not texts:
        return max(1, most)
    looked = places.query(exp.select(*(exp.alias_(t, f"c{i}") for i, t in enumerate(texts))).from_(role).limit(LOOKED))
    seen = max(1, *(len(values) for values in looked.values()))
    width = sum(len(str(v)) for values in looked.values() for v in values.tolist() if v is not None) / seen
    return max(1, min(most, int(TEXT / max(1.0, width))))


def _hash(keys: Keys, key: str, side: int) -> exp.Expression | None:
    """Return a key's hash, the same on every engine; None where its values are not written alike by all."""
    kinds, column = keys.kinds[key], exp.column(key, quoted=True)
    if set(kinds) == {"whole"}:
        return sampling.mixed(column)
    if set(kinds) <= {"text", "whole"}:
        return sampling.digest(column)
    if set(kinds) != {"number"}:
        return None
    value = bins.number(column)
    size = exp.Abs(this=value)
    case = exp.Case().when(exp.LT(this=size, expression=bins.real(EXACT)), exp.Ceil(this=value.copy()))
    part = exp.Ceil(this=exp.Div(this=value.copy(), expression=bins.real(2.0**20), typed=True))
    case = case.when(exp.LT(this=size.copy(), expression=bins.real(LARGEST)), part)
    nothing = exp.Is(this=value.copy(), expression=exp.Null())
    case = case.when(exp.Not(this=nothing), bins.real(0.0))
    return sampling.mixed(exp.cast(case, "bigint"))


def _alike(places: Places, keys: Keys, rows: Sequence[int], most: int) -> tuple[str, float] | None:
    """Return the key to draw by and the share of its values whose rows are no more than may be carried."""
    for key in keys.entity:
        if _hash(keys, key, 0) is None:
            continue
        share = 0.5 ** math.ceil(math.log2(max(rows) / most))
        while share >= 0.5**STEPS:
            drawn = [_drawn(places, keys, key, share, side) for side in (0, 1)]
            if max(n for n, _ in drawn) <= 1.1 * most:  # a half is by chance a little more than half
                if min(values for _, values in drawn) >= ENTITIES:
                    return key, share
                break
            share /= 2
    return None


def _few(places: Places, keys: Keys, rows: int, side: int) -> tuple[str, float]:
    """Return the key and the share of the smaller side's values that are few enough to be asked for one by one."""
    for key in keys.entity:
        if keys.kinds[key] in PLAIN:
            if rows <= LISTED:
                return key, 1.0
            share = 0.5 ** math.ceil(math.log2(rows / LISTED))
            while share >= 0.5**STEPS:
                drawn, values = _drawn(places, keys, key, share, side)
                if drawn <= LISTED:
                    if values >= ENTITIES:
                        return key, share
                    break
                share /= 2
    raise _undrawn(places, keys, "none of the keys has many values that both engines write alike")


def _among(places: Places, keys: Keys, key: str, side: int) -> exp.Expression:
    """Return the condition that a key has one of the values carried of a side; at most ``LISTED`` of them."""
    column = exp.column(key, quoted=True)
    text = exp.alias_(exp.cast(column, "text"), "k")
    raw = places.query(exp.select(text).from_(SIDES[side]).group_by(column.copy()))
    values = [v for v in raw["k"].tolist() if v is not None]
    is_whole = keys.kinds[key][0] == "whole"
    listed: list[exp.Expression] = [exp.convert(int(v)) if is_whole else exp.Literal.string(v) for v in values]
    value = column.copy() if is_whole else exp.cast(column.copy(), "text")
    return exp.In(this=value, expressions=listed) if listed else exp.false()


def _undrawn(places: Places, keys: Keys, why: str) -> TableError:
    offline, online = (places.engine(side) for side in SIDES)
    return TableError(
        f"offline is in {offline}, online in {online}, and {', '.join(keys.entity)} draw no sample of both: {why}",
        hint="name a key of whole numbers or text that has many values; or copy one side to where the other is",
    )


def _drawn(places: Places, keys: Keys, key: str, share: float, side: int) -> tuple[int, int]:
    """Return the rows that a share draws, and about how many values of the key they have."""
    hashed = _hash(keys, key, side)
    assert hashed is not None
    outputs: list[exp.Expression] = [
        exp.alias_(exp.Count(this=exp.column(key, quoted=True)), "n"),
        exp.alias_(exp.ApproxDistinct(this=exp.column(key, quoted=True)), "values"),
    ]
    raw = places.query(exp.select(*outputs).from_(SIDES[side]).where(sampling.lower(hashed, share)))
    return whole(raw["n"][0]), whole(raw["values"][0])


def _check(places: Places, keys: Keys, key: str, share: float) -> None:
    """Leave out rows that the embedded engine would not have drawn; TableError when they are many."""
    for side, role in enumerate(SIDES):
        hashed = _hash(keys, key, side)
        assert hashed is not None
        before = _counted(places, key, role)[0]
        odd = places.keep(role, sampling.lower(hashed, share))
        if odd > UNLIKE * before:
            raise TableError(
                f"{places.engine(role)} computes another hash of the key {key!r} for {odd:,} of {before:,} rows of the "
                f"{role} side (is its text stored in UTF-8?): the same rows cannot be drawn on both sides",
                hint="name a key of whole numbers first, or copy one side to where the other is",
            )


def _counted(places: Places, key: str, role: str) -> tuple[int, int]:
    """Return the rows carried, and how many values of the key they have."""
    values = exp.Count(this=exp.Distinct(expressions=[exp.column(key, quoted=True)]))
    raw = places.query(exp.select(exp.alias_(exp.Count(this=exp.Star()), "n"), exp.alias_(values, "k")).from_(role))
    return whole(raw["n"][0]), whole(raw["k"][0])
