"""When did it begin, and was it one instant or a slope: change points of bucketed means with their uncertainty.

Two shapes are compared with "no change" on weighted bucket means: a step at an unknown bucket and a ramp between two
unknown buckets. The noise is what the buckets show around their own neighbours, so that daily seasonality and
overdispersion widen the answer. Posterior over the step as in Barry and Hartigan (1993) for a single change; shapes are
compared by BIC (Schwarz 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.table import Floats

MIN_BUCKETS = 6


@dataclass(frozen=True, slots=True)
class Onset:
    """A dated change in a bucketed series.

    ``at`` is the first bucket after the change, ``low``…``high`` hold it with 90 % probability; ``log_factor`` is
    ln P(series | a change) / P(series | none), averaged over all places it could be; ``instant`` is ln P(step)/P(ramp);
    ``width`` is the length of the best ramp in buckets (0 for a step); ``before`` and ``after`` are the mean levels.
    """

    at: int
    low: int
    high: int
    log_factor: float
    instant: float
    width: int
    ramp_start: int
    before: float
    after: float
    noise: float


def find(means: Floats, weights: Floats) -> Onset | None:
    """Return the change in a series of bucket means (NaN where a bucket is empty), or None with under six buckets.

    ``weights`` are row counts; a bucket's mean is taken to have variance ``noise² / weight``.
    """
    full = np.flatnonzero(np.isfinite(means) & (weights > 0))
    if len(full) < MIN_BUCKETS:
        return None
    y, w = means[full].astype(np.float64), weights[full].astype(np.float64)
    w = w / w.mean()
    flat = _weighted_residual(y, w, np.ones((len(y), 1)))
    steps = _steps(y, w)
    ramp_cost, ramp_start, ramp_end = _ramps(y, w)
    noise = max(_neighbour_noise(y, w), min(steps.min(), ramp_cost) / max(1, len(y) - 3), 1e-18)
    gain = 0.5 * (flat - steps) / noise
    penalty = 0.5 * np.log(len(y)) + 1.0
    chances = np.exp(gain - gain.max())
    chances /= chances.sum()
    best = int(np.argmax(gain))
    low, high = _interval(chances)
    log_factor = float(gain.max() + np.log(np.mean(np.exp(gain - gain.max()))) - penalty)
    before, after = _levels(y, w, best + 1)
    # the instant mostly falls inside a bucket, which is then a mixture: a step may leave one bucket free, at the price
    # of one more parameter; then it has as many as the ramp
    free = _steps_with_gap(y, w).min() if len(y) > MIN_BUCKETS else np.inf
    step_cost = min(float(steps.min()) - noise * np.log(len(y)), float(free))
    instant = 0.5 * (ramp_cost - step_cost) / noise
    if full[ramp_end] - full[ramp_start] <= max(3, len(y) // 16):
        instant = max(instant, 1.0)  # a slope that short is an instant to anyone
    return Onset(
        at=int(full[best + 1]),
        low=int(full[low + 1]),
        high=int(full[high + 1]),
        log_factor=log_factor,
        instant=float(instant),
        width=int(full[ramp_end] - full[ramp_start]),
        ramp_start=int(full[ramp_start]),
        before=before,
        after=after,
        noise=float(np.sqrt(noise)),
    )


def _weighted_residual(y: Floats, w: Floats, design: Floats) -> float:
    root = np.sqrt(w)
    solution, *_ = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)
    return float(np.sum(w * (y - design @ solution) ** 2))


def _steps(y: Floats, w: Floats) -> NDArray[np.float64]:
    """Return the weighted squared residual of a step before each bucket 1…n−1."""
    cw, cwy, cwyy = np.cumsum(w), np.cumsum(w * y), np.cumsum(w * y * y)
    left = cwyy[:-1] - cwy[:-1] ** 2 / cw[:-1]
    right_w = cw[-1] - cw[:-1]
    right = (cwyy[-1] - cwyy[:-1]) - (cwy[-1] - cwy[:-1]) ** 2 / right_w
    return np.asarray(np.maximum(left + right, 0.0), dtype=np.float64)


def _steps_with_gap(y: Floats, w: Floats) -> NDArray[np.float64]:
    """Return the weighted squared residual of a step with bucket 1…n−2 left out of both sides."""
    cw, cwy, cwyy = np.cumsum(w), np.cumsum(w * y), np.cumsum(w * y * y)
    left = cwyy[:-2] - cwy[:-2] ** 2 / cw[:-2]
    right_w = cw[-1] - cw[1:-1]
    right = (cwyy[-1] - cwyy[1:-1]) - (cwy[-1] - cwy[1:-1]) ** 2 / right_w
    return np.asarray(np.maximum(left + right, 0.0), dtype=np.float64)


def _ramps(y: Floats, w: Floats) -> tuple[float, int, int]:
    """Return the least residual of level–slope–level with a slope of at least three buckets, and where it runs."""
    n = len(y)
    grid = np.unique(np.linspace(0, n - 1, min(n, 28)).astype(int))
    position = np.arange(n, dtype=np.float64)
    best = (np.inf, 0, n - 1)
    root = np.sqrt(w)
    total_w, target = w.sum(), y * root
    for start in grid:
        for end in grid[grid >= start + 3]:
            rise = np.clip((position - start) / (end - start), 0.0, 1.0)
            centred = (rise - np.dot(w, rise) / total_w) * root
            level = target - root * (np.dot(w, y) / total_w)
            variance = float(np.dot(centred, centred))
            if variance <= 0:
                continue
            residual = float(np.dot(level, level) - np.dot(centred, level) ** 2 / variance)
            if residual < best[0]:
                best = (residual, int(start), int(end))
    return best


def _neighbour_noise(y: Floats, w: Floats) -> float:
    """Return the variance of a unit-weight bucket from differences of neighbours, robust to one jump."""
    scaled = np.diff(y) / np.sqrt(1 / w[:-1] + 1 / w[1:])
    return float((np.median(np.abs(scaled)) / 0.6745) ** 2)


def _interval(chances: NDArray[np.float64]) -> tuple[int, int]:
    order = np.argsort(-chances, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(chances[order]), 0.9)) + 1]
    return int(kept.min()), int(kept.max())


def _levels(y: Floats, w: Floats, cut: int) -> tuple[float, float]:
    return float(np.average(y[:cut], weights=w[:cut])), float(np.average(y[cut:], weights=w[cut:]))
