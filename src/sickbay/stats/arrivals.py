"""How labels arrive: the usual delay, and whether rows old enough for a label have one less often than before.

The youngest rows always lack labels; a fall must be told from that. The labelled share by age is fitted as level ×
arrival curve (exponential or fixed delay), with and without a drop at an unknown instant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sickbay.stats.table import Floats

SHARP = 0.15
"""A tail without labels longer than this share of the log, with a sharp edge, may be a feed that stopped."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """``usual`` labelled share of old rows, mean ``delay_days``, relative ``drop`` (0…1) from bucket ``at`` on.

    ``log_factor`` compares the fits with and without the drop (BIC); ``stopped`` is a sharp edge with a long tail.
    """

    usual: float
    delay_days: float
    drop: float
    error: float
    at: int
    log_factor: float
    stopped: bool


def fit(share: Floats, rows: Floats, bucket_days: float) -> Arrivals | None:
    """Fit the labelled share per bucket (NaN where empty); None with under six buckets with rows."""
    known = np.isfinite(share) & (rows > 0)
    if known.sum() < 6:
        return None
    y, w = share[known], rows[known] / rows[known].mean()
    age = (len(share) - np.flatnonzero(known).astype(np.float64) - 0.5) * bucket_days
    curves = _curves(age, bucket_days)
    plain = min((_flat(y, w, curve), d) for d, curve in curves)
    best: tuple[float, float, int, float, float] = (np.inf, 0.0, 0, 0.0, 1.0)
    for delay, curve in curves:
        candidate = _with_drop(y, w, curve)
        if candidate is not None and candidate[0] < best[0]:
            best = (candidate[0], delay, *candidate[1:])
    cost, delay, at, drop, usual = best
    noise = max(cost / max(1, len(y) - 3), 1e-6)
    factor = 0.5 * (plain[0] - cost) / noise - 1.5 * np.log(len(y))
    if not np.isfinite(cost) or factor < 0:
        delay = plain[1]
        usual, drop, at = _level(y, w, dict(curves)[delay]), 0.0, len(y)
    after = max(1, len(y) - at)
    tail = int(np.argmax(y[::-1] > 0.5 * usual)) if (y > 0.5 * usual).any() else len(y)
    edge = len(y) - tail
    sharp = 0 < tail < len(y) - 1 and y[edge - 1] > 0.9 * usual and y[min(edge + 1, len(y) - 1)] < 0.1 * usual
    return Arrivals(
        usual=float(usual),
        delay_days=float(delay),
        drop=float(drop),
        error=float(max(np.sqrt(noise / after), 0.01)),
        at=int(np.flatnonzero(known)[min(at, len(y) - 1)]),
        log_factor=float(factor),
        stopped=bool(sharp and tail / len(y) > SHARP),
    )


def _curves(age: Floats, bucket_days: float) -> list[tuple[float, Floats]]:
    longest = float(age.max())
    delays = np.concatenate([[0.0], np.geomspace(max(0.1 * bucket_days, 1e-3), longest, 24)])
    curves = []
    for d in delays.tolist():
        curves.append((d, _exponential(age, d, bucket_days)))
        if d > 0:
            curves.append((d * 1.000001, np.clip((age - d) / bucket_days + 0.5, 0.0, 1.0)))
    return curves


def _exponential(age: Floats, delay: float, bucket_days: float) -> Floats:
    """Return the share arrived of a bucket, averaged over the ages in it, where delays are exponential."""
    if delay <= 0:
        return np.ones(len(age))
    young, old = np.maximum(age - bucket_days / 2, 0.0), age + bucket_days / 2
    return np.asarray(1 - delay / (old - young) * (np.exp(-young / delay) - np.exp(-old / delay)), dtype=np.float64)


def _level(y: Floats, w: Floats, curve: Floats) -> float:
    return float(np.sum(w * curve * y) / max(np.sum(w * curve**2), 1e-12))


def _flat(y: Floats, w: Floats, curve: Floats) -> float:
    return float(np.sum(w * (y - _level(y, w, curve) * curve) ** 2))


def _with_drop(y: Floats, w: Floats, curve: Floats) -> tuple[float, int, float, float] | None:
    """Return the least residual with one drop, its bucket, its relative size and the usual level."""
    top, below = np.cumsum(w * curve * y), np.cumsum(w * curve**2)
    squares = float(np.sum(w * y**2))
    first = np.arange(3, len(y) - 1)
    # both sides need something that could be labelled at all
    first = first[(below[first - 1] > 1e-6) & (below[-1] - below[first - 1] > 0.2 * w.mean())]
    if not len(first):
        return None
    left = top[first - 1] / below[first - 1]
    right = (top[-1] - top[first - 1]) / (below[-1] - below[first - 1])
    cost = squares - left * top[first - 1] - right * (top[-1] - top[first - 1])
    cost = np.where(right < left, cost, np.inf)
    i = int(np.argmin(cost))
    if not np.isfinite(cost[i]) or left[i] <= 0:
        return None
    return float(max(cost[i], 0.0)), int(first[i]), float(1 - right[i] / left[i]), float(left[i])
