"""Rounded to digits, to significant digits, or to a step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew.case import Case, Fit, coarser, loses
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Floats

DIGITS = range(-5, 9)
STEPS = (0.05, 0.25, 0.5, 2.5, 5.0, 25.0, 50.0, 250.0, 500.0)
SIGNIFICANT = range(2, 8)


@hypothesis(
    "rounding",
    kinds=("number",),
    fix="Round in one place, after the value is read, with the digits written into the feature's definition.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose every number of digits, common steps, and significant digits, with ties to even and away from zero."""
    for view in case.views():
        for digits in DIGITS:
            if case.grid and 10.0**-digits <= case.grid * 0.999 and digits > 0:
                break  # the values have no finer digits that could be lost
            made = [nearest(view.source, 10.0**-digits), nearest(view.source, 10.0**-digits, up=True)]
            hit = case.hits(made[0], view.target, view.source) | case.hits(made[1], view.target, view.source)
            if not loses(view, hit, 10.0**-digits) or coarser(view, hit, 10.0**-digits):
                continue
            rule = partial(nearest, step=10.0**-digits)
            yield Fit(view.side, {"digits": digits}, made, 4.0, says=f"rounded to {_digits(digits)}", apply=rule)
        for step in STEPS:
            rule = partial(nearest, step=step)
            if not loses(view, case.hits(rule(view.source), view.target, view.source), step):
                continue
            says = f"rounded to steps of {step:g}"
            yield Fit(view.side, {"step": step}, [rule(view.source)], 9.0, says=says, apply=rule)
        for count in SIGNIFICANT:
            rule = partial(significant, count=count)
            says = f"rounded to {count} significant digits"
            with np.errstate(all="ignore"):
                place = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(view.source), 1e-300))) - count + 1)
            hit = case.hits(rule(view.source), view.target, view.source)
            if not loses(view, hit, place) or coarser(view, hit, place):
                continue
            yield Fit(view.side, {"significant_digits": count}, [rule(view.source)], 6.0, says=says, apply=rule)


def nearest(values: Floats, step: float, *, up: bool = False) -> Floats:
    """Return the nearest multiples of ``step``; ties to even, or away from zero with ``up``."""
    with np.errstate(all="ignore"):
        scaled = values * (1 / step) if step < 1 else values / step
        if up:
            whole = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5 + 1e-9 * np.minimum(1.0, np.abs(scaled)))
        else:
            whole = np.rint(scaled)
        return np.asarray(whole / (1 / step) if step < 1 else whole * step)


def significant(values: Floats, count: int) -> Floats:
    """Return values rounded to a number of significant digits."""
    with np.errstate(all="ignore"):
        size = np.where((values == 0) | ~np.isfinite(values), 1.0, np.abs(values))
        scale = 10.0 ** (np.floor(np.log10(size)) - count + 1)
        return np.asarray(np.rint(values / scale) * scale)


def _digits(digits: int) -> str:
    if digits > 0:
        return f"{digits} decimal{'s' if digits > 1 else ''}"
    return "whole numbers" if digits == 0 else f"multiples of {10**-digits:,}"
