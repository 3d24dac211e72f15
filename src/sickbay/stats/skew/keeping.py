"""Pairs that the counting join keeps for the sample that follows, so that the tables are not read once more.

How large a share of the entities the sample needs is guessed from a glance; what is kept is a list in a temporary table
of the embedded engine, and the sample takes from it by the same rule as from the tables, if the guess was large enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from sickbay.stats.skew import columns as c
from sickbay.stats.skew import sampling
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.joining import Keys

TABLE = "met"
MARGIN = 1.3
"""What is kept, over what the glance says is needed."""
ROWS = 150_000
"""Pairs kept, at most."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Pairs of this share of the entities. ``columns``: what the offline side makes for it, null outside.

    ``places``: the join's columns in the order they are kept in. ``loud``: feature → its number in the join.
    ``lists``: feature that both sides share → the list that its value is in, and where.
    """

    share: float
    columns: Mapping[str, exp.Expression]
    places: tuple[str, ...]
    lists: Mapping[str, tuple[str, int]]
    loud: Mapping[str, int]

    def output(self) -> exp.Expression:
        """Return the aggregate of a join that keeps the pairs."""
        inside = exp.Not(this=exp.Is(this=exp.column(next(iter(self.columns))), expression=exp.Null()))
        row = exp.Anonymous(this="row", expressions=[exp.column(name) for name in self.places])
        listed = exp.Anonymous(this="list", expressions=[row])
        return exp.alias_(exp.Filter(this=listed, expression=exp.Where(this=inside)), "kept")

    def has(self, features: Sequence[Feature], share: float) -> bool:
        """Return whether a sample of this share of the entities can be taken from what was kept."""
        return share <= self.share and all(f.name in self.loud or f.name in self.lists for f in features)

    def rows(self, features: Sequence[Feature]) -> exp.Select:
        """Return the pairs as a join of the tables would: k0 …, t, then a0, b0 … for the features' values."""
        columns = [exp.alias_(self._at(self.places.index(n)), n) for n in self.places if n[0] == "k" or n == "t"]
        for i, feature in enumerate(features):
            for side in "ab":
                columns.append(exp.alias_(self._value(feature.name, side), f"{side}{i}"))
        pairs = exp.select(exp.alias_(exp.Anonymous(this="unnest", expressions=[exp.column("kept")]), "s")).from_(TABLE)
        return exp.select(*columns).from_(pairs.subquery("u"))

    def _value(self, name: str, side: str) -> exp.Expression:
        if name in self.loud:
            return self._at(self.places.index(f"{side}{self.loud[name]}"))
        column, place = self.lists[name]
        return exp.Anonymous(
            this="list_extract", expressions=[self._at(self.places.index(column)), exp.convert(place + 1)]
        )

    def _at(self, place: int) -> exp.Expression:
        return exp.Anonymous(this="struct_extract_at", expressions=[exp.column("s"), exp.convert(place + 1)])


def plan(
    keys: Keys, loud: Sequence[Feature], quiet: Sequence[Feature], rates: Mapping[str, float], rows: int, sample: int
) -> Kept | None:
    """Return what to keep, given the share of pairs in which each loud feature differs; None when it is too much."""
    needed = max([sampling.EQUAL, *(sample / rates[f.name] for f in loud)]) * MARGIN
    if not loud or not 0 < needed <= min(ROWS, rows / 2):
        return None
    inside = sampling.below(keys, needed / rows, keys.named(0)[0][1])
    columns: dict[str, exp.Expression] = {}
    lists: dict[str, tuple[str, int]] = {}
    for kind in dict.fromkeys(f.kind for f in loud):
        alike = [f for f in quiet if f.kind == kind]
        values = exp.Anonymous(this="list_value", expressions=[c.value(f, 0) for f in alike])
        columns[f"r_{kind}"] = exp.Case().when(inside.copy(), values if alike else exp.convert(1))
        lists |= {f.name: (f"r_{kind}", i) for i, f in enumerate(alike)}
    names = [name for name, _ in keys.named(0)]
    for i in range(len(loud)):
        names += [f"a{i}", f"b{i}"]
    names += columns
    return Kept(needed / rows, columns, tuple(names), lists, {f.name: i for i, f in enumerate(loud)})


def counted(select: exp.Select, kept: Sequence[exp.Expression]) -> tuple[exp.Expression, exp.Select]:
    """Return two statements: one that counts and keeps, and one that says what was counted."""
    named = exp.select(*(exp.column(one.alias_or_name) for one in select.selects)).from_(TABLE)
    return made(TABLE, select.select(*kept)), named


def made(table: str, select: exp.Expression) -> exp.Expression:
    """Return the statement that makes a temporary table of the embedded engine."""
    return exp.Create(
        this=exp.to_table(table), kind="TABLE", replace=True, expression=select,
        properties=exp.Properties(expressions=[exp.TemporaryProperty()]),
    )  # fmt: skip
