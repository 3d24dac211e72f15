"""What statistics ask of a table: run an expression over its rows, draw a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

Array = NDArray[Any]
Floats = NDArray[np.float64]
Kind = Literal["number", "category"]

ROWS = "rows"
"""The name that every expression reads from; the executor puts the real rows behind it."""

TIME, PREDICTED, SCORE, LABEL = "__time", "__predicted", "__score", "__label"
VERSION, ARM, STATUS, LATENCY, ID, LOSS = "__version", "__arm", "__status", "__latency", "__id", "__loss"
"""The roles, under the names they carry in ``rows``. Binary labels and predictions are 0 or 1, losses are per row."""


class Table(Protocol):
    """A window of rows. ``kinds`` gives the feature columns; ``roles`` which role columns exist."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Feature column → number or category."""
        ...

    @property
    def roles(self) -> frozenset[str]:
        """The role names (``__score`` …) that hold values."""
        ...

    @property
    def whole(self) -> frozenset[str]:
        """The number columns whose type holds integers alone."""
        ...

    @property
    def layout(self) -> Literal["columns", "rows"]:
        """What the engine reads cheaply: a single column, or a row."""
        ...

    @property
    def has_try_cast(self) -> bool:
        """Whether TRY_CAST gives null where a value does not fit."""
        ...

    def query(self, select: exp.Expression) -> dict[str, Array]:
        """Run a portable expression over the rows; column name → array, nulls masked as None or NaN."""
        ...

    def sample(self, columns: Sequence[str], rows: int, *, where: exp.Expression | None = None) -> dict[str, Array]:
        """Return at most about ``rows`` rows of these columns, the same ones every time."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """A sample: feature columns (float with NaN, or object with None) and role columns, all of one length."""

    columns: Mapping[str, Array]
    kinds: Mapping[str, Kind]
    total: int
    """Rows of the window that the sample was drawn from."""

    @property
    def rows(self) -> int:
        """Number of rows in the sample."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def role(self, name: str) -> Floats:
        """Return a numeric role column as floats, all NaN where the log has no such column."""
        if name not in self.columns:
            return np.full(self.rows, np.nan)
        return np.asarray(self.columns[name], dtype=np.float64)

    def only(self, mask: Array) -> Frame:
        """Return the rows where ``mask`` is true."""
        return Frame({name: values[mask] for name, values in self.columns.items()}, self.kinds, self.total)
