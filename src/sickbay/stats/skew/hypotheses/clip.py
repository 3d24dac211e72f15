"""Cut off at a bound: a cap, a floor, or both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew.case import Case, Fit, modes
from sickbay.stats.skew.registered import hypothesis

INSIDE = 0.02
"""Share of the values that have to lie on the inner side of a bound; a bound beyond all values is a constant."""


@hypothesis(
    "clip",
    kinds=("number",),
    fix="Apply the bounds in the feature itself, or on neither side; if they came from the data, freeze them.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose a cap, a floor, and both, at the altered side's most frequent values."""
    for view in case.views():
        bounds: dict[str, float] = {}
        everything = np.concatenate((view.source, view.equal))
        everything = everything[np.isfinite(everything)]
        for bound in modes(view.target, relative=1e-8, fewest=max(4, len(view.target) // 50), most=3):
            held = np.isfinite(view.source) & np.isclose(view.target, bound, rtol=1e-9, atol=1e-12)
            for way, beyond in (("cap", view.source > bound), ("floor", view.source < bound)):
                if held.sum() < 4:
                    continue
                inner = np.mean(everything < bound if way == "cap" else everything > bound)
                if inner < INSIDE or np.mean(beyond[held]) < 0.98 or len(np.unique(view.source[held])) < 3:
                    continue
                bounds.setdefault(way, bound)
        for way, bound in bounds.items():
            beyond = view.source > bound if way == "cap" else view.source < bound
            made = np.where(beyond, bound, np.nan)
            rule = partial(np.minimum if way == "cap" else np.maximum, bound)
            says = f"cut off at a {way} of {bound:g}"
            yield Fit(view.side, {way: bound}, [made], 24.0, says=says, apply=rule)
        if len(bounds) == 2 and bounds["floor"] < bounds["cap"]:
            low, high = bounds["floor"], bounds["cap"]
            made = np.where((view.source > high) | (view.source < low), np.clip(view.source, low, high), np.nan)
            says = f"cut off outside {low:g} … {high:g}"
            rule = partial(np.clip, a_min=low, a_max=high)
            yield Fit(view.side, {"floor": low, "cap": high}, [made], 46.0, says=says, apply=rule)
