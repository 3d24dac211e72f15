"""Levels under other names: a table from one side's levels to the other's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.stats.skew.case import Case, Fit, View
from sickbay.stats.skew.hypotheses import encoding
from sickbay.stats.skew.hypotheses.text_normalisation import ALIKE
from sickbay.stats.skew.levels import LEVELS, table
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Array


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
        if not case.numeric:
            made = _not_alike(view, made)
        first = [f"{a} → {b}" for a, b in list(entries.items())[:3]]
        says = f"levels have other names ({view.side}): {', '.join(first)}{' …' if len(entries) > 3 else ''}"
        bits += 6.0 if view.side == "offline" else 0.0
        yield Fit(view.side, {"names": entries}, [made], bits, weak=case.numeric, by_values=True, says=says)


def _not_alike(view: View, made: Array) -> Array:
    """Return the prediction without levels that a way of writing or storing text turns into their counterpart."""
    known = {a: b for a, b in zip(view.source.tolist(), made.tolist(), strict=True) if b is not None}
    aside: set[object] = {a for a, b in known.items() if any(form(str(a)) == form(str(b)) for form in ALIKE.values())}
    for way in encoding.WAYS.values():
        same = {a for a, b in known.items() if isinstance(a, str) and way(a) == b}
        aside |= same if len(same) >= 2 else set()
    out = made.copy()
    out[[a in aside for a in view.source.tolist()]] = None
    return out


def _tiny(view: View) -> bool:
    """Return whether there are only two levels: then every difference is a renaming."""
    values = np.concatenate((view.source, view.equal, view.target))
    return len(np.unique(values[np.isfinite(values)])) <= 2
