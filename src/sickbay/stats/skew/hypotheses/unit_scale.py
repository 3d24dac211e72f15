"""The same quantity in another unit: one side is a constant factor of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from sickbay.stats.skew import lags
from sickbay.stats.skew.case import Case, Fit, View, decimals_of, modes
from sickbay.stats.skew.hypotheses.rounding import nearest
from sickbay.stats.skew.registered import hypothesis

UNITS = sorted({
    *(10.0**k for k in range(-9, 10) if k), *(sign for u in (
        60.0, 3600.0, 86400.0, 24.0, 7.0, 1440.0, 12.0, 365.0, 52.0, 1024.0, 1024.0**2, 1024.0**3, 2.0, 4.0, 8.0, 100.0,
        2.54, 0.3048, 1.609344, 0.45359237, 3.6, 28.349523125, 3.785411784, 180.0 / np.pi, 6e4, 3.6e6, 8.64e7,
    ) for sign in (u, 1 / u)),
})  # fmt: skip
"""Factors between common units: powers of ten, of time, of memory, of length, mass and angle."""


@hypothesis(
    "unit-scale",
    kinds=("number",),
    fix="Name the unit in the feature's name and contract, and convert in one place.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the most frequent ratios; known units are cheaper than any other factor."""
    view = case.view("online")
    with np.errstate(all="ignore"):
        ratio = np.where(view.source != 0, view.target / view.source, np.nan)
    for found in modes(ratio, fewest=max(4, len(ratio) // 50)):
        for factor, bits in {snapped(found), snapped(found, ())}:  # 0.621371 is close to a mile, and may be meant so
            if abs(abs(factor) - 1) < 1e-9 or factor == 0:
                continue
            says = f"the online value is {factor:g} times the offline value"
            # a value of zero stays zero, and few whole numbers have many ratios: the rest is left to the description
            rule = partial(np.multiply, factor)
            yield Fit("online", {"factor": factor}, [view.source * factor], bits, says=says, apply=rule)
    yield from _rounded(case)
    yield from _to_the_grid(case)


def snapped(factor: float, units: Sequence[float] = UNITS) -> tuple[float, float]:
    """Return the nearest known factor within one millionth, or one of few digits, with the bits it costs to name."""
    for known in units:
        if abs(factor / known - 1) < 1e-6:
            return known, 7.0
    for digits in (2, 3, 4, 6):
        short = float(f"{factor:.{digits}g}")
        if abs(factor - short) <= 1e-9 * abs(factor):
            return short, 8.0 + 3.3 * digits
    return factor, 32.0


def _rounded(case: Case) -> Iterator[Fit]:
    """Propose a unit with the altered side in whole numbers: 21.327 became 2133."""
    for view in case.views():
        with np.errstate(all="ignore"):
            ratio = np.where(np.abs(view.source) > 0, view.target / view.source, np.nan)
        if not _whole(view):
            continue
        for factor in UNITS:
            near = np.abs(ratio / factor - 1) < 0.05
            if near.sum() < max(4, len(ratio) // 20):
                continue
            scaled = view.source * factor
            parameter = factor if view.side == "online" else 1 / factor
            says = f"the online value is {parameter:g} times the offline value, in whole numbers"
            made = [np.rint(scaled), np.trunc(scaled + 1e-9)]
            yield Fit(view.side, {"factor": parameter, "rounded": True}, made, 9.0, 1.0, says=says)


def _to_the_grid(case: Case) -> Iterator[Fit]:
    """Propose the factor that most pairs allow for, once the result is rounded to the digits that the side has.

    19.99 with 19 % on top is 23.79: each pair leaves an interval of factors, and the true one lies in all of them.
    """
    for view in case.views():
        grid = decimals_of(view.target)
        large = view.both & (np.abs(view.source) > 10 * grid)
        if not grid or large.sum() < 20 or len(np.unique(view.target[large])) < 5:
            continue
        with np.errstate(all="ignore"):
            ends = np.array([view.target[large] - 0.5 * grid, view.target[large] + 0.5 * grid]) / view.source[large]
        slack = 1e-9 * np.abs(ends).max(axis=0)
        low, high, count = lags.stab(ends.min(axis=0) - slack, ends.max(axis=0) + slack)
        if count < 0.3 * len(view.target) or low <= 1 <= high or low <= -1 <= high:
            continue
        factor, bits = _roundest(low, high)
        made = [nearest(view.source * factor, grid), nearest(view.source * factor, grid, up=True)]
        parameter = factor if view.side == "online" else 1 / factor
        says = f"the online value is {parameter:g} times the offline value, rounded"
        each = np.where(made[0] == made[1], 0.0, 1.0)  # which way a tie went
        yield Fit(view.side, {"factor": parameter, "rounded": True}, made, bits + 4.0, each, says=says)


def _roundest(low: float, high: float) -> tuple[float, float]:
    """Return the number of fewest digits in an interval, and the bits that it takes to name it."""
    for known in UNITS:
        if low <= known <= high:
            return known, 7.0
    for digits in range(1, 9):
        short = float(f"{(low + high) / 2:.{digits}g}")
        if low <= short <= high:
            return short, 8.0 + 3.3 * digits
    return (low + high) / 2, 36.0


def _whole(view: View) -> bool:
    there = view.target[np.isfinite(view.target)]
    return bool(len(there)) and float(np.mean(there == np.rint(there))) > 0.2
