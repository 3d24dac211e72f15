"""How time grows with the size of the input, and how throughput grows with workers.

Growth: t(n) = a + b·nᵏ, fitted to relative errors over a grid of k, with the interval of the profile likelihood (Wilks
1938). Scaling: the universal scalability law X(n) = λn / (1 + σ(n − 1) + κn(n − 1)) (Gunther 1993), whose σ is the
share that is serial (a shared thing is waited for) and κ the cost of keeping each other informed. With r replicas and n
requests under way in all, X = rᵃ · law(n / rᵃ): a = 1 where each replica has what is waited for to itself, so that more
of them help, and a = 0 where all share it, so that they do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, nnls

ORDERS = np.round(np.arange(0.1, 4.01, 0.05), 2)
NOISE = 0.12
"""Least relative error that one timing is given, however well it fits."""
ERROR = 0.04
"""Least relative error that a level's throughput is given."""
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


@dataclass(frozen=True, slots=True)
class Pooling:
    """How much of what requests wait for comes with each replica (a, 0…1, with its 95 % interval), and the law then."""

    own: float
    low: float
    high: float
    law: Scalability

    def gain(self, concurrency: float, now: float, then: float, own: float | None = None) -> float:
        """Return the factor on throughput from so many replicas to so many, with so many requests under way per each.

        Requests under way grow with the replicas, as they do where clients wait for a slot.
        """
        share = self.own if own is None else own
        before, after = now**share, then**share
        rates = self.law.throughput([concurrency * now / before, concurrency * then / after])
        return float(after * rates[1] / (before * rates[0]))


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


def steepness(law: Scalability, concurrency: float) -> float:
    """Return the % by which throughput rises for 1 % more requests under way: 1 where none waits, 0 at the peak."""
    a, b = law.throughput([concurrency, concurrency * 1.01])
    return float(np.log(b / a) / np.log(1.01))


def steepness_error(workers: ArrayLike, throughput: ArrayLike, concurrency: float) -> float:
    """Return the standard error of the steepness there: the jackknife over the points (Tukey 1958); NaN below five."""
    n, x = np.asarray(workers, dtype=np.float64), np.asarray(throughput, dtype=np.float64)
    found = []
    for left_out in range(len(n)):
        keep = np.arange(len(n)) != left_out
        if len(set(n[keep].tolist())) >= 4:
            found.append(steepness(scalability(n[keep], x[keep]), concurrency))
    if len(found) < 5:
        return float("nan")
    values = np.array(found)
    return float(np.sqrt((len(values) - 1) * np.mean((values - values.mean()) ** 2)))


def pooling(concurrency: ArrayLike, throughput: ArrayLike, replicas: ArrayLike) -> Pooling:
    """Fit the law with replicas; ValueError unless concurrency has four values and replicas two."""
    n, x, r = (np.asarray(values, dtype=np.float64) for values in (concurrency, throughput, replicas))
    if len(set(r.tolist())) < 2 or np.any(r <= 0):
        raise ValueError("two numbers of replicas or more are needed")
    shares = np.linspace(0.0, 1.0, 21)
    laws = [scalability(n / r**share, x / r**share) for share in shares]
    losses = np.array(
        [
            float(np.sum(np.log(r**share * law.throughput(n / r**share) / x) ** 2))
            for share, law in zip(shares, laws, strict=True)
        ]
    )
    best = int(np.argmin(losses))
    spread = max(ERROR**2, losses[best] / max(1, len(n) - 4))
    inside = shares[losses - losses[best] <= NORMAL_95 * spread]
    return Pooling(float(shares[best]), float(inside.min()), float(inside.max()), laws[best])


def by_level(
    concurrency: ArrayLike, throughput: ArrayLike, replicas: ArrayLike | None = None, *, levels: int = 12
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return median concurrency, throughput and replicas per level of concurrency, and how far points lie from theirs.

    Levels are equal steps of the logarithm of concurrency per replica, apart per number of replicas; those with fewer
    than three points are left out. The last value is the standard deviation of log throughput within levels.
    """
    n, x = np.asarray(concurrency, dtype=np.float64), np.asarray(throughput, dtype=np.float64)
    r = np.ones(len(n)) if replicas is None else np.round(np.asarray(replicas, dtype=np.float64))
    known = np.isfinite(n) & np.isfinite(x) & np.isfinite(r) & (n > 0) & (x > 0) & (r > 0)
    n, x, r = n[known], x[known], r[known]
    nothing = np.empty(0)
    if not len(n):
        return nothing, nothing, nothing, float("nan")
    scale = np.log(n / r)
    step = max(1e-9, (scale.max() - scale.min()) / levels)
    place = np.minimum(levels - 1, ((scale - scale.min()) / step).astype(int))
    found, rest = [], []
    for replica in np.unique(r):
        for level in range(levels):
            mine = (r == replica) & (place == level)
            if mine.sum() >= 3:
                found.append((np.median(n[mine]), np.median(x[mine]), replica))
                rate = np.log(x[mine] / n[mine])  # within a level concurrency still varies a little
                rest.append(rate - np.median(rate))
    if not found:
        return nothing, nothing, nothing, float("nan")
    columns = np.array(found).T
    return columns[0], columns[1], columns[2], float(np.sqrt(np.mean(np.concatenate(rest) ** 2)))


def _law(p: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(p[0] * n / (1 + p[1] * (n - 1) + p[2] * n * (n - 1)), dtype=np.float64)
