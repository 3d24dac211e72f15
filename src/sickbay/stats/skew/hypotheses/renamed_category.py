"""Levels under other names: a table from one side's levels to the other's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from sickbay.stats.skew.case import Case, Fit, View
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Array

LEVELS = 60
"""Levels that change, at most; a longer table explains nothing."""
PURE = 0.8
"""Share of a level's mismatches that have to become one and the same other level."""
FEWEST = 3


@hypothesis(
    "renamed-category",
    kinds=("text", "number"),
    fix="Keep one list of levels, versioned with the feature, and map old names at its boundary.",
    told_by="pairs of levels that are rare so far",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the table in which every changed level becomes its most frequent counterpart."""
    for view in case.views():
        if case.numeric and (case.grid < 1 or len(np.unique(view.source)) > LEVELS or _tiny(view)):
            continue
        found = table(view)
        if found is None:
            continue
        made, entries, bits = found
        first = [f"{a} → {b}" for a, b in list(entries.items())[:3]]
        says = f"levels have other names ({view.side}): {', '.join(first)}{' …' if len(entries) > 3 else ''}"
        bits += 6.0 if view.side == "offline" else 0.0
        yield Fit(view.side, {"names": entries}, [made], bits, weak=case.numeric, by_values=True, says=says)


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
    if not chosen or len(chosen) > LEVELS:
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


def _tiny(view: View) -> bool:
    """Return whether there are only two levels: then every difference is a renaming."""
    values = np.concatenate((view.source, view.equal, view.target))
    return len(np.unique(values[np.isfinite(values)])) <= 2
