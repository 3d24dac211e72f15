"""The bottleneck among services that call each other, from their latencies alone.

A service's latency holds that of those it calls, so that the slowest one is rarely the cause. What each service adds is
learned while all is well: its latency over those of the services it calls, with weights of zero or more (calls at the
same time weigh less than calls in turn). Under the fault, the service whose latency its callees do not explain is it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]
FLOOR = 0.05
"""Share of a service's usual latency that is no news, whatever its spread."""
FEWEST = 8


@dataclass(frozen=True, slots=True)
class Suspect:
    """A service and by how many spreads, and seconds, its latency exceeds what its callees explain."""

    service: str
    score: float
    seconds: float


def localise(
    before: Mapping[str, ArrayLike], now: Mapping[str, ArrayLike], calls: Sequence[tuple[str, str]]
) -> list[Suspect]:
    """Return the services by how badly their latency is explained by those they call, the worst first.

    ``before`` and ``now``: mean latency in seconds per window of time, per service; windows of a side are aligned, NaN
    where a service had no request. ``calls``: (caller, callee). ValueError with fewer than eight windows before.
    """
    callees: dict[str, list[str]] = {name: [] for name in before}
    for caller, callee in calls:
        if (
            caller != callee
            and caller in callees
            and callee in before
            and callee in now
            and callee not in callees[caller]
        ):
            callees[caller].append(callee)
    found = []
    for name in before:
        if name not in now:
            continue
        usual, seen = np.asarray(before[name], dtype=np.float64), np.asarray(now[name], dtype=np.float64)
        if np.isfinite(usual).sum() < FEWEST:
            raise ValueError(f"{name}: the latency of {FEWEST} windows or more is needed from before")
        parts = [np.asarray(before[other], dtype=np.float64) for other in callees[name]]
        parts_now = [np.asarray(now[other], dtype=np.float64) for other in callees[name]]
        found.append(_suspect(name, usual, seen, parts, parts_now))
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.service))


def _suspect(name: str, usual: Floats, seen: Floats, parts: list[Floats], parts_now: list[Floats]) -> Suspect:
    design = np.column_stack([np.ones(len(usual)), *parts])
    known = np.isfinite(design).all(axis=1) & np.isfinite(usual)
    design_now = np.column_stack([np.ones(len(seen)), *parts_now])
    known_now = np.isfinite(design_now).all(axis=1) & np.isfinite(seen)
    if known.sum() < FEWEST or not known_now.any():
        return Suspect(name, 0.0, 0.0)
    weights = _weights(design[known], usual[known])
    rest = usual[known] - design[known] @ weights
    spread = 1.4826 * float(np.median(np.abs(rest - np.median(rest)))) + FLOOR * float(np.median(usual[known]))
    more = float(np.median(seen[known_now] - design_now[known_now] @ weights - np.median(rest)))
    return Suspect(name, more / max(spread, 1e-12), more)


def _weights(design: Floats, usual: Floats) -> Floats:
    """Return weights of zero or more, pulled towards calls in turn (1) where healthy windows say little."""
    pull = 0.1 * len(usual) ** 0.5
    scale = np.maximum(design.std(axis=0), 1e-12)
    scale[0] = 1e-9  # the service's own time is not pulled anywhere
    rows = np.vstack([design, pull * np.diag(scale)])
    target = np.concatenate([usual, pull * scale * np.r_[0.0, np.ones(design.shape[1] - 1)]])
    found: Floats = nnls(rows, target)[0]
    return found
