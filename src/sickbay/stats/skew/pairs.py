"""What a comparison of two sides hands on: one feature's values on both sides, and what is known besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.table import Array, Floats

FeatureKind = Literal["number", "boolean", "time", "text"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may be apart and still count as equal: ``absolute`` + ``relative`` × the larger size."""

    absolute: float = 1e-12
    relative: float = 1e-9

    def of(self, first: Floats, second: Floats) -> Floats:
        """Return the width allowed per pair; 0 where a value is not finite."""
        size = np.maximum(np.abs(first), np.abs(second))
        return np.where(np.isfinite(size), self.absolute + self.relative * size, 0.0)


EXACT = Tolerance()
"""Float64 noise of the last digits is no difference; the rounding of a float32 (6e-8) is."""
WHOLE = Tolerance(1e-6, 4e-16)
"""Of whole numbers, such as identifiers: the last digit counts, and what a rule predicts is a float."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """One feature on both sides, row by row; the arrays are of one length and may be a sample.

    ``offline`` and ``online``: float64 with NaN for what is missing (numbers; booleans as 0 and 1; times as seconds
    since 1970 in UTC), or objects with None (text). ``entity``: what tells entities apart. ``time``: in seconds too.
    ``others_offline``, ``others_online``: further features of the same rows, for columns that were swapped.
    ``matched``, ``mismatched``: the tables' counts when the arrays are a sample (mismatches, or a part of them,
    and a part of the equal pairs); left out, the arrays are everything. ``tolerance``: how far apart equal ones may be.
    """

    name: str
    kind: FeatureKind
    offline: Array
    online: Array
    entity: Array | None = None
    time: Floats | None = None
    others_offline: Mapping[str, Array] = field(default_factory=dict)
    others_online: Mapping[str, Array] = field(default_factory=dict)
    matched: int | None = None
    mismatched: int | None = None
    tolerance: Tolerance = EXACT


@dataclass(frozen=True, slots=True)
class History:
    """Values of one feature by entity and time (or, as ``events``, what the feature is computed from).

    ``entity`` as in ``Pairs``; ``time``: seconds since 1970 from which the value holds, or of the event; ``value``: as
    in ``Pairs``, all 1 for events that are only counted; ``created``: when the row arrived, if that is known.
    """

    entity: Array
    time: Floats
    value: Array
    created: Floats | None = None


def missing(values: Array) -> NDArray[np.bool_]:
    """Return where values are missing: NaN among floats, None (or NaN) among objects."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    return np.array([v is None or v != v for v in values.tolist()], dtype=bool)


def differ(offline: Array, online: Array, tolerance: Tolerance = EXACT) -> NDArray[np.bool_]:
    """Return where two aligned columns differ: null equals null, NaN counts as null, infinities equal themselves."""
    gone, lost = missing(offline), missing(online)
    if offline.dtype.kind == "f" and online.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            apart = (offline != online) & ~(np.abs(offline - online) <= tolerance.of(offline, online))
        return np.asarray((gone != lost) | (~gone & ~lost & apart))
    apart = np.asarray(offline.astype(object) != online.astype(object), dtype=bool)
    return np.asarray((gone != lost) | (~gone & ~lost & apart))
