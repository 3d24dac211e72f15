"""Digits cut off instead of rounded: an integer cast, a floor, a ceiling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis

WAYS = {"toward zero": np.trunc, "down": np.floor, "up": np.ceil}
DIGITS = range(-4, 8)


@hypothesis(
    "truncation",
    kinds=("number",),
    fix="Find the integer cast or floor (a column or a field of an integer type), and widen it or round instead.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose cutting to every number of digits, toward zero, down and up."""
    for view in case.views():
        for digits in DIGITS:
            if case.grid and 10.0**-digits <= case.grid * 0.999 and digits > 0:
                break
            scale = 10.0**digits
            with np.errstate(all="ignore"):
                scaled = view.source * scale
                near = np.rint(scaled)  # 0.29 × 100 is 28.999999999999996
                scaled = np.where(np.abs(scaled - near) < 1e-9 * np.maximum(1.0, np.abs(near)), near, scaled)
            for way, cut in WAYS.items():
                # down and toward zero are the same without negative values; the plain cast is the commoner
                bits = 4.0 + (0.0 if way == "toward zero" else 2.0)
                says = f"cut {way} to {digits} decimals" if digits else f"cut {way} to whole numbers"
                yield Fit(view.side, {"digits": digits, "way": way}, [cut(scaled) / scale], bits, says=says)
