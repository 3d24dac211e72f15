"""Segments: how the traffic mix moved, what that alone does to the loss, and where the loss changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.drift import jensen_shannon
from sickbay.stats.table import Array, Floats, Frame

SHRINK = 25.0
"""Rows of overall loss mixed into each cell's, so that a cell of three rows says little."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Movement of the traffic mix over the joint cells of the segment columns.

    ``js`` is the Jensen–Shannon distance less sampling; ``carried`` what the baseline's losses per cell give under the
    current mix minus the baseline's loss (unit of the loss), ``error`` its standard error; ``weights`` bring baseline
    rows to the current mix.
    """

    js: float
    js_error: float
    carried: float
    error: float
    weights: Floats


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: share of rows and mean loss before and now, with the standard error of the change."""

    name: str
    share_before: float
    share_now: float
    loss_before: float
    loss_now: float
    error: float
    rows: tuple[int, int]

    @property
    def change(self) -> float:
        """Rise of the mean loss."""
        return self.loss_now - self.loss_before


def cells(frame: Frame, columns: Sequence[str]) -> Array:
    """Return the joint cell of each row as text, e.g. ``DE|app``."""
    parts = [np.array(["∅" if v is None or v != v else str(v) for v in frame.columns[c].tolist()]) for c in columns]
    joined = parts[0].astype(object)
    for part in parts[1:]:
        joined = joined + "|" + part.astype(object)
    return joined


def mix(before: Array, now: Array, loss: Floats, loss_cells: Array) -> Mix:
    """Compare the mix of two samples of cells; ``loss`` are baseline losses (no NaN) of rows in ``loss_cells``."""
    levels, codes = np.unique(np.concatenate([before, now]).astype(str), return_inverse=True)
    k, n, m = len(levels), len(before), len(now)
    count_before = np.bincount(codes[:n], minlength=k).astype(np.float64)
    count_now = np.bincount(codes[n:], minlength=k).astype(np.float64)
    p, q = count_before / n, count_now / m
    bias = (k - 1) * (1 / n + 1 / m) / (8 * np.log(2))
    divergence = jensen_shannon(p, q)
    position = {str(level): i for i, level in enumerate(levels)}
    at = np.array([position.get(str(cell), -1) for cell in loss_cells], dtype=np.int64)
    known = at >= 0
    rows = np.bincount(at[known], minlength=k).astype(np.float64)
    sums = np.bincount(at[known], weights=loss[known], minlength=k)
    overall = float(loss.mean()) if len(loss) else float("nan")
    cell_loss = (sums + SHRINK * overall) / (rows + SHRINK)
    spread = float(loss.std()) if len(loss) else 0.0
    error = float(np.sqrt(np.sum((q - p) ** 2 * spread**2 / (rows + SHRINK))))
    ratio = np.where(p > 0, q / np.maximum(p, 1e-12), 0.0)
    weights = np.minimum(ratio[codes[:n]], 50.0)
    return Mix(
        js=float(np.sqrt(max(0.0, divergence - bias))),
        js_error=float(np.sqrt(bias / max(1, k - 1)) * 2),
        carried=float(np.sum((q - p) * cell_loss)),
        error=error,
        weights=np.asarray(weights / max(weights.mean(), 1e-12), dtype=np.float64),
    )


def table(baseline: Frame, current: Frame, columns: Sequence[str], loss: str) -> list[Segment]:
    """Return every level of every segment column, and of every pair of them, with at least 30 measured rows now."""
    rows: list[Segment] = []
    groups = [(c,) for c in columns] + [(a, b) for i, a in enumerate(columns) for b in columns[i + 1 :]]
    for group in groups:
        rows += _levels(baseline, current, group, loss)
    return rows


def _levels(baseline: Frame, current: Frame, group: Sequence[str], loss: str) -> list[Segment]:
    sides = [_sums(frame, group, loss) for frame in (baseline, current)]
    found = []
    for level in sorted(sides[1].keys() & sides[0].keys()):
        (share0, n0, mean0, var0), (share1, n1, mean1, var1) = sides[0][level], sides[1][level]
        if n1 < 30 or n0 < 30:
            continue
        error = float(np.sqrt(var0 / n0 + var1 / n1))
        name = " · ".join(f"{c}={v}" for c, v in zip(group, level.split("|"), strict=False))
        found.append(Segment(name, share0, share1, mean0, mean1, error, (n0, n1)))
    return found


def _sums(frame: Frame, group: Sequence[str], loss: str) -> Mapping[str, tuple[float, int, float, float]]:
    where = cells(frame, group).astype(str)
    losses = frame.role(loss)
    levels, codes = np.unique(where, return_inverse=True)
    share = np.bincount(codes, minlength=len(levels)) / max(1, len(where))
    known = np.isfinite(losses)
    n = np.bincount(codes[known], minlength=len(levels))
    total = np.bincount(codes[known], weights=losses[known], minlength=len(levels))
    squares = np.bincount(codes[known], weights=losses[known] ** 2, minlength=len(levels))
    mean = total / np.maximum(n, 1)
    variance = np.maximum(squares / np.maximum(n, 1) - mean**2, 1e-6)
    return {
        str(level): (float(share[i]), int(n[i]), float(mean[i]), float(variance[i])) for i, level in enumerate(levels)
    }


def choose(frame: Frame, loss: str, *, most: int = 3, levels: int = 12) -> list[str]:
    """Return the categorical columns to use as segments where the site names none: few levels, unequal loss."""
    scored = []
    losses = frame.role(loss)
    known = np.isfinite(losses)
    for name, kind in frame.kinds.items():
        if kind != "category" or name not in frame.columns:
            continue
        values = cells(frame, [name]).astype(str)
        distinct = len(np.unique(values))
        if 2 <= distinct <= levels:
            scored.append((_between(values[known], losses[known]), name))
    return [name for _, name in sorted(scored, reverse=True)[:most]]


def _between(values: NDArray[np.str_], losses: Floats) -> float:
    if not len(losses):
        return 0.0
    _, codes = np.unique(values, return_inverse=True)
    n = np.bincount(codes)
    means = np.bincount(codes, weights=losses) / np.maximum(n, 1)
    return float(np.average((means - losses.mean()) ** 2, weights=n))
