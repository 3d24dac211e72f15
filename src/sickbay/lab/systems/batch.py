"""The rows that pass through a lab system, and the random streams that each part draws from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Batch:
    """A stretch of traffic. ``columns`` are raw inputs, then features; the other fields fill up stage by stage.

    ``after`` marks rows at or after the onset of a fault; ``ramp`` is how far a gradual change has come (0…1).
    """

    time: NDArray[np.datetime64]
    columns: dict[str, Array]
    after: NDArray[np.bool_]
    ramp: Floats
    logit: Floats = field(default_factory=lambda: np.empty(0))
    label: Floats = field(default_factory=lambda: np.empty(0))
    arm: Array = field(default_factory=lambda: np.empty(0, dtype=object))
    version: Array = field(default_factory=lambda: np.empty(0, dtype=object))
    threshold: Floats = field(default_factory=lambda: np.empty(0))
    score: Floats = field(default_factory=lambda: np.empty(0))
    prediction: Floats = field(default_factory=lambda: np.empty(0))
    status: Array = field(default_factory=lambda: np.empty(0, dtype=object))
    latency: Floats = field(default_factory=lambda: np.empty(0))
    seen_label: Floats = field(default_factory=lambda: np.empty(0))
    """The label as the log has it: NaN while it is on its way."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.time)

    def keep(self, mask: Array) -> None:
        """Drop the rows where ``mask`` is false; for stages before the label."""
        self.time, self.after, self.ramp = self.time[mask], self.after[mask], self.ramp[mask]
        self.columns = {name: values[mask] for name, values in self.columns.items()}
        for name in ("logit", "label"):
            values = getattr(self, name)
            if len(values):
                setattr(self, name, values[mask])


def stream(seed: int, part: str) -> np.random.Generator:
    """Return the random stream of one part of a system, so that breaking one part leaves the draws of the others."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])
