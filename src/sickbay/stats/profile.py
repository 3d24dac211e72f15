"""Profiles: what a table held, column by column, as counts in fixed bins; two of the same bins can be added."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sickbay.stats.bins import Bins, LevelBins, NumberBins
from sickbay.stats.table import Floats, Kind


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one window. ``counts`` are rows per bin of ``bins``; nulls, NaN and infinities are in none.

    ``low``, ``high``, ``mean`` and ``distinct`` are NaN where they were not asked for or nothing is filled.
    ``newcomers``: levels outside ``bins`` with their rows, most frequent first, as far as they were seen.
    """

    name: str
    bins: Bins
    rows: float
    nulls: float
    counts: Floats
    nans: float = 0.0
    infinite: float = 0.0
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    distinct: float = math.nan
    newcomers: Mapping[str, float] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Number or category."""
        return "number" if isinstance(self.bins, NumberBins) else "category"

    @property
    def edges(self) -> Floats | None:
        """Edges of a number's bins; None for a category."""
        return self.bins.edges if isinstance(self.bins, NumberBins) else None

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels of a category's bins; empty for a number."""
        return self.bins.levels if isinstance(self.bins, LevelBins) else ()

    @property
    def filled(self) -> float:
        """Rows that hold a value that counts: neither null nor NaN nor infinite."""
        return self.rows - self.nulls - self.nans - self.infinite

    @property
    def shares(self) -> Floats:
        """Share of the filled rows per bin; zeros when there are none."""
        total = self.counts.sum()
        return self.counts / total if total > 0 else self.counts

    def share_of(self, rows: float) -> float:
        """Return ``rows`` as a share of all rows of the window, 0 of an empty one."""
        return rows / self.rows if self.rows > 0 else 0.0

    def quantile(self, level: float) -> float:
        """Return a quantile (``level`` in 0…1) read from the bins, linear within a bin; NaN for categories."""
        edges = self.bounds()
        if edges is None or self.counts.sum() == 0:
            return math.nan
        cumulated = np.concatenate(([0.0], np.cumsum(self.shares)))
        return float(np.interp(level, cumulated, edges))

    def bounds(self) -> Floats | None:
        """Return the bins' bounds with the open ends closed by the smallest and largest value known; None if none."""
        if not isinstance(self.bins, NumberBins):
            return None
        edges = self.bins.edges
        first = min(edges[0], *(v for v in (self.low, self.bins.low) if not math.isnan(v)), edges[0])
        last = max(edges[-1], *(v for v in (self.high, self.bins.high) if not math.isnan(v)), edges[-1])
        return np.concatenate(([first], edges, [last]))

    def below_range(self) -> float:
        """Rows below the reference's range, by at least a cell of the grid."""
        return float(self.counts[0]) if self.kind == "number" else 0.0

    def above_range(self) -> float:
        """Rows above the reference's range, by at least a cell of the grid."""
        return float(self.counts[-1]) if self.kind == "number" else 0.0

    def __add__(self, other: Column) -> Column:
        """Return the profile of both windows together; both must have the same bins."""
        filled, more = self.counts.sum(), other.counts.sum()
        both = filled + more
        means = [m * n for m, n in ((self.mean, filled), (other.mean, more)) if n > 0]
        newcomers = dict(self.newcomers)
        for level, rows in other.newcomers.items():
            newcomers[level] = newcomers.get(level, 0.0) + rows
        return replace(
            self,
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            infinite=self.infinite + other.infinite,
            counts=self.counts + other.counts,
            mean=sum(means) / both if both > 0 else math.nan,
            low=float(np.fmin(self.low, other.low)),
            high=float(np.fmax(self.high, other.high)),
            distinct=math.nan,
            newcomers=newcomers,
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """All columns of one table or window. ``left_out``: column → why it has no profile."""

    rows: float
    columns: Mapping[str, Column]
    left_out: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    """What was profiled, in words: the address as the user gave it."""
    taken_at: str = ""
    """When, ISO 8601 in UTC; empty where no clock was given."""

    @property
    def bins(self) -> dict[str, Bins]:
        """Bins per column, to profile another table alike."""
        return {name: column.bins for name, column in self.columns.items()}

    def __add__(self, other: Profile) -> Profile:
        """Return the profile of both windows together; columns that only one has are kept as they are."""
        columns = dict(self.columns)
        for name, column in other.columns.items():
            columns[name] = columns[name] + column if name in columns else column
        return replace(self, rows=self.rows + other.rows, columns=columns)
