"""Statistics and alarms over a stream in constant memory: batches or single rows in, sketches and alarms out."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sickbay.errors import UserError
from sickbay.monitor.batches import Array, columns_of
from sickbay.monitor.sketches import CategorySketch, NumberSketch, Sketch, sketch_from_dict
from sickbay.monitor.windows import Change, WindowDetector
from sickbay.stats.alarm import Rule
from sickbay.stats.profile import Profile

SCHEMA = "sickbay.stream/1"
BUFFER = 1_000
"""Single rows are gathered and taken in as a batch of so many."""


class Stream:
    """Sketches per column, and per column a detector of change against a reference profile.

    ``columns``: the columns to follow; left out, those of the reference or of the first batch. ``window``: rows per
    look. ``rule``: the budget of false alarms and the hysteresis. ``on_change`` is called with every alarm raised or
    cleared. ``categories`` names columns that hold numbers and are categories. Safe to be fed from several threads.

    Memory does not grow with the stream: KLL sketches for quantiles (Karnin, Lang, Liberty 2016), HyperLogLog for
    distinct values, frequent-items for heavy hitters, all of the library ``datasketches``.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        *,
        reference: Profile | None = None,
        window: int = 5_000,
        rule: Rule | None = None,
        practical: float = 0.1,
        categories: Sequence[str] = (),
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        if window < 100:
            raise UserError(f"a window of {window} rows settles nothing", hint="100 rows or more")
        self.names: tuple[str, ...] | None = (
            tuple(columns) if columns else tuple(reference.columns) if reference else None
        )
        self.rows = 0
        self.changes: list[Change] = []
        """The latest changes, at most 1,000."""
        self._sketches: dict[str, Sketch] = {}
        self._categories = frozenset(categories)
        self._buffer: list[Sequence[Any]] = []
        self._lock = threading.Lock()
        self._on_change = on_change
        self._detector = WindowDetector(reference, self.names, window, rule or Rule(), practical) if reference else None

    def update(self, batch: Any) -> list[Change]:
        """Take in a batch: a mapping or table of columns, a 2-D array, or anything that speaks Arrow.

        Returns the alarms it raised or cleared. Raises UserError for a batch that does not fit, and then takes in
        nothing of it.
        """
        columns = columns_of(batch, self.names)
        with self._lock:
            return self._take(self._drain()) + self._take(columns)

    def update_one(self, row: Mapping[str, Any] | Sequence[Any]) -> list[Change]:
        """Take in one row; rows are gathered and counted a thousand at a time."""
        with self._lock:
            if self.names is None:
                if not isinstance(row, Mapping):
                    raise UserError("the first row has no names", hint="give columns=… or a mapping")
                self.names = tuple(row)
            values = [row.get(name) for name in self.names] if isinstance(row, Mapping) else row
            if len(values) != len(self.names):
                raise UserError(
                    f"a row of {len(values)} values for {len(self.names)} columns", hint="one value a column"
                )
            self._buffer.append(values)
            return self._take(self._drain()) if len(self._buffer) >= BUFFER else []

    def flush(self) -> list[Change]:
        """Count the single rows that are still gathered."""
        with self._lock:
            return self._take(self._drain())

    def sketch(self, column: str) -> Sketch:
        """Return the sketch of a column: quantiles, distinct values, heavy hitters; UserError if there is none."""
        self.flush()
        if column not in self._sketches:
            raise UserError(
                f"the stream has no column {column!r}", hint=f"it has {', '.join(self._sketches) or 'none yet'}"
            )
        return self._sketches[column]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return, per column, counts, range, mean, quantiles or heavy hitters, as plain JSON types."""
        self.flush()
        return {name: sketch.summary() for name, sketch in self._sketches.items()}

    @property
    def alarms(self) -> tuple[str, ...]:
        """Columns whose alarm is raised now."""
        return self._detector.raised if self._detector else ()

    def merge(self, other: Stream) -> None:
        """Take in everything another stream has seen, as if its rows had come here; but for its detector's window."""
        self.flush()
        other.flush()
        with self._lock:
            if self.names is not None and other.names is not None and set(self.names) != set(other.names):
                raise UserError(f"streams of different columns cannot be merged: {self.names} and {other.names}")
            for name, sketch in other._sketches.items():
                if name in self._sketches:
                    self._sketches[name].merge(sketch)
                else:
                    self._sketches[name] = sketch_from_dict(sketch.to_dict(), name)
            self.names = self.names or other.names
            self.rows += other.rows

    def to_bytes(self) -> bytes:
        """Return the sketches as bytes, to be kept or sent and merged elsewhere; the detector stays here."""
        self.flush()
        body = {
            "schema": SCHEMA,
            "names": list(self.names or ()),
            "rows": self.rows,
            "sketches": {name: sketch.to_dict() for name, sketch in self._sketches.items()},
        }
        return json.dumps(body, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Stream:
        """Return the stream that ``to_bytes`` gave; UserError when the bytes are not those of a stream."""
        try:
            body = json.loads(data)
            if body["schema"] != SCHEMA:
                raise ValueError(f"schema {body['schema']!r}")
            made = cls(body["names"] or None)
            made.rows = int(body["rows"])
            made._sketches = {name: sketch_from_dict(part, name) for name, part in body["sketches"].items()}
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(f"these bytes are not a stream: {error!r}", hint="Stream.to_bytes writes them") from None
        return made

    def _take(self, columns: Mapping[str, Array] | None) -> list[Change]:
        if not columns:
            return []
        self.names = self.names or tuple(columns)
        for name, values in columns.items():
            if name not in self._sketches:
                number = values.dtype.kind in "iufb" and name not in self._categories
                self._sketches[name] = NumberSketch(name) if number else CategorySketch(name)
        prepared = {name: self._sketches[name].prepare(values) for name, values in columns.items()}
        for name, ready in prepared.items():  # from here on nothing can be refused
            self._sketches[name].update(ready)
        count = len(next(iter(columns.values())))
        self.rows += count
        changes = self._detector.update(prepared, count) if self._detector else []
        for change in changes:
            if self._on_change:
                self._on_change(change)
        self.changes = (self.changes + changes)[-1000:]
        return changes

    def _drain(self) -> dict[str, Array] | None:
        if not self._buffer or self.names is None:
            return None
        rows, self._buffer = self._buffer, []
        made = {}
        for i, name in enumerate(self.names):
            made[name] = _column([row[i] for row in rows])
        return made


def _column(values: list[Any]) -> Array:
    if all(isinstance(v, int | float | np.number) or v is None for v in values):
        return np.array([math.nan if v is None else v for v in values], dtype=np.float64)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
