"""Taking profiles: a reference from nothing, choosing its own bins; any other table over the bins of a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sqlglot import exp

from sickbay.stats import bins as b
from sickbay.stats.bins import Bins, LevelBins, NumberBins
from sickbay.stats.profile import Column, Profile
from sickbay.stats.table import ROWS, Floats, Table
from sickbay.stats.tally import NO_KEY, Entry, Groups, tally

LEVELS = 1_000
"""Levels of a category that a profile knows by name; of more, only the most frequent ones, and the rest together."""
HEAVY = 200
"""Levels kept of a category that has more than ``LEVELS``."""
NEWCOMERS = 50
"""Levels outside the reference's that a profile names."""
COLUMNS_A_PASS = 100
ZOOMS = 4
OVERFULL = 1 / 48
"""Share of the rows from which a cell of the grid is looked into, unless it is as narrow as it can be."""


def reference(
    table: Table, names: Sequence[str] | None = None, *, distinct: bool = True, where: exp.Expression | None = None
) -> Profile:
    """Profile a table over bins of its own: one pass for the ranges, one for the counts, more only for wide tails.

    ``distinct`` adds an estimate of the number of different values to every number column.
    """
    chosen = list(table.kinds if names is None else names)
    numbers = [n for n in chosen if table.kinds[n] == "number"]
    ranges = _ranges(table, numbers, distinct, where)
    grids = {n: _grid(table, n, *ranges[n][:2]) for n in numbers if math.isfinite(ranges[n][0])}
    bins: dict[str, Bins] = {n: grids.get(n, NumberBins(np.array([0.0]))) for n in numbers}
    # profiled over the fine grid first; the bins are chosen from its cells, and no row is read again for them
    bins |= {n: LevelBins((), complete=False) for n in chosen if table.kinds[n] == "category"}
    fine = _count(table, chosen, bins, where, None, range_too=False)[NO_KEY]
    columns = {}
    many = [n for n in chosen if distinct and table.kinds[n] == "category" and math.isnan(fine.columns[n].distinct)]
    different = _distinct(table, many, where)
    for name in chosen:
        column = fine.columns[name]
        if name in different:
            column = replace(column, distinct=different[name])
        if name in grids:
            column = _coarsen(table, column, where)
        if name in ranges:
            low, high, distinct_values = ranges[name]
            column = replace(column, low=low, high=high, distinct=distinct_values)
        columns[name] = column
    return Profile(fine.rows, columns)


def measure(table: Table, bins: Mapping[str, Bins], *, where: exp.Expression | None = None) -> Profile:
    """Profile the columns of ``bins`` that the table has, over these bins, in one pass."""
    return windows(table, bins, None, where=where).get(NO_KEY, Profile(0.0, {}))


def windows(
    table: Table, bins: Mapping[str, Bins], by: exp.Expression | None, *, where: exp.Expression | None = None
) -> dict[str, Profile]:
    """Profile per value of ``by`` (a bucket of time, a segment) in one pass; "" for the only window without it."""
    names = [name for name in bins if name in table.kinds]
    return _count(table, names, bins, where, by, range_too=True)


def _count(
    table: Table,
    names: Sequence[str],
    bins: Mapping[str, Bins],
    where: exp.Expression | None,
    by: exp.Expression | None,
    *,
    range_too: bool,
) -> dict[str, Profile]:
    columns: dict[str, dict[str, Column]] = {}
    rows: dict[str, float] = {}
    for first in range(0, len(names), COLUMNS_A_PASS):
        part = names[first : first + COLUMNS_A_PASS]
        entries = [_entry(table, name, bins[name], by is not None) for name in part]
        counted = tally(table, [*entries, Entry()], where=where, by=by, range_too=range_too)
        again = _again(table, part, bins, counted)
        if again:
            strict = [_entry(table, name, bins[name], True, strict=True) for name in again]
            recounted = tally(table, strict, where=where, by=by, range_too=range_too)
            for window, groups in recounted.items():
                for name, group in zip(again, groups, strict=True):
                    counted[window][part.index(name)] = group
        for window, groups in counted.items():
            rows[window] = float(groups[-1].rows.sum())
            for name, group in zip(part, groups[:-1], strict=True):
                found = bins[name]
                if isinstance(found, NumberBins):
                    made = _number(name, found, group, quick=_quick(table, found) and name not in again)
                else:
                    made = _category(name, found, group, rows[window])
                columns.setdefault(window, {})[name] = made
    if not names:
        counted = tally(table, [Entry()], where=where, by=by)
        rows = {window: float(groups[0].rows.sum()) for window, groups in counted.items()}
    return {window: Profile(count, columns.get(window, {})) for window, count in rows.items()}


def _entry(table: Table, name: str, bins: Bins, windowed: bool, *, strict: bool = False) -> Entry:
    column = exp.column(name, quoted=True)
    if isinstance(bins, NumberBins):
        return Entry(value=b.number(column), cell=bins.cell(column, lenient=_quick(table, bins) and not strict))
    if not bins.levels or (bins.complete and not (strict or windowed)):
        return Entry(level=_text(column), limit=_limit(bins))
    known = exp.In(this=_text(column), expressions=[exp.Literal.string(level) for level in bins.levels])
    missing = exp.Is(this=column.copy(), expression=exp.Null())
    level = exp.Case().when(known.copy(), _text(column))
    cell = exp.Case().when(missing, exp.convert(b.NULL)).when(known, exp.convert(1)).else_(exp.convert(0))
    return Entry(level=level, cell=cell)


def _quick(table: Table, bins: NumberBins) -> bool:
    return table.has_try_cast and bins.step > 0


def _text(column: exp.Expression) -> exp.Expression:
    return exp.cast(column.copy(), exp.DataType.Type.TEXT, copy=False)


def _limit(bins: LevelBins) -> int:
    return len(bins.levels) + LEVELS + NEWCOMERS + 2


def _again(
    table: Table, names: Sequence[str], bins: Mapping[str, Bins], counted: Mapping[str, list[Groups]]
) -> list[str]:
    """Return the columns whose quick count left something open: NaN or far outliers, or more levels than the limit."""
    doubtful = []
    for i, name in enumerate(names):
        found = bins[name]
        for groups in counted.values():
            group = groups[i]
            if isinstance(found, NumberBins):
                # in the quick form NaN, infinity and what is beyond 16 bits share the group of the nulls
                odd = _quick(table, found) and group.filled[~group.cell_known].sum() > 0
            else:
                odd = bool(found.levels) and not group.cell_known.any() and len(group.rows) >= _limit(found)
            if odd:
                doubtful.append(name)
                break
    return doubtful


def _number(name: str, bins: NumberBins, group: Groups, *, quick: bool) -> Column:
    def special(cell: int) -> float:
        return 0.0 if quick else float(group.rows[group.cell_known & (group.cells == cell)].sum())

    inside = group.cell_known & ((group.cells >= 0) | quick)
    nulls = special(b.NULL) + float((group.rows - group.filled)[~group.cell_known].sum())
    placed = bins.place(group.cells[inside])
    counts = np.bincount(placed, weights=group.rows[inside], minlength=bins.size).astype(np.float64)
    filled = counts.sum()
    mean = float(group.totals[inside].sum()) / filled if filled else math.nan
    sound = inside & np.isfinite(group.lows) & np.isfinite(group.highs)
    low = float(group.lows[sound].min()) if sound.any() else math.nan
    high = float(group.highs[sound].max()) if sound.any() else math.nan
    return Column(
        name, bins, float(group.rows.sum()), nulls, counts, special(b.NAN), special(b.INFINITE), mean, low, high
    )


def _category(name: str, bins: LevelBins, group: Groups, rows: float) -> Column:
    if group.cell_known.any():  # counted against the list of levels
        nulls = float(group.rows[group.cells == b.NULL].sum())
        known = {level: n for level, n in zip(group.levels, group.rows, strict=True) if level is not None}
        return Column(name, bins, rows, nulls, _aligned(bins, known, rows - nulls))
    nulls = float(group.rows[[level is None for level in group.levels]].sum())
    found = {level: float(n) for level, n in zip(group.levels, group.rows, strict=True) if level is not None}
    found = dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
    if not bins.levels and not bins.complete:
        complete = len(found) <= LEVELS
        bins = LevelBins(tuple(found)[: LEVELS if complete else HEAVY], complete=complete)
    cut = len(group.rows) >= _limit(bins if bins.complete else LevelBins(()))
    inside = set(bins.levels)
    outside = [level for level in found if level not in inside][:NEWCOMERS]
    return Column(
        name, bins, rows, nulls, _aligned(bins, found, rows - nulls), distinct=math.nan if cut else float(len(found)),
        newcomers={level: found[level] for level in outside} if bins.complete else {},
    )  # fmt: skip


def _aligned(bins: LevelBins, found: Mapping[str, float], filled: float) -> Floats:
    named = np.array([float(found.get(level, 0.0)) for level in bins.levels])
    return np.append(named, max(0.0, filled - named.sum()))


def _ranges(
    table: Table, names: Sequence[str], distinct: bool, where: exp.Expression | None
) -> dict[str, tuple[float, float, float]]:
    """Return smallest and largest finite value and the estimated number of different values per number column."""
    result = {}
    for first in range(0, len(names), COLUMNS_A_PASS):
        part = names[first : first + COLUMNS_A_PASS]
        columns: list[exp.Expression] = []
        for i, name in enumerate(part):
            value = b.number(exp.column(name, quoted=True))
            sound = value if name in table.whole else exp.Case().when(b.finite(value), value.copy())
            columns.append(exp.alias_(exp.Min(this=sound), f"lo{i}"))
            columns.append(exp.alias_(exp.Max(this=sound.copy()), f"hi{i}"))
            if distinct:
                columns.append(exp.alias_(exp.ApproxDistinct(this=exp.column(name, quoted=True)), f"d{i}"))
        select = exp.select(*columns).from_(ROWS)
        raw = table.query(select.where(where.copy()) if where is not None else select)
        for i, name in enumerate(part):
            low, high = (_one(raw[f"{what}{i}"][0]) for what in ("lo", "hi"))
            result[name] = (low, high, _one(raw[f"d{i}"][0]) if distinct else math.nan)
    return result


def _distinct(table: Table, names: Sequence[str], where: exp.Expression | None) -> dict[str, float]:
    """Return the estimated number of different values of categories with more levels than a profile names."""
    if not names:
        return {}
    columns = [exp.alias_(exp.ApproxDistinct(this=exp.column(n, quoted=True)), f"d{i}") for i, n in enumerate(names)]
    select = exp.select(*columns).from_(ROWS)
    raw = table.query(select.where(where.copy()) if where is not None else select)
    return {name: _one(raw[f"d{i}"][0]) for i, name in enumerate(names)}


def _one(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _grid(table: Table, name: str, low: float, high: float) -> NumberBins:
    """Return every bound of the fine grid over [low, high] as bins."""
    step = b.grid_step(low, high, whole=name in table.whole)
    return NumberBins(b.grid(low, high, step), low, high, step)


def _coarsen(table: Table, column: Column, where: exp.Expression | None) -> Column:
    """Choose the bins of a reference column from its fine grid, looking closer where single cells hold too much."""
    grid = column.bins
    assert isinstance(grid, NumberBins)
    bounds, counts, step = grid.edges, column.counts[1:-1], grid.step
    crowded = math.inf
    for _ in range(ZOOMS):
        full = np.flatnonzero(counts > max(OVERFULL * counts.sum(), 8))
        held = counts[full].sum()
        # the rows of single values stay together however close one looks
        if not len(full) or held > 0.98 * crowded or (column.name in table.whole and step <= 1.0):
            break
        crowded = held
        finer = b.grid_step(bounds[full[0]], bounds[full[-1] + 1], whole=column.name in table.whole)
        if finer >= step:
            break
        inner = _grid(table, column.name, float(bounds[full[0]]) + finer, float(bounds[full[-1] + 1]))
        closer = measure(table, {column.name: inner}, where=where).columns[column.name]
        outside = np.concatenate((bounds[: full[0]], inner.edges, bounds[full[-1] + 2 :]))
        counts = np.concatenate((counts[: full[0]], closer.counts[1:-1], counts[full[-1] + 1 :]))
        bounds, step = outside, finer
    edges = b.choose_edges(bounds, counts)
    kept = np.searchsorted(bounds, edges)
    inside = np.add.reduceat(np.append(counts, 0.0), kept)[:-1] if len(edges) > 1 else np.array([])
    chosen = NumberBins(edges, grid.low, grid.high, b.common_step(edges, step))
    return replace(column, bins=chosen, counts=np.concatenate(([0.0], inside, [0.0])))
