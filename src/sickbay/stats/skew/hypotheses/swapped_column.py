"""Another feature's value stands in this column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.stats.skew.case import Case, Fit, View, hits
from sickbay.stats.skew.hypotheses.window_length import sibling
from sickbay.stats.skew.pairs import differ
from sickbay.stats.skew.registered import hypothesis

FEWEST_EQUAL, COPIES = 20, 0.9
"""Equal pairs of which this share holds the same in both columns: the one is a copy of the other."""
GLANCE = 200
"""Pairs that every other column is looked at on first."""


@hypothesis(
    "swapped-column",
    kinds=("number", "boolean", "time", "text"),
    fix="Read columns by name, not by position, and check names and order where the vector is built.",
    told_by="pairs in which the columns hold different values",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the other side's columns that hold the value."""
    for view in case.views():
        for column in candidates(case, view):
            if sibling(case.name, column):
                continue
            made = view.others[column]
            mutual = column in view.others_here and bool(
                np.mean(hits(view.source, view.others_here[column], made, case.tolerance)) > 0.3
            )
            if not mutual and _copy(case, column):
                continue
            says = f"the {view.side} value is the other side's {column}" + (" (the two are swapped)" if mutual else "")
            parameters = {"column": column, "mutual": mutual}
            yield Fit(view.side, parameters, [made], 10.0, weak=True, by_column=not mutual, says=says)


def _copy(case: Case, column: str) -> bool:
    """Return whether the columns hold the same where nothing differs: then finding it here tells of no exchange."""
    if len(case.equal) < FEWEST_EQUAL:
        return False
    for mine, others in ((case.offline, case.others_offline), (case.online, case.others_online)):
        if column in others:
            same = ~differ(mine[case.equal], others[column][case.equal], case.tolerance)
            if float(np.mean(same)) >= COPIES:
                return True
    return False


def candidates(case: Case, view: View) -> list[str]:
    """Return the columns that hold the value in a part of the pairs worth looking at, the likeliest first."""
    step = max(1, len(view.target) // GLANCE)
    found = []
    for column, values in view.others.items():
        if values.dtype.kind != view.target.dtype.kind or column == case.name:
            continue
        part = hits(values[::step], view.target[::step], view.source[::step], case.tolerance)
        if part.mean() > 0.05:
            found.append((-float(part.mean()), column))
    return [column for _, column in sorted(found)[:3]]
