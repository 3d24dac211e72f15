"""Digits cut off instead of rounded: an integer cast, a floor, a ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew.case import Case, Fit, View, coarser, loses
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Floats

WAYS = {"toward zero": np.trunc, "down": np.floor, "up": np.ceil}
DIGITS = range(-4, 8)
SPANS = {"day": 86400.0, "hour": 3600.0, "minute": 60.0, "second": 1.0}


@hypothesis(
    "truncation",
    kinds=("number", "time"),
    fix="Find the integer cast or floor (a column or a field of an integer type), and widen it or round instead.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose cutting to every number of digits, toward zero, down and up; times to whole days, hours and so on."""
    for view in case.views():
        if case.kind == "time":
            yield from _moments(case, view)
            continue
        for digits in DIGITS:
            if case.grid and 10.0**-digits <= case.grid * 0.999 and digits > 0:
                break
            for way in WAYS:
                # down and toward zero are the same without negative values; the plain cast is the commoner
                bits = 4.0 + (0.0 if way == "toward zero" else 2.0)
                says = f"cut {way} to {digits} decimals" if digits else f"cut {way} to whole numbers"
                rule = partial(cut, digits=digits, way=way)
                hit = case.hits(rule(view.source), view.target, view.source)
                if not loses(view, hit, 10.0**-digits) or coarser(view, hit, 10.0**-digits):
                    continue
                yield Fit(view.side, {"digits": digits, "way": way}, [rule(view.source)], bits, says=says, apply=rule)


def _moments(case: Case, view: View) -> Iterator[Fit]:
    """Propose times cut to whole seconds, minutes, hours and days in UTC, the coarsest that fits first."""
    for word, step in SPANS.items():
        for way in ("down", "up"):
            rule = partial(whole, step=step, way=way)
            hit = case.hits(rule(view.source), view.target, view.source)
            if loses(view, hit, step):
                says = f"times cut {way} to whole {word}s"
                yield Fit(view.side, {"step": word, "way": way}, [rule(view.source)], 5.0, says=says, apply=rule)


def whole(values: Floats, step: float, way: str) -> Floats:
    """Return times, in seconds, at the beginning or the end of their second, minute, hour or day."""
    return np.asarray(WAYS[way](values / step) * step)


def cut(values: Floats, digits: int, way: str) -> Floats:
    """Return values cut to a number of decimals; what is a whole number but for its last bits stays that number."""
    scale = 10.0**digits
    with np.errstate(all="ignore"):
        scaled = values * scale
        near = np.rint(scaled)  # 0.29 × 100 is 28.999999999999996
        scaled = np.where(np.abs(scaled - near) < 1e-9 + 1e-15 * np.abs(near), near, scaled)
    return np.asarray(WAYS[way](scaled) / scale)
