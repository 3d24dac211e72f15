"""The sign turned round, or dropped; a truth value inverted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.skew.scoring import divergence

NEARLY_ALL = 0.9
"""Share of all pairs from which a truth value that differs is inverted: among two values, differing is all there is."""


@hypothesis(
    "sign",
    kinds=("number", "boolean"),
    fix="Agree on the direction (debits negative, or not) in the feature's definition; then compute it once.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the negated value; the absolute one where only negative values changed; an inverted truth value."""
    if case.kind == "boolean":
        if case.share >= NEARLY_ALL:
            view = case.view("online")
            says = "the truth value is inverted"
            bits = len(case.rows) * divergence(min(case.share, 1 - 1e-6), 0.5)  # unrelated ones differ in half at most
            yield Fit("online", {"form": "inverted"}, [1 - view.source], 2.0, mask_bits=bits, by_values=True, says=says)
        return
    for view in case.views():
        made = -view.source
        hit = case.hits(made, view.target, view.source)
        if hit.any() and bool(np.all(view.source[hit] < 0)) and not _one_sided(view.equal):
            made = np.where(view.source < 0, made, np.nan)
            yield Fit(view.side, {"form": "absolute"}, [made], 3.0, says="the sign is dropped", apply=np.abs)
        elif view.side == "online":
            yield Fit("online", {"form": "negated"}, [made], 2.0, says="the sign is turned round", apply=np.negative)


def _one_sided(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Return whether no value is above zero: then a dropped sign and a turned one are the same."""
    return not bool(np.any(values > 0))
