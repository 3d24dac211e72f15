"""A straight line, or one of the usual transforms, on one side only: scaled and shifted, standardised, logarithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew.case import Case, Fit, View, modes, shorten
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Floats

DRAWS = 400
CURVES: dict[str, Callable[[Floats], Floats]] = {
    "log1p": np.log1p, "log": np.log, "log10": np.log10, "log2": np.log2, "sqrt": np.sqrt, "square": np.square,
    "exp": np.exp, "expm1": np.expm1, "reciprocal": np.reciprocal,
}  # fmt: skip


@hypothesis(
    "affine",
    kinds=("number",),
    fix="One side scales or transforms the value a second time, or not at all: move the transform into the feature.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose constant offsets, straight lines found from random pairs of points, and the usual transforms."""
    view = case.view("online")
    both = np.flatnonzero(np.isfinite(view.source) & np.isfinite(view.target))
    if len(np.unique(view.source[both])) < 4:
        return
    fewest = max(4, len(both) // 50)
    spread = float(np.std(view.source[both]))
    for offset in modes((view.target - view.source)[both], absolute=1e-9 * max(spread, 1e-300), fewest=fewest, most=3):
        short = shorten(offset)
        says = f"the online value is the offline value {'+' if short > 0 else '−'} {abs(short):g}"
        parameters = {"slope": 1.0, "intercept": short}
        yield Fit("online", parameters, [view.source + short], 26.0, weak=True, by_values=True, says=says)
    found = line(view, both, case)
    if found is not None:
        slope, intercept = found
        says = f"online = {slope:g} × offline {'+' if intercept >= 0 else '−'} {abs(intercept):g}"
        parameters = {"slope": slope, "intercept": intercept}
        rule = partial(straight, slope=slope, intercept=intercept)
        yield Fit("online", parameters, [rule(view.source)], 40.0, says=says, apply=rule)
    for seen in case.views():
        for name, curve in CURVES.items():
            with np.errstate(all="ignore"):
                made = curve(seen.source)
            made = np.where(np.isfinite(made), made, np.nan)
            says = f"the {seen.side} value is {name} of the other"
            yield Fit(seen.side, {"of": name, "slope": 1.0, "intercept": 0.0}, [made], 12.0, says=says, apply=curve)


def straight(values: Floats, slope: float, intercept: float) -> Floats:
    """Return values on a straight line."""
    return values * slope + intercept


def line(view: View, both: np.ndarray[tuple[int], np.dtype[np.int64]], case: Case) -> tuple[float, float] | None:
    """Return slope and intercept of the line that most points lie on exactly (RANSAC; Fischler and Bolles 1981)."""
    rng = np.random.default_rng(7)
    part = both if len(both) <= 1000 else rng.choice(both, 1000, replace=False)
    x, y = view.source[part], view.target[part]
    i, j = rng.integers(0, len(part), (2, DRAWS))
    apart = np.abs(x[i] - x[j]) > 1e-9 * np.maximum(np.abs(x[i]), 1e-300)
    i, j = i[apart], j[apart]
    best, chosen = 0, None
    for a, b in zip(i.tolist(), j.tolist(), strict=True):
        slope = (y[a] - y[b]) / (x[a] - x[b])
        intercept = y[a] - slope * x[a]
        if slope == 0 or abs(slope - 1) < 1e-9 or abs(intercept) < 1e-9 * np.abs(y[[a, b]]).max():
            continue
        scale = np.abs(slope * x) + abs(intercept)
        inside = np.abs(slope * x + intercept - y) <= 1e-7 * scale + 1e-12
        if inside.sum() > best:
            best, chosen = int(inside.sum()), inside
    if chosen is None or best < max(6, len(part) // 25) or len(np.unique(x[chosen])) < 4:
        return None
    slope, intercept = _least_squares(x[chosen], y[chosen])
    if not np.isfinite([slope, intercept]).all():
        return None
    for digits in (3, 5, 7):
        rough = float(f"{slope:.{digits}g}"), float(f"{intercept:.{digits}g}")
        if case.hits(x * rough[0] + rough[1], y, x).sum() >= best:
            return rough
    return float(slope), float(intercept)


def _least_squares(x: Floats, y: Floats) -> tuple[float, float]:
    """Return slope and intercept through points around their means: values may be of any size."""
    middle, height = float(x.mean()), float(y.mean())
    with np.errstate(all="ignore"):
        slope = float(np.sum((x - middle) * (y - height)) / np.sum((x - middle) ** 2))
    return slope, height - slope * middle
