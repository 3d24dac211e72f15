"""The pairs whose hashes are not equal: a join notes their keys while it counts, then their values make a small table.

So that differences which are too rare for the glance cost a look at those rows, and no join of everything once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from sickbay.stats.skew import joining, keeping
from sickbay.stats.skew.columns import Feature
from sickbay.stats.skew.joining import Asked, Keys, Sides

if TYPE_CHECKING:
    from sickbay.stats.skew.compare import Tables

NOTED = 20_000
"""Keys noted at most."""
KEYS, PAIRS = "odd", "odd_pairs"


@dataclass(frozen=True, slots=True)
class Odd:
    """A table of the pairs, with ``names`` as keys. ``places``: feature → its number there."""

    names: tuple[str, ...]
    places: Mapping[str, int]

    def rows(self, features: Sequence[Feature]) -> exp.Select:
        """Return the pairs as a join of the tables would: k0 …, t, then a0, b0 … for the features' values."""
        columns: list[exp.Expression] = [exp.column(name) for name in self.names]
        for i, feature in enumerate(features):
            columns += [exp.alias_(exp.column(f"{side}{self.places[feature.name]}"), f"{side}{i}") for side in "ab"]
        return exp.select(*columns).from_(PAIRS)

    def without(self, rows: exp.Select) -> exp.Select:
        """Return the rows of a join that are none of the pairs."""
        on = exp.and_(*(exp.EQ(this=exp.column(n, table="r"), expression=exp.column(n, table="o")) for n in self.names))
        join = exp.Join(this=exp.to_table(KEYS, alias="o"), side="LEFT", on=on)
        picked = [exp.column(one.alias_or_name, table="r") for one in rows.selects]
        missing = exp.Is(this=exp.column("k0", table="o"), expression=exp.Null())
        return exp.select(*picked).from_(rows.subquery("r")).join(join).where(missing)


def noted(keys: Keys, unlike: exp.Expression) -> exp.Expression:
    """Return the aggregate of a join that lists the keys of the pairs that a condition holds for, ``NOTED`` at most."""
    names = [exp.column(name) for name, _ in keys.named(1)]
    row = exp.Anonymous(this="row", expressions=names)
    # by whatever order: an aggregate of the least has an end, a list has none
    order = exp.Anonymous(this="hash", expressions=[name.copy() for name in names])
    listed = exp.Anonymous(this="arg_min", expressions=[row, order, exp.convert(NOTED)])
    return exp.alias_(exp.Filter(this=listed, expression=exp.Where(this=unlike)), KEYS)


def fetch(tables: Tables, keys: Keys, sides: Sides, features: Sequence[Feature]) -> Odd:
    """Make the table of the noted pairs with these features' values."""
    names = tuple(name for name, _ in keys.named(1))
    each = exp.select(exp.alias_(exp.Anonymous(this="unnest", expressions=[exp.column(KEYS)]), "s")).from_(
        keeping.TABLE
    )
    columns = [
        exp.alias_(exp.Anonymous(this="struct_extract_at", expressions=[exp.column("s"), exp.convert(i + 1)]), name)
        for i, name in enumerate(names)
    ]
    tables.query(keeping.made(KEYS, exp.select(*columns).from_(each.subquery("u"))))
    tables.query(keeping.made(PAIRS, joining.joined(keys, sides, Asked(features, within=KEYS))))
    return Odd(names, {f.name: i for i, f in enumerate(features)})
