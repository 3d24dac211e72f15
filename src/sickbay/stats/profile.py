"""Column profiles as portable aggregates: counts, nulls, range, mean, distinct estimate, and binned distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from sickbay.stats.encoding import Encoder
from sickbay.stats.table import ROWS, Floats, Frame, Table
from sickbay.stats.timeline import case, is_null

BINS = 32
COLUMNS_A_PASS = 100


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one window. ``counts`` are rows per bin: of ``edges`` for numbers, of ``levels`` for categories.

    Number bins are (−inf, e0], (e0, e1], …, (en, inf). Category bins are the baseline's levels and, last, all others.
    """

    name: str
    rows: float
    nulls: float
    counts: Floats
    edges: Floats | None = None
    levels: tuple[str, ...] = ()
    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    distinct: float = np.nan

    @property
    def filled(self) -> float:
        """Rows that hold a value."""
        return self.rows - self.nulls

    @property
    def shares(self) -> Floats:
        """Share of the filled rows per bin; zeros when there are none."""
        total = self.counts.sum()
        return self.counts / total if total > 0 else self.counts


def edges_of(frame: Frame, names: Sequence[str], bins: int = BINS) -> dict[str, Floats]:
    """Return bin edges of the numeric columns: quantiles of the baseline sample, denser at the tails, no repeats."""
    levels = np.concatenate(([0.0, 0.01], np.linspace(0.0, 1.0, bins - 3)[1:-1], [0.99, 1.0]))
    edges: dict[str, Floats] = {}
    for name in names:
        if frame.kinds[name] == "number":
            values = np.asarray(frame.columns[name], dtype=np.float64)
            values = values[np.isfinite(values)]
            edges[name] = np.unique(np.quantile(values, levels)) if len(values) else np.array([0.0])
    return edges


def measure(table: Table, names: Sequence[str], edges: Mapping[str, Floats], encoder: Encoder) -> dict[str, Column]:
    """Profile the columns of a window; numbers over ``edges``, categories over the encoder's levels."""
    result: dict[str, Column] = {}
    for first in range(0, len(names), COLUMNS_A_PASS):
        part = names[first : first + COLUMNS_A_PASS]
        raw = table.query(_select(table, part, encoder))
        numbers = {name: edges[name] for name in part if name in edges}
        histograms = table.histograms(numbers).get("all", {}) if numbers else {}
        rows = float(raw["n"][0])
        for i, name in enumerate(part):
            result[name] = _column(name, i, rows, raw, edges, encoder, histograms)
    return result


def portable_histogram(table: Table, edges: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return bin counts by SUM(CASE …) alone: what ``Table.histograms`` must equal on every engine."""
    columns = []
    for i, (name, bounds) in enumerate(edges.items()):
        for j, bound in enumerate(bounds):
            below = exp.LTE(this=exp.column(name, quoted=True), expression=exp.convert(float(bound)))
            columns.append(exp.alias_(case(below), f"b{i}_{j}"))
        columns.append(exp.alias_(exp.Count(this=exp.column(name, quoted=True)), f"n{i}"))
    raw = table.query(exp.select(*columns).from_(ROWS))
    result = {}
    for i, (name, bounds) in enumerate(edges.items()):
        cumulated = [float(raw[f"b{i}_{j}"][0]) for j in range(len(bounds))]
        result[name] = np.diff([0.0, *cumulated, float(raw[f"n{i}"][0])])
    return result


def _select(table: Table, names: Sequence[str], encoder: Encoder) -> exp.Select:
    columns: list[exp.Expression] = [exp.alias_(exp.Count(this=exp.Star()), "n")]
    for i, name in enumerate(names):
        column = exp.column(name, quoted=True)
        columns.append(exp.alias_(case(is_null(name)), f"null{i}"))
        columns.append(exp.alias_(exp.ApproxDistinct(this=column), f"distinct{i}"))
        if table.kinds[name] == "number":
            columns += [
                exp.alias_(exp.Avg(this=column.copy()), f"mean{i}"),
                exp.alias_(exp.Min(this=column.copy()), f"low{i}"),
                exp.alias_(exp.Max(this=column.copy()), f"high{i}"),
            ]
        else:
            for j, level in enumerate(encoder.levels.get(name, ())):
                same = exp.EQ(this=column.copy(), expression=exp.Literal.string(level))
                columns.append(exp.alias_(case(same), f"l{i}_{j}"))
    return exp.select(*columns).from_(ROWS)


def _column(
    name: str,
    i: int,
    rows: float,
    raw: Mapping[str, NDArray[np.float64]],
    edges: Mapping[str, Floats],
    encoder: Encoder,
    histograms: Mapping[str, Floats],
) -> Column:
    def number(what: str) -> float:
        value = raw[f"{what}{i}"][0]
        return float(value) if value is not None else float("nan")

    nulls = float(np.nan_to_num(number("null")))
    if name in edges:
        counts = histograms.get(name, np.zeros(len(edges[name]) + 1))
        return Column(
            name,
            rows,
            nulls,
            counts,
            edges[name],
            (),
            number("mean"),
            number("low"),
            number("high"),
            number("distinct"),
        )
    levels = encoder.levels.get(name, ())
    named = np.array([float(np.nan_to_num(float(raw[f"l{i}_{j}"][0] or 0))) for j in range(len(levels))])
    others = max(0.0, rows - nulls - named.sum())
    return Column(name, rows, nulls, np.append(named, others), None, levels, distinct=number("distinct"))
