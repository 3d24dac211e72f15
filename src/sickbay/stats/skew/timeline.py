"""A feature's values by entity and time, to be asked what held when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew.pairs import History
from sickbay.stats.table import Array, Floats

Index = NDArray[np.int64]
TICKS = 1000.0
"""Instants are compared in milliseconds."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Rows sorted by entity and time. ``entity`` are the codes that the pairs use too; −1 is nobody."""

    entity: Index
    time: Floats
    value: Array
    created: Floats | None
    order: Index
    """Entity and time in one number, sorted."""
    start: float
    width: int

    def position(self, entity: Index, time: Floats, *, before: bool = False) -> Index:
        """Return the row that holds at ``time`` (the last at or before it; strictly before with ``before``), or −1."""
        if not len(self.order):
            return np.full(len(entity), -1, dtype=np.int64)
        place = np.searchsorted(self.order, self.code(entity, time), side="left" if before else "right") - 1
        found = np.maximum(place, 0)
        return np.where((place >= 0) & (self.entity[found] == entity) & (entity >= 0), place, -1)

    def at(self, entity: Index, time: Floats) -> Array:
        """Return the values that hold at ``time``; missing before an entity's first row."""
        return self.take(self.position(entity, time))

    def take(self, place: Index) -> Array:
        """Return values by row, missing for −1."""
        out = self.value[np.maximum(place, 0)].copy() if len(self.value) else np.full(len(place), np.nan)
        out[place < 0] = np.nan if out.dtype.kind == "f" else None
        return out

    def step(self, place: Index, by: int) -> Index:
        """Return the row ``by`` rows later (earlier when negative) of the same entity, −1 where there is none."""
        moved = place + by
        inside = (place >= 0) & (moved >= 0) & (moved < len(self.entity))
        safe = np.where(inside, moved, 0)
        if not len(self.entity):
            return np.full(len(place), -1, dtype=np.int64)
        return np.where(inside & (self.entity[safe] == self.entity[np.maximum(place, 0)]), moved, -1)

    def when(self, place: Index) -> Floats:
        """Return from when a row holds; NaN for −1."""
        if not len(self.time):
            return np.full(len(place), np.nan)
        return np.where(place >= 0, self.time[np.maximum(place, 0)], np.nan)

    def last(self, entity: Index) -> Index:
        """Return the last row of each entity, −1 where there is none."""
        return self.position(entity, np.full(len(entity), self.start + (self.width - 2) / TICKS))

    def first_code(self, entity: Index) -> Index:
        """Return a number below every row of an entity and above those of the one before."""
        return np.asarray(entity.astype(np.int64) * self.width)

    def code(self, entity: Index, time: Floats) -> Index:
        """Return entity and time as one number that sorts by entity, then time."""
        ticks = np.clip(np.floor((np.nan_to_num(time) - self.start) * TICKS + 0.5) + 1, 0, self.width - 1)
        return np.asarray(entity.astype(np.int64) * self.width + ticks.astype(np.int64))


def timeline(history: History, entity: Index) -> Timeline:
    """Return a history in order; ``entity`` are its rows' codes. Rows without a time or an entity are left out."""
    time = np.asarray(history.time, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(time) & (entity >= 0))
    time, entity = time[kept], entity[kept]
    start = float(time.min()) if len(time) else 0.0
    width = int((float(time.max()) - start) * TICKS) + 4 if len(time) else 4
    made = Timeline(entity, time, history.value[kept], None, np.array([], dtype=np.int64), start, width)
    code = made.code(entity, time)
    order = np.argsort(code, kind="stable")
    created = None if history.created is None else np.asarray(history.created, dtype=np.float64)[kept][order]
    return Timeline(entity[order], time[order], history.value[kept][order], created, code[order], start, width)
