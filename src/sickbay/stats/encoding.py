"""From sampled columns to matrices: numbers as they are, categories as codes learned on the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.table import Array, Floats, Frame

LEVELS = 60
"""Categories kept by name, most frequent in the baseline first; rarer ones share a code, unseen ones another."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Fixed on the baseline; the same codes are used for every other window. Nulls are NaN throughout."""

    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """Mask over ``names``: true where codes are categories."""
        return np.array([name in self.levels for name in self.names], dtype=bool)

    def matrix(self, frame: Frame, names: Sequence[str] | None = None) -> Floats:
        """Return the rows × columns matrix of the frame, in the order of ``names``."""
        chosen = list(self.names if names is None else names)
        out = np.empty((frame.rows, len(chosen)))
        for i, name in enumerate(chosen):
            values = frame.columns[name]
            out[:, i] = self.codes(name, values) if name in self.levels else np.asarray(values, dtype=np.float64)
        return out

    def codes(self, name: str, values: Array) -> Floats:
        """Return category codes: 0…k−1 for known levels, k rare in the baseline, k+1 not seen there, NaN for null."""
        known = self.levels[name]
        # the last entry of a level list is the marker of the rare ones, never a real value
        lookup = {level: float(i) for i, level in enumerate(known)}
        unseen = float(len(known) + 1)
        return np.array(
            [np.nan if v is None or v != v else lookup.get(str(v), unseen) for v in values.tolist()], dtype=np.float64
        )


def fit(frame: Frame, names: Sequence[str]) -> Encoder:
    """Learn the levels of the categorical columns on the baseline sample."""
    levels = {}
    for name in names:
        if frame.kinds[name] == "category":
            filled = [str(v) for v in frame.columns[name].tolist() if v is not None and v == v]
            values, counts = np.unique(np.array(filled, dtype=object).astype(str), return_counts=True)
            order = np.lexsort((values, -counts))[:LEVELS]
            levels[name] = tuple(str(v) for v in values[order])
    return Encoder(tuple(names), levels)
