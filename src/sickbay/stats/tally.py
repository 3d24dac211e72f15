"""Counting a whole table in one pass: for every column, how many rows fall into each cell, and their sum.

A table says how it wants to be asked (``Table.layout``). ``columns``: the engine reads a single column cheaply, and
gets one small GROUP BY per column in one statement. ``rows``: the engine reads rows, and gets one scan in which every
row is counted once per column (a cross join with the list of columns), as Spark and PostgreSQL do it best. Both are
the same few kinds of expression (DESIGN.md §8) and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from sickbay.stats.table import ROWS, Array, Floats, Table

INT, DOUBLE, TEXT = exp.DataType.Type.INT, exp.DataType.Type.DOUBLE, exp.DataType.Type.TEXT
"""Names of types given as text are parsed anew each time."""
KEYS = ("b", "l", "k")
NO_KEY = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to count: rows by ``cell`` (an integer), ``level`` (a text) and ``key`` (a text), each optional.

    ``value`` is summed per group; ``limit`` keeps only the most frequent levels.
    """

    value: exp.Expression | None = None
    cell: exp.Expression | None = None
    level: exp.Expression | None = None
    key: exp.Expression | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one entry, aligned arrays. ``cells`` of −1 also stand for "none"; absent texts are None.

    ``filled`` are the rows whose value is there; ``totals`` the sum of the values; ``lows`` and ``highs`` their range
    (NaN unless asked for).
    """

    cells: NDArray[np.int64]
    cell_known: NDArray[np.bool_]
    levels: Array
    keys: Array
    rows: Floats
    filled: Floats
    totals: Floats
    lows: Floats
    highs: Floats

    def only(self, mask: NDArray[np.bool_]) -> Groups:
        """Return the groups where ``mask`` is true."""
        return Groups(*(getattr(self, name)[mask] for name in Groups.__slots__))


def tally(
    table: Table,
    entries: Sequence[Entry],
    *,
    where: exp.Expression | None = None,
    by: exp.Expression | None = None,
    range_too: bool = False,
) -> dict[str, list[Groups]]:
    """Count all entries in one statement; value of ``by`` → groups per entry ("" when there is no ``by``).

    ``range_too`` adds the least and the greatest value per group.
    """
    if not entries:
        return {}
    build = _by_columns if table.layout == "columns" else _by_rows
    raw = table.query(build(entries, where, by, range_too))
    return _split(raw, len(entries))


def _by_columns(
    entries: Sequence[Entry], where: exp.Expression | None, by: exp.Expression | None, range_too: bool
) -> exp.Expression:
    parts = []
    for i, entry in enumerate(entries):
        inner = [exp.alias_(expression.copy(), name, copy=False) for name, expression in _grouped(entry, by).items()]
        if entry.value is not None:
            inner.append(exp.alias_(entry.value.copy(), "v", copy=False))
        rows = exp.select(*(inner or [exp.alias_(exp.convert(1), "one", copy=False)])).from_(ROWS, copy=False)
        if where is not None:
            rows = rows.where(where.copy(), copy=False)
        names = list(_grouped(entry, by))
        columns = [exp.alias_(exp.convert(i), "i", copy=False)]
        columns += [_key(name, name in names) for name in ("w", *KEYS)]
        columns += _sums(entry.value is not None, range_too)
        part = exp.select(*columns).from_(rows.subquery("x", copy=False))
        if names:
            part = part.group_by(*(exp.column(name) for name in names), copy=False)
        if entry.limit:
            part = part.order_by(*_most_frequent(), copy=False).limit(entry.limit, copy=False)
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    selects = [exp.select(exp.Star()).from_(part.subquery(f"e{i}", copy=False)) for i, part in enumerate(parts)]
    return exp.union(*selects, distinct=False, copy=False)


def _by_rows(
    entries: Sequence[Entry], where: exp.Expression | None, by: exp.Expression | None, range_too: bool
) -> exp.Expression:
    numbers = [exp.select(exp.alias_(exp.convert(i), "i", copy=False)) for i in range(len(entries))]
    listed = numbers[0] if len(numbers) == 1 else exp.union(*numbers, distinct=False, copy=False)
    chosen = [exp.column("i", table="c"), *([exp.alias_(by.copy(), "w", copy=False)] if by is not None else [])]
    for name in (*KEYS, "v"):
        chosen.append(exp.alias_(_of_entry(entries, name), name, copy=False))
    rows = (
        exp.select(*chosen)
        .from_(ROWS, copy=False)
        .join(listed.subquery("c", copy=False), join_type="cross", copy=False)
    )
    if where is not None:
        rows = rows.where(where.copy(), copy=False)
    names = ["i", *(["w"] if by is not None else []), *KEYS]
    columns = [exp.column("i"), _key("w", by is not None), *(exp.column(name) for name in KEYS)]
    counted = exp.select(*columns, *_sums(True, range_too)).from_(rows.subquery("x", copy=False))
    counted = counted.group_by(*(exp.column(name) for name in names), copy=False)
    limits = {i: entry.limit for i, entry in enumerate(entries) if entry.limit}
    return _limited(counted, limits) if limits else counted


def _limited(counted: exp.Select, limits: Mapping[int, int]) -> exp.Select:
    """Keep, of the entries with a limit, only that many groups."""
    order = exp.Order(expressions=_most_frequent())
    rank = exp.Window(
        this=exp.RowNumber(), partition_by=[exp.column("i"), exp.column("w")], order=order, spec=None, over="OVER"
    )
    ranked = exp.select(exp.Star(), exp.alias_(rank, "place", copy=False)).from_(counted.subquery("y", copy=False))
    allowed = exp.Case()
    for i, limit in limits.items():
        allowed = allowed.when(exp.EQ(this=exp.column("i"), expression=exp.convert(i)), exp.convert(limit), copy=False)
    keep = exp.LTE(this=exp.column("place"), expression=allowed.else_(exp.convert(2**31 - 1)))
    return exp.select(exp.Star()).from_(ranked.subquery("z", copy=False)).where(keep, copy=False)


def _grouped(entry: Entry, by: exp.Expression | None) -> dict[str, exp.Expression]:
    named = {"w": by, "b": entry.cell, "l": entry.level, "k": entry.key}
    return {name: expression for name, expression in named.items() if expression is not None}


def _key(name: str, there: bool) -> exp.Expression:
    if there:
        return exp.column(name)
    return exp.alias_(exp.cast(exp.Null(), INT if name == "b" else TEXT, copy=False), name, copy=False)


def _of_entry(entries: Sequence[Entry], name: str) -> exp.Expression:
    """Return CASE i WHEN … END that picks what the entry of each copy of a row is counted by."""
    kind = {"b": INT, "v": DOUBLE}.get(name, TEXT)
    slot = {"b": "cell", "l": "level", "k": "key", "v": "value"}[name]
    case = exp.Case()
    some = False
    for i, entry in enumerate(entries):
        expression = getattr(entry, slot)
        if expression is not None:
            case = case.when(
                exp.EQ(this=exp.column("i", table="c"), expression=exp.convert(i)), expression.copy(), copy=False
            )
            some = True
    return case if some else exp.cast(exp.Null(), kind)


def _sums(valued: bool, range_too: bool) -> list[exp.Expression]:
    value = exp.column("v")
    columns = [exp.alias_(exp.Count(this=exp.Star()), "n", copy=False)]
    wanted = ["f", "t", *(["lo", "hi"] if range_too else [])]
    if not valued:
        return columns + [exp.alias_(exp.cast(exp.Null(), DOUBLE, copy=False), name, copy=False) for name in wanted]
    made = {
        "f": exp.Count(this=value.copy()),
        "t": exp.Sum(this=value.copy()),
        "lo": exp.Min(this=value.copy()),
        "hi": exp.Max(this=value.copy()),
    }
    return columns + [exp.alias_(made[name], name, copy=False) for name in wanted]


def _most_frequent() -> list[exp.Expression]:
    """Return an order in which the nulls come first: a limit never cuts them off."""
    missing = exp.Is(this=exp.column("l"), expression=exp.Null())
    nulls = exp.Case().when(missing, exp.convert(0)).else_(exp.convert(1))
    ordered = [(nulls, False), (exp.column("n"), True), (exp.column("l"), False)]
    return [exp.Ordered(this=this, desc=desc) for this, desc in ordered]


def _split(raw: Mapping[str, Array], count: int) -> dict[str, list[Groups]]:
    """Return the answer per value of ``by`` and per entry."""
    windows = raw["w"].astype(object)
    labels = np.array([NO_KEY if w is None or w != w else str(w) for w in windows.tolist()], dtype=object)
    entry = np.asarray(raw["i"], dtype=np.int64)
    cells = np.asarray([np.nan if b is None else b for b in raw["b"].tolist()], dtype=np.float64)
    whole = Groups(
        cells=np.where(np.isnan(cells), -1, np.nan_to_num(cells)).astype(np.int64),
        cell_known=~np.isnan(cells),
        levels=_texts(raw["l"]),
        keys=_texts(raw["k"]),
        rows=_floats(raw["n"]),
        filled=_floats(raw["f"]),
        totals=_floats(raw["t"]),
        lows=_floats(raw["lo"]) if "lo" in raw else np.full(len(entry), np.nan),
        highs=_floats(raw["hi"]) if "hi" in raw else np.full(len(entry), np.nan),
    )
    result = {}
    for label in dict.fromkeys(labels.tolist()):
        mine = labels == label
        result[label] = [whole.only(mine & (entry == i)) for i in range(count)]
    return result


def _texts(values: Array) -> Array:
    return np.array([None if v is None or v != v else str(v) for v in values.tolist()], dtype=object)


def _floats(values: Array) -> Floats:
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    return np.array([np.nan if v is None else float(v) for v in values.tolist()], dtype=np.float64)
