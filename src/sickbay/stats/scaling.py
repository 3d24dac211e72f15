"""How time grows with the size of the input, and how throughput grows with workers.

Growth: t(n) = a + b·nᵏ, fitted to relative errors over a grid of k, with the interval of the profile likelihood (Wilks
1938). Scaling: the universal scalability law X(n) = λn / (1 + σ(n − 1) + κn(n − 1)) (Gunther 1993), whose σ is the
share that is serial (a shared thing is waited for) and κ the cost of keeping each other informed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, nnls

ORDERS = np.round(np.arange(0.1, 4.01, 0.05), 2)
NOISE = 0.12
"""Least relative error that one timing is given, however well it fits."""
NORMAL_95 = 3.84


@dataclass(frozen=True, slots=True)
class Growth:
    """Order of growth k with its 95 % interval, and which part of the time at the largest size grows at all (0…1)."""

    order: float
    low: float
    high: float
    growing: float


@dataclass(frozen=True, slots=True)
class Scalability:
    """The law's parameters with 95 % intervals, and the number of workers at which throughput is largest."""

    rate: float
    serial: float
    serial_low: float
    serial_high: float
    crosstalk: float
    crosstalk_low: float
    crosstalk_high: float
    peak: float

    def throughput(self, workers: ArrayLike) -> NDArray[np.float64]:
        """Return the throughput that the law expects of so many workers."""
        n = np.asarray(workers, dtype=np.float64)
        return _law(np.array([self.rate, self.serial, self.crosstalk]), n)

    def gain(self, now: float, then: float) -> float:
        """Return the factor on throughput from going from so many workers to so many."""
        before, after = self.throughput([now, then])
        return float(after / before)


def growth(sizes: ArrayLike, seconds: ArrayLike) -> Growth:
    """Return the order of growth of times over sizes; at least three sizes. ValueError otherwise.

    >>> growth([5, 20, 40, 80, 160], [0.01, 0.013, 0.022, 0.058, 0.202]).low > 1.5
    True
    >>> growth([5, 20, 40, 80, 160], [0.2, 0.21, 0.2, 0.2, 0.21]).growing < 0.2
    True
    """
    n, t = np.asarray(sizes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if len(n) != len(t) or len(set(n.tolist())) < 3 or np.any(t <= 0) or np.any(n <= 0):
        raise ValueError("growth needs positive times at three sizes or more")
    scale = n / n.max()
    losses, fits = [], []
    for order in ORDERS:
        columns = np.column_stack([np.ones(len(n)), scale**order]) / t[:, None]
        found, residual = nnls(columns, np.ones(len(n)))
        losses.append(residual**2)
        fits.append(found)
    loss = np.array(losses)
    best = int(np.argmin(loss))
    spread = max(NOISE**2, loss[best] / max(1, len(n) - 3))
    inside = ORDERS[loss - loss[best] <= NORMAL_95 * spread]
    a, b = fits[best]
    return Growth(float(ORDERS[best]), float(inside.min()), float(inside.max()), float(b / (a + b)) if a + b else 0.0)


def scalability(workers: ArrayLike, throughput: ArrayLike) -> Scalability:
    """Fit the law to throughput at numbers of workers (or of concurrent requests); at least four numbers.

    Intervals come from the curvature of the squared relative errors; parameters are held at 0 and above.
    """
    n, x = np.asarray(workers, dtype=np.float64), np.asarray(throughput, dtype=np.float64)
    if len(n) != len(x) or len(set(n.tolist())) < 4 or np.any(n <= 0) or np.any(x <= 0):
        raise ValueError("the law needs positive throughput at four numbers of workers or more")
    start = np.array([float(x[np.argmin(n)] / n.min()), 0.05, 0.001])

    def errors(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(_law(p, n) / x)

    fit = least_squares(errors, start, bounds=([1e-12, 0, 0], [np.inf, 1.0, np.inf]))
    freedom = max(1, len(n) - 3)
    spread = max(2 * fit.cost / freedom, 1e-4)
    wide = 1.96 * np.sqrt(np.maximum(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac)) * spread, 0.0))
    rate, serial, cross = (float(value) for value in fit.x)
    peak = float(np.sqrt(max(0.0, 1 - serial) / cross)) if cross > 1e-9 else float("inf")
    return Scalability(
        rate, serial, max(0.0, serial - wide[1]), min(1.0, serial + wide[1]), cross, max(0.0, cross - wide[2]),
        cross + wide[2], peak,
    )  # fmt: skip


def _law(p: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(p[0] * n / (1 + p[1] * (n - 1) + p[2] * n * (n - 1)), dtype=np.float64)
