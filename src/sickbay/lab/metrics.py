"""How good a set of diagnoses is: ranking, calibration and false claims, with bootstrap intervals. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BOOTSTRAPS = 1000
BINS = 10


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark case: what was broken (empty for a control), what was ranked, and what it took.

    ``ranked`` holds (cause, probability), likeliest first; ``findings`` holds finding → on, for those measured.
    """

    seed: int
    index: int
    truth: tuple[str, ...]
    faults: tuple[str, ...]
    ranked: tuple[tuple[str, float], ...]
    none: float
    probes: int
    seconds: float
    findings: Mapping[str, bool] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def top(self) -> tuple[str, float]:
        """The likeliest cause and its probability; ("", 0) when none was listed."""
        return self.ranked[0] if self.ranked else ("", 0.0)


def summarise(cases: Sequence[Case]) -> dict[str, Any]:
    """Return every figure of DESIGN.md §4 with its 95 % bootstrap interval where it is a mean over cases."""
    faulty = [c for c in cases if c.truth]
    single = [c for c in faulty if len(c.truth) == 1]
    double = [c for c in faulty if len(c.truth) == 2]
    controls = [c for c in cases if not c.truth]
    claims = [c for c in cases if c.top[1] >= 0.9]
    table, ece = reliability(cases)
    figures: dict[str, Any] = {
        "top1": mean(faulty, right),
        "top3": mean(faulty, lambda c: float(bool({name for name, _ in c.ranked[:3]} & set(c.truth)))),
        "top1_single": mean(single, right),
        "both_in_top2": mean(double, lambda c: float({name for name, _ in c.ranked[:2]} == set(c.truth))),
        "false_claims_50": mean(controls, lambda c: float(c.top[1] >= 0.5)),
        "false_claims_90": mean(controls, lambda c: float(c.top[1] >= 0.9)),
        "right_at_90": mean(claims, right),
        "share_at_90": mean(cases, lambda c: float(c.top[1] >= 0.9)),
        "log_loss": mean(cases, log_loss),
        "brier": mean(cases, brier),
        "ece": ece,
        "median_seconds": float(np.median([c.seconds for c in cases])) if cases else None,
        "mean_probes": mean(cases, lambda c: float(c.probes)),
        "counts": {
            "cases": len(cases), "single": len(single), "double": len(double), "controls": len(controls),
            "claims_90": len(claims), "errors": sum(bool(c.error) for c in cases),
        },
        "reliability": table,
    }  # fmt: skip
    figures["intervals"] = {
        "top1": interval(faulty, right),
        "top1_single": interval(single, right),
        "right_at_90": interval(claims, right),
        "false_claims_50": interval(controls, lambda c: float(c.top[1] >= 0.5)),
        "both_in_top2": interval(double, lambda c: float({name for name, _ in c.ranked[:2]} == set(c.truth))),
    }
    return figures


def right(case: Case) -> float:
    """Return 1 when the likeliest cause is one that was broken."""
    return float(case.top[0] in case.truth)


def log_loss(case: Case) -> float:
    """Return the summed log loss of the causes' probabilities (listed ones, and broken ones that are not listed)."""
    listed = dict(case.ranked)
    total = 0.0
    for cause in listed.keys() | set(case.truth):
        p = min(max(listed.get(cause, 0.005), 1e-4), 1 - 1e-4)
        total -= np.log(p if cause in case.truth else 1 - p)
    return float(total)


def brier(case: Case) -> float:
    """Return the summed squared error of the causes' probabilities."""
    listed = dict(case.ranked)
    return float(sum((listed.get(c, 0.0) - (c in case.truth)) ** 2 for c in listed.keys() | set(case.truth)))


def reliability(cases: Sequence[Case]) -> tuple[list[dict[str, float]], float | None]:
    """Return the reliability table of the leader's probability (ten equal bins, empty ones left out) and its ECE."""
    rows, ece = [], 0.0
    if not cases:
        return [], None
    p = np.array([c.top[1] for c in cases])
    hit = np.array([right(c) for c in cases])
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    for b in range(BINS):
        inside = place == b
        if inside.any():
            claimed, true = float(p[inside].mean()), float(hit[inside].mean())
            ece += float(inside.mean()) * abs(claimed - true)
            rows.append({"from": b / BINS, "cases": int(inside.sum()), "claimed": claimed, "right": true})
    return rows, ece


def mean(cases: Sequence[Case], figure: Callable[[Case], float]) -> float | None:
    """Return the mean of a figure, None over no cases."""
    return float(np.mean([figure(c) for c in cases])) if cases else None


def interval(cases: Sequence[Case], figure: Callable[[Case], float]) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of a mean over cases, None over no cases."""
    if not cases:
        return None
    values = np.array([figure(c) for c in cases])
    draws = np.random.default_rng(0).integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def link_counts(cases: Sequence[Case]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return cause → finding → (on, measured) over the single-fault cases: what knowledge files quote as lab counts."""
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for case in cases:
        if len(case.truth) != 1:
            continue
        into = counts.setdefault(case.truth[0], {})
        for finding, on in case.findings.items():
            seen = into.get(finding, (0, 0))
            into[finding] = (seen[0] + int(on), seen[1] + 1)
    return counts
