"""Where a model does worst: every value range and level, and every pair of them, searched with a price for searching.

Columns are cut coarsely, by the reference's bins; one statement counts rows, loss and score in every cell of every
column and of every pair of columns. A slice is named only if its loss stands out after the number of slices looked at
is paid for (Bonferroni), and a pair only if it stands out from both of its columns. The same counts say how much of
the score each column explains (η², the correlation ratio), and so whether the model leans on other features than it
did.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from sqlglot import exp

from sickbay.stats import table as t
from sickbay.stats.bins import LevelBins, NumberBins
from sickbay.stats.profile import Column, Profile
from sickbay.stats.table import Floats, Table
from sickbay.stats.tally import NO_KEY, Entry, tally

PARTS = 4
"""Ranges a number is cut into, of about equal rows of the reference."""
LEVELS = 8
"""Levels of a category that are slices of their own; the others are one."""
PAIRED = 12
"""Columns whose pairs are searched: those whose own slices differ most in loss."""
FEWEST = 50.0
"""Measured rows below which a slice is not judged."""
ALPHA = 0.05
MISSING = -1
WIDTH = 64
"""Cells of the second column in the number of a pair's cell."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How one column is cut into slices; ``names[i]`` says what cell i holds, the last being other levels."""

    column: str
    bins: NumberBins | None
    levels: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of cells, the missing values among them: they are the last."""
        return len(self.names) + 1

    def cell(self) -> exp.Expression:
        """Return the expression of a row's cell; −1 and below for what is missing."""
        column = exp.column(self.column)
        if self.bins is not None:
            return self.bins.cell(column)
        case = exp.Case().when(exp.Is(this=column, expression=exp.Null()), exp.convert(MISSING), copy=False)
        text = exp.cast(column.copy(), "text")
        for i, level in enumerate(self.levels):
            equal = exp.EQ(this=text.copy(), expression=exp.Literal.string(level))
            case = case.when(equal, exp.convert(i), copy=False)
        return case.else_(exp.convert(len(self.levels)), copy=False)

    def says(self, cell: int) -> str:
        """Return a cell in words."""
        return f"{self.column} missing" if cell >= len(self.names) else self.names[cell]


@dataclass(frozen=True, slots=True)
class Counted:
    """Measured rows, sum of the loss and of its square in every cell of the columns ``on``; score sums likewise."""

    on: tuple[str, ...]
    rows: Floats
    loss: Floats
    squares: Floats
    scored: Floats
    score: Floats


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the traffic whose mean loss stands out from the rest. ``p_value`` is paid for by the search.

    ``before`` is the mean loss of the same slice in the reference, NaN where that has too few rows of it.
    """

    says: str
    on: tuple[str, ...]
    rows: float
    share: float
    loss: float
    elsewhere: float
    before: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Importance:
    """How much of the score's variance a column explains, in the reference and now."""

    column: str
    before: float
    now: float


def cuts(reference: Profile, columns: Sequence[str] | None = None) -> dict[str, Cut]:
    """Return a coarse cut per column of a reference; columns with one value are left out."""
    made = {}
    for name in columns or reference.columns:
        cut = _cut(reference.columns[name])
        if cut is not None:
            made[name] = cut
    return made


def count(window: Table, cut: Mapping[str, Cut], groups: Sequence[tuple[str, ...]]) -> list[Counted]:
    """Count loss and score in the cells of each group of one or two columns, in one statement."""
    value = {role: exp.column(role) for role in (t.LOSS, t.SCORE) if role in window.roles}
    if not value or not groups:
        return []
    entries, wanted = [], []
    for on in groups:
        cell = _joint([cut[name] for name in on])
        for what, expression in _valued(value, single=len(on) == 1).items():
            entries.append(Entry(value=expression, cell=cell))
            wanted.append((on, what))
    counted = tally(window, entries).get(NO_KEY)
    sums: dict[tuple[str, ...], dict[str, Floats]] = {on: {} for on in groups}
    if counted is not None:
        for (on, what), group in zip(wanted, counted, strict=True):
            size = math.prod(cut[name].size for name in on)
            places = _places(group.cells, [cut[name] for name in on])
            sums[on][what] = np.bincount(places, weights=np.nan_to_num(group.totals), minlength=size).astype(float)
            sums[on][f"{what} rows"] = np.bincount(places, weights=group.filled, minlength=size).astype(float)
    made = []
    for on, found in sums.items():
        empty = np.zeros(math.prod(cut[name].size for name in on))
        loss = found.get("loss", empty)
        made.append(
            Counted(
                on, found.get("loss rows", empty), loss, found.get("loss²", loss), found.get("score rows", empty),
                found.get("score", empty),
            )
        )  # fmt: skip
    return made


def worst(reference: Table | None, window: Table, cut: Mapping[str, Cut], *, most: int = 5) -> list[Slice]:
    """Search the window for slices whose loss stands out, worst first; ``reference`` gives their loss before.

    Two statements a side: all columns, then the pairs of the most telling columns. Empty without a loss.
    """
    singles = count(window, cut, [(name,) for name in cut])
    telling = sorted(singles, key=_between, reverse=True)[:PAIRED]
    names = [one.on[0] for one in telling if len(one.rows) > 1]
    order = {name: i for i, name in enumerate(cut)}
    pairs = [tuple(sorted(pair, key=order.__getitem__)) for pair in itertools.combinations(names, 2)]
    doubles = count(window, cut, pairs)
    found = _standing_out([*singles, *doubles], cut)
    if reference is None or not found:
        return [found_ for found_, _ in found[:most]]
    named = [one for one, _ in found[:most]]
    before = {one.on: one for one in count(reference, cut, list(dict.fromkeys(one.on for one in named)))}
    return [_with_before(one, cell, before.get(one.on)) for one, cell in found[:most]]


def importances(reference: Table, window: Table, cut: Mapping[str, Cut]) -> list[Importance]:
    """Return η² of the score per column in both tables, largest change first; empty without a score in both."""
    if t.SCORE not in reference.roles or t.SCORE not in window.roles:
        return []
    sides = [count(side, cut, [(name,) for name in cut]) for side in (reference, window)]
    spreads = [_score_variance(side) for side in (reference, window)]
    found = [
        Importance(before.on[0], _eta(before, spreads[0]), _eta(now, spreads[1]))
        for before, now in zip(*sides, strict=True)
    ]
    known = [one for one in found if not math.isnan(one.before + one.now)]
    return sorted(known, key=lambda one: -abs(one.now - one.before))


def _cut(column: Column) -> Cut | None:
    if isinstance(column.bins, LevelBins):
        order = np.argsort(-column.counts[:-1], kind="stable")[:LEVELS]
        levels = tuple(column.bins.levels[i] for i in order)
        if len(column.bins.levels) < 2:
            return None
        names = (*(f"{column.name}={level}" for level in levels), f"{column.name} other")
        return Cut(column.name, None, levels, names)
    wanted = [column.quantile(level) for level in np.linspace(0, 1, PARTS + 1)[1:-1]]
    edges = column.bins.edges
    places = np.clip(np.searchsorted(edges, wanted), 0, len(edges) - 1)
    chosen = np.unique(edges[places])
    inside = [edge for edge in chosen.tolist() if edges[0] < edge < edges[-1]]
    if not inside:
        return None
    bounds = [f"{edge:.6g}" for edge in inside]
    names = (
        f"{column.name} ≤ {bounds[0]}",
        *(f"{bounds[i]} < {column.name} ≤ {bounds[i + 1]}" for i in range(len(bounds) - 1)),
        f"{column.name} > {bounds[-1]}",
    )
    return Cut(column.name, NumberBins(np.array(inside)), (), names)


def _valued(value: Mapping[str, exp.Expression], *, single: bool) -> dict[str, exp.Expression]:
    wanted = {}
    if t.LOSS in value:
        loss = value[t.LOSS]
        wanted["loss"] = loss
        wanted["loss²"] = exp.Mul(this=loss.copy(), expression=loss.copy())
    if t.SCORE in value and single:
        wanted["score"] = exp.cast(value[t.SCORE].copy(), "double")
    return wanted


def _joint(both: Sequence[Cut]) -> exp.Expression:
    cell = both[0].cell()
    for other in both[1:]:
        scaled = exp.Mul(this=exp.Paren(this=cell), expression=exp.convert(WIDTH))
        cell = exp.Add(this=scaled, expression=exp.Paren(this=other.cell()))
    return cell


def _places(cells: NDArray[np.int64], both: Sequence[Cut]) -> NDArray[np.int64]:
    """Return one index per cell number: the cells of the columns, each with its missing values last."""
    if len(both) == 1:
        return np.where(cells < 0, both[0].size - 1, np.minimum(cells, both[0].size - 1))
    first = np.round(cells / WIDTH).astype(np.int64)  # the second runs from −3 to far less than half the width
    second = cells - first * WIDTH
    a = np.where(first < 0, both[0].size - 1, first)
    b = np.where(second < 0, both[1].size - 1, second)
    return np.asarray(a * both[1].size + b)


def _between(one: Counted) -> float:
    """Return the variance of the loss between the cells, the part that chance gives taken off."""
    rows = one.rows.sum()
    if rows < FEWEST:
        return -math.inf
    mean = one.loss.sum() / rows
    within = one.squares.sum() / rows - mean**2
    used = one.rows > 0
    between = (one.rows[used] * (one.loss[used] / one.rows[used] - mean) ** 2).sum() / rows
    return float(between - (used.sum() - 1) * within / rows)


def _standing_out(counted: Sequence[Counted], cut: Mapping[str, Cut]) -> list[tuple[Slice, int]]:
    looked, strong = 0, []
    singles = {one.on[0]: one for one in counted if len(one.on) == 1}
    for one in counted:
        z, enough = _against_rest(one)
        looked += int(enough.sum())
        strong += [(float(z[cell]), one, int(cell)) for cell in np.flatnonzero(enough & (z > 0))]
    found: list[tuple[Slice, int]] = []
    for apart, one, cell in sorted(strong, key=lambda item: -item[0]):
        p_value = min(1.0, float(ndtr(-apart)) * max(1, looked))
        if p_value > ALPHA:
            break
        if len(one.on) == 2 and not _beyond_parents(one, cell, singles, cut, looked):
            continue
        total, loss = one.rows.sum(), one.loss.sum()
        rows, own = one.rows[cell], one.loss[cell]
        elsewhere = (loss - own) / (total - rows) if total > rows else math.nan
        says = " · ".join(_words(one, cell, cut))
        made = Slice(says, one.on, float(rows), float(rows / total), float(own / rows), float(elsewhere), math.nan,
                     p_value)  # fmt: skip
        found.append((made, cell))
    return sorted(found, key=lambda item: -(item[0].loss - item[0].elsewhere))


def _against_rest(one: Counted) -> tuple[Floats, NDArray[np.bool_]]:
    """Return, per cell, how many standard errors its loss lies above the rest's, and whether it has enough rows."""
    total, loss, squares = one.rows.sum(), one.loss.sum(), one.squares.sum()
    enough = (one.rows >= FEWEST) & (total - one.rows >= FEWEST)
    z = np.full(len(one.rows), -np.inf)
    if enough.any():
        z[enough] = _apart(
            (one.rows[enough], one.loss[enough], one.squares[enough]),
            (total - one.rows[enough], loss - one.loss[enough], squares - one.squares[enough]),
        )
    return z, enough


def _apart(own: Sequence[Floats], other: Sequence[Floats]) -> Floats:
    """Return (mean − other mean) / standard error from rows, sums and sums of squares.

    A side without spread (no error ever seen) gets that of both together.
    """
    pooled_mean = (own[1] + other[1]) / (own[0] + other[0])
    pooled = np.maximum((own[2] + other[2]) / (own[0] + other[0]) - pooled_mean**2, 1e-12)
    variance = []
    for rows, loss, squares in (own, other):
        spread = squares / rows - (loss / rows) ** 2
        variance.append(np.maximum(spread, pooled) / rows)
    return np.asarray((own[1] / own[0] - other[1] / other[0]) / np.sqrt(variance[0] + variance[1]))


def _beyond_parents(
    one: Counted, cell: int, singles: Mapping[str, Counted], cut: Mapping[str, Cut], looked: int
) -> bool:
    """Return whether a pair is worse than the rest of either of its columns' slices."""
    for name, place in zip(one.on, _split(one, cell, cut), strict=True):
        parent = singles[name]
        rest = [getattr(parent, what)[place] - getattr(one, what)[cell] for what in ("rows", "loss", "squares")]
        if rest[0] < FEWEST:
            return False
        own = [np.array([getattr(one, what)[cell]]) for what in ("rows", "loss", "squares")]
        z = float(_apart(own, [np.array([value]) for value in rest])[0])
        if float(ndtr(-z)) * looked > ALPHA:
            return False
    return True


def _split(one: Counted, cell: int, cut: Mapping[str, Cut]) -> tuple[int, ...]:
    if len(one.on) == 1:
        return (cell,)
    return divmod(cell, cut[one.on[1]].size)


def _words(one: Counted, cell: int, cut: Mapping[str, Cut]) -> list[str]:
    return [cut[name].says(place) for name, place in zip(one.on, _split(one, cell, cut), strict=True)]


def _with_before(one: Slice, cell: int, before: Counted | None) -> Slice:
    if before is None or before.rows[cell] < FEWEST:
        return one
    return replace(one, before=float(before.loss[cell] / before.rows[cell]))


def _score_variance(side: Table) -> float:
    score = exp.cast(exp.column(t.SCORE), "double")
    square = exp.Mul(this=score.copy(), expression=score.copy())
    groups = tally(side, [Entry(value=score), Entry(value=square)]).get(NO_KEY)
    if groups is None or groups[0].filled.sum() < FEWEST:
        return math.nan
    rows = groups[0].filled.sum()
    return float(np.nansum(groups[1].totals) / rows - (np.nansum(groups[0].totals) / rows) ** 2)


def _eta(one: Counted, variance: float) -> float:
    rows = one.scored.sum()
    if rows < FEWEST or not variance > 0:
        return math.nan
    used = one.scored > 0
    mean = one.score.sum() / rows
    between = (one.scored[used] * (one.score[used] / one.scored[used] - mean) ** 2).sum() / rows
    within = max(0.0, variance - between)
    return float(max(0.0, (between - (used.sum() - 1) * within / rows) / variance))
