"""Values of another origin: no rule turns one side into the other, and no moment of the history holds the value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.stats.skew import lags
from sickbay.stats.skew.case import Case, Fit, View, decimals_of
from sickbay.stats.skew.registered import hypothesis

FEWEST = 30
ELSEWHERE = 0.25
"""Share of the altered values that the history may hold by chance."""


@hypothesis(
    "other-source",
    kinds=("number", "boolean", "time", "text"),
    fix="Find the table that each side reads, and let both read one.",
    timing=True,
    told_by="the feature's history by entity and time: a stale value is in it, another source's is not",
    last=True,
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose it for what every rule left: not in the history, or without one, of another distribution altogether."""
    view = case.view("online")
    both = view.both
    if both.sum() < FEWEST:
        return
    why = _not_in_history(case) if lags.usable(case) else _unlike(case, view)
    if why is None:
        return
    made = view.target.copy()
    made[~both] = np.nan if made.dtype.kind == "f" else None
    parameters = {"association": _association(case, view), "because": why}
    yield Fit("online", parameters, [made], 20.0, by_values=True, says=f"the values have another origin: {why}")


def _not_in_history(case: Case) -> str | None:
    """Return words when the history is the truth of one side and holds the other side's values at no time."""
    for view in case.views():
        if lags.truthful(case, view) < 0.5:
            continue
        found = lags.back(case, view).any | lags.ahead(case, view).any
        if case.kind == "boolean" or found.mean() > ELSEWHERE + _by_chance(case, view):
            return None
        return f"{1 - found.mean():.0%} of the {view.side} values are at no time in the entity's history"
    return None


def _by_chance(case: Case, view: View) -> float:
    """Return how often another entity's value is in an entity's history, where values repeat."""
    assert case.entity is not None
    rng = np.random.default_rng(3)
    from dataclasses import replace

    shuffled = rng.permutation(case.rows)
    other = replace(case, offline=case.offline.copy(), online=case.online.copy())
    column = other.online if view.side == "online" else other.offline
    column[case.rows] = column[shuffled]
    moved = other.view(view.side)
    return float(np.mean(lags.back(other, moved).any | lags.ahead(other, moved).any))


def _unlike(case: Case, view: View) -> str | None:
    """Return words when the two sides are not even alike: another distribution, no association, or another grain."""
    both = view.both
    if case.kind != "number":
        return None
    from scipy.stats import ks_2samp, spearmanr  # half a second to import

    source, target = view.source[both], view.target[both]
    tested = ks_2samp(source, target, method="asymp")
    if tested.statistic > 0.15 and tested.pvalue < 1e-6:
        return f"another distribution (Kolmogorov–Smirnov distance {tested.statistic:.2f})"
    if decimals_of(source) != decimals_of(target):
        return "another number of digits, and no rounding of the other side"
    if len(source) >= 100 and abs(float(spearmanr(source, target).statistic)) < 0.1:
        return "no association with the other side"
    return None


def _association(case: Case, view: View) -> float | None:
    """Return the rank correlation of the two sides where they differ, None for text."""
    both = view.both
    if case.kind == "text" or len(np.unique(view.source[both])) < 3 or len(np.unique(view.target[both])) < 3:
        return None
    from scipy.stats import spearmanr

    return round(float(spearmanr(view.source[both], view.target[both]).statistic), 3)
