"""A table from one side's levels to the other's, read off the pairs."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from sickbay.stats.skew.case import View
from sickbay.stats.table import Array

LEVELS = 60
"""Levels that change, at most; a longer table explains nothing."""
PURE = 0.8
"""Share of a level's mismatches that have to become one and the same other level."""
FEWEST = 3


def table(view: View) -> tuple[Array, dict[str, object], float] | None:
    """Return prediction, table and bits of the levels whose counterpart is clear, or None."""
    seen: dict[object, Counter[object]] = {}
    for a, b, there in zip(view.source.tolist(), view.target.tolist(), view.both.tolist(), strict=True):
        if there:
            seen.setdefault(a, Counter())[b] += 1
    if not seen or len(seen) > 4 * LEVELS:
        return None
    chosen: dict[object, object] = {}
    for level, counted in sorted(seen.items(), key=lambda item: (-item[1].total(), str(item[0]))):
        name, times = counted.most_common(1)[0]
        if times >= FEWEST and times >= PURE * counted.total():
            chosen[level] = name
    if not chosen or len(chosen) > LEVELS or len(set(chosen.values())) < len(chosen) / 3:
        return None
    alphabet = len(seen) + len({b for counted in seen.values() for b in counted})
    bits = 8.0 + len(chosen) * 2 * math.log2(max(2, alphabet))
    if view.source.dtype.kind == "f":
        out: Array = np.array([chosen.get(a, np.nan) for a in view.source.tolist()], dtype=np.float64)
    else:
        out = np.empty(len(view.source), dtype=object)
        for i, level in enumerate(view.source.tolist()):
            out[i] = chosen.get(level)
    named = {f"{a:g}" if isinstance(a, float) else str(a): b for a, b in list(chosen.items())[:20]}
    return out, named, bits
