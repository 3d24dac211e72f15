"""Bins of a column: edges of a number, levels of a category; fixed by the reference and used for every other table.

The edges of a number are whole multiples of one power of two wherever that is possible. A value's bin is then found by
one multiplication and one rounding, both exact in binary floating point (but for values that vanish beside the step,
which count as zero), so that every engine puts every value into the same bin; where the values spread over too many
magnitudes, edges are compared one by one, which is as exact and slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from sickbay.stats.table import Floats, Frame

BINS = 64
"""Bins of a number: quantiles read from them are off by about 1 % in rank."""
CELLS = 4096
"""Cells of the fine grid that the edges are chosen from."""
REACH = 32_000
"""Most cells between the first and the last edge: a cell's number fits 16 bits."""
SAMPLED_BINS = 32
TAILS = (0.0005, 0.002, 0.005, 0.01, 0.99, 0.995, 0.998, 0.9995)
LARGEST = exp.Literal.number("1.7976931348623157e308")

NULL, NAN, INFINITE = -1, -2, -3
"""Cells of what is in no bin."""


@dataclass(frozen=True, slots=True)
class NumberBins:
    """Bins (−inf, e0], (e0, e1], …, (en, inf). ``step``: the power of two that divides all edges, 0 when none does.

    ``low`` and ``high`` are the reference's smallest and largest finite value; the first and the last bin are empty
    there.
    """

    edges: Floats
    low: float = math.nan
    high: float = math.nan
    step: float = 0.0

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1

    def cell(self, column: exp.Expression, *, lenient: bool = False) -> exp.Expression:
        """Return the expression for the cell of a value (see ``place``); NULL, NaN and infinity get cells below zero.

        ``lenient`` is the quick form for an engine that has TRY_CAST: whatever is in no cell of 16 bits becomes null.
        """
        value = number(column)
        if self.step and lenient:
            return exp.TryCast(this=self._grid(value), to=exp.DataType.build(exp.DataType.Type.SMALLINT))
        last = float(self.edges[-1])
        inner = (
            exp.cast(self._grid(value), exp.DataType.Type.INT, copy=False)
            if self.step
            else _tree(value, self.edges, 0, len(self.edges))
        )
        beyond = round((last - float(self.edges[0])) / self.step) + 1 if self.step else len(self.edges)
        case = exp.Case()
        case = case.when(exp.Is(this=value.copy(), expression=exp.Null()), exp.convert(NULL), copy=False)
        case = case.when(exp.Not(this=finite(value)), _odd(value), copy=False)
        case = case.when(exp.LTE(this=value.copy(), expression=real(float(self.edges[0]))), exp.convert(0), copy=False)
        case = case.when(exp.GT(this=value.copy(), expression=real(last)), exp.convert(beyond), copy=False)
        return case.else_(inner, copy=False)

    def place(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bin of each cell number that ``cell`` gave for a finite value."""
        if not self.step:
            return cells
        bounds = np.round((self.edges - self.edges[0]) / self.step).astype(np.int64)
        return np.searchsorted(bounds, cells, side="left").astype(np.int64)

    def _grid(self, value: exp.Expression) -> exp.Expression:
        scaled = exp.Ceil(this=exp.Mul(this=value.copy(), expression=real(1.0 / self.step)))
        first = round(float(self.edges[0]) / self.step)
        return exp.Sub(this=scaled, expression=real(float(first))) if first else scaled


@dataclass(frozen=True, slots=True)
class LevelBins:
    """The reference's levels, most frequent first, and one bin after them for all others.

    ``complete``: the reference has no other level, so that a value outside them was never seen there.
    """

    levels: tuple[str, ...]
    complete: bool = True

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.levels) + 1


Bins = NumberBins | LevelBins


def number(column: exp.Expression) -> exp.Expression:
    """Return the column as a double."""
    return exp.cast(column.copy(), exp.DataType.Type.DOUBLE, copy=False)


def real(value: float) -> exp.Expression:
    """Return a literal that every engine reads as a double."""
    text = repr(float(value)).lstrip("-")
    literal = exp.Literal.number(text if "e" in text else f"{text}e0")
    return exp.Neg(this=literal) if value < 0 else literal


def finite(value: exp.Expression) -> exp.Expression:
    """Return a condition that holds for finite values alone; engines that sort NaN last and those that do not agree."""
    return exp.Paren(this=exp.LTE(this=exp.Abs(this=value.copy()), expression=LARGEST.copy()))


def _odd(value: exp.Expression) -> exp.Expression:
    # one over infinity is zero, one over NaN is not; IS_NAN itself is spelled in too many ways
    inverse = exp.Div(this=real(1.0), expression=value.copy(), typed=True)
    is_infinite = exp.EQ(this=inverse, expression=real(0.0))
    return exp.Case().when(is_infinite, exp.convert(INFINITE), copy=False).else_(exp.convert(NAN), copy=False)


def _tree(value: exp.Expression, edges: Floats, first: int, last: int) -> exp.Expression:
    """Return nested CASEs that halve the edges, giving the index of the first edge that is not below the value."""
    if first == last:
        return exp.convert(first)
    middle = (first + last) // 2
    low, high = _tree(value, edges, first, middle), _tree(value, edges, middle + 1, last)
    return (
        exp.Case()
        .when(exp.LTE(this=value.copy(), expression=real(float(edges[middle]))), low, copy=False)
        .else_(high, copy=False)
    )


def grid_step(low: float, high: float, *, whole: bool = False) -> float:
    """Return the smallest power of two that cuts [low, high] into at most 4,096 cells; at least 1 for integers.

    It never falls below what a double of that magnitude can tell apart.
    """
    magnitude = max(abs(low), abs(high))
    finest = max(math.ldexp(magnitude, -48), math.ldexp(1.0, -900))
    wanted = max(high / (CELLS - 2) - low / (CELLS - 2), finest)
    step = math.ldexp(1.0, math.ceil(math.log2(wanted)))
    return max(step, 1.0) if whole else step


def sampled_edges(frame: Frame, names: Sequence[str], most: int = SAMPLED_BINS) -> dict[str, NumberBins]:
    """Return bins of the numeric columns from a sample: its quantiles, denser at the tails, no repeats."""
    levels = np.concatenate(([0.0, 0.01], np.linspace(0.0, 1.0, most - 3)[1:-1], [0.99, 1.0]))
    bins = {}
    for name in names:
        if frame.kinds[name] == "number":
            values = np.asarray(frame.columns[name], dtype=np.float64)
            values = values[np.isfinite(values)]
            edges = np.unique(np.quantile(values, levels)) if len(values) else np.array([0.0])
            bins[name] = NumberBins(edges)
    return bins


def grid(low: float, high: float, step: float) -> Floats:
    """Return the multiples of ``step`` from just below ``low`` to ``high``, cut off at the largest double."""
    cells = np.arange(math.ceil(low / step) - 1, math.ceil(high / step) + 1, dtype=np.float64)
    with np.errstate(over="ignore"):
        return np.asarray(np.clip(cells * step, -np.finfo(np.float64).max, np.finfo(np.float64).max))


def choose_edges(bounds: Floats, counts: Floats, *, most: int = BINS) -> Floats:
    """Return at most about ``most`` of the cell ``bounds``: quantiles, denser in the tails, and both sides of atoms.

    ``counts[i]`` are the rows in (bounds[i], bounds[i+1]]; the first and the last bound are always kept.
    """
    total = counts.sum()
    if total == 0:
        return bounds[[0, -1]] if len(bounds) > 1 else bounds
    held = np.flatnonzero(counts)
    if len(held) <= most // 2:  # few values: every one of them gets a bin of its own
        return np.asarray(np.unique(bounds[np.unique(np.concatenate(([0], held, held + 1, [len(counts)])))]))
    cumulated = np.concatenate(([0.0], np.cumsum(counts))) / total
    atoms = np.flatnonzero(counts > total / most)[: most // 2]
    levels = np.concatenate((TAILS, np.linspace(0.0, 1.0, most - len(TAILS) - len(atoms))[1:-1]))
    nearest = np.searchsorted(cumulated, np.sort(levels), side="left")
    chosen = np.concatenate(([0, len(bounds) - 1], np.clip(nearest, 0, len(bounds) - 1), atoms, atoms + 1))
    return np.asarray(bounds[np.unique(chosen)])


def common_step(edges: Floats, step: float) -> float:
    """Return ``step`` when the edges are few enough steps apart for 16 bits, 0 otherwise."""
    if step <= 0 or len(edges) < 1:
        return 0.0
    far = edges[-1] / step - edges[0] / step
    with np.errstate(over="ignore"):
        exact = np.all(np.round(edges / step) * step == edges) and np.max(np.abs(edges / step)) < 2**52
    return step if far <= REACH and exact else 0.0
