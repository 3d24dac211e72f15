"""Stored in a narrower type on the way: float32, float16, bfloat16, or an integer that wrapped around."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew.case import Case, Fit, Mask, View
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Floats


@hypothesis(
    "precision",
    kinds=("number",),
    fix="Give the feature one type on both sides (double, or float on both), or set a tolerance of that type's size.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose every narrower type, once through it and back."""
    for view in case.views():
        for name, made in narrowed(view.source).items():
            if _noise(view, case.hits(made, view.target, view.source)):
                continue
            rule = partial(through, name=name)
            yield Fit(view.side, {"type": name}, [made], 3.0, says=f"went through {name}", apply=rule)


def _noise(view: View, hit: Mask) -> bool:
    """Return whether the narrow side holds plain decimals and the other one noise around them: no type did that."""
    target = view.target[hit]
    grid = next((10.0**-k for k in range(7) if len(target) and bool(np.all(np.round(target, k) == target))), 0.0)
    return bool(grid) and float(np.quantile(np.abs(view.source - view.target)[hit], 0.9)) < 1e-3 * grid


def through(values: Floats, name: str) -> Floats:
    """Return the values after a round trip through one narrower type."""
    return narrowed(values)[name]


def narrowed(values: Floats) -> dict[str, Floats]:
    """Return the values after a round trip through each narrower type."""
    with np.errstate(all="ignore"):
        result = {
            "float32": values.astype(np.float32).astype(np.float64),
            "float16": values.astype(np.float16).astype(np.float64),
            "bfloat16": _bfloat16(values),
        }
        for bits in (8, 16, 32):
            half = 2.0 ** (bits - 1)
            outside = np.isfinite(values) & ((values >= half) | (values < -half))
            wrapped = np.mod(np.trunc(values) + half, 2 * half) - half
            result[f"int{bits}"] = np.where(outside, wrapped, np.nan)
    return result


def _bfloat16(values: Floats) -> Floats:
    """Return values with the upper 16 bits of their float32 alone, rounded to even."""
    raw = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((raw + 0x7FFF + ((raw >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    return np.asarray(rounded.view(np.float32).astype(np.float64))
