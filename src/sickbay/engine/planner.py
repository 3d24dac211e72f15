"""Which probe next: expected information about which believed causes are present, per second of expected cost.

One-step look-ahead (de Kleer and Williams 1987). Information is counted about the *pattern of believed causes*, not
about whole hypotheses: knowing which of many near-impossible pairs is right is worth nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sickbay.engine.belief import Belief
from sickbay.engine.network import Floats

Mode = Literal["gentle", "balanced", "fast"]

FLOORS: dict[Mode, float] = {"gentle": 0.05, "balanced": 0.005, "fast": 0.0}
"""Bits per second under which a probe is not worth its load; fast fills every slot."""
BELIEVED = 0.02
MOST_BELIEVED = 10
SURE = 0.95
"""Chance that a probe reports a finding rightly; keeps any single probe from promising certainty."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A probe as the planner sees it: what it may find and its expected cost in seconds."""

    name: str
    findings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate with the bits it is expected to bring and the bits per second."""

    name: str
    information: float
    per_second: float


def plan(
    belief: Belief,
    candidates: Sequence[Candidate],
    *,
    in_flight: Sequence[Candidate] = (),
    mode: Mode = "balanced",
    seconds_left: float | None = None,
) -> list[Choice]:
    """Return the candidates worth starting now, best first; ties by name.

    A probe that cannot finish in the time left is not among them; in mode fast, none else is left out.
    """
    bits, entropy = information(belief)
    voted = _groups_of(belief, belief.weights())
    running = _groups_of(belief, [name for c in in_flight for name in c.findings])
    expected_soon = sum(_probe_bits(belief, c.findings, bits, entropy, voted, set()) for c in in_flight)
    remaining = max(0.0, entropy - expected_soon)
    choices = []
    for candidate in candidates:
        if seconds_left is not None and candidate.seconds > seconds_left:
            continue
        gain = _probe_bits(belief, candidate.findings, bits, entropy, voted, running)
        if entropy > 0:
            gain *= remaining / entropy
        rate = gain / max(candidate.seconds, 0.05)
        if mode == "fast" or rate >= FLOORS[mode]:
            choices.append(Choice(candidate.name, gain, rate))
    return sorted(choices, key=lambda choice: (-choice.per_second, choice.name))


def information(belief: Belief) -> tuple[Floats, float]:
    """Return expected bits per finding about the pattern of believed causes, and that pattern's entropy in bits."""
    posterior, network = belief.posterior(), belief.network
    patterns = _patterns(belief)
    count = int(patterns.max()) + 1
    chance = np.bincount(patterns, weights=posterior, minlength=count)
    order = np.argsort(patterns, kind="stable")  # each pattern's hypotheses side by side, to be summed in one pass
    starts = np.searchsorted(patterns[order], np.arange(count))
    on = np.add.reduceat(posterior[order, None] * network.on[order], starts, axis=0)
    summed = (1 - SURE) * chance[:, None] + (2 * SURE - 1) * on  # P(reported on), a report being right with SURE
    within = summed / np.maximum(chance[:, None], 1e-300)
    overall = chance @ within
    bits = _entropy(overall) - chance @ _entropy(within)
    spread = chance[chance > 0]
    return np.maximum(bits, 0.0), float(-np.sum(spread * np.log2(spread)))


def missing(belief: Belief, unmeasured: Collection[str]) -> list[tuple[str, float]]:
    """Return findings that were not measured with the bits they could still bring, most first."""
    bits, _ = information(belief)
    found = []
    for name in sorted(set(unmeasured)):
        column = belief.network.column(name)
        found.append((name, float(bits[column]) if column is not None else 0.0))
    return sorted(found, key=lambda item: (-item[1], item[0]))


def coverage(belief: Belief, least: float = 0.02, leaders: int = 4) -> float:
    """Return the share (0…1) of the evidence that tells the leading causes apart which was obtained.

    A group of findings weighs by how differently the leaders (and "none") show its best finding; one measured member
    counts as having asked. 1 when nothing could tell them apart.
    """
    network = belief.network
    order = np.argsort(-belief.marginals(), kind="stable")[:leaders]
    rows = [0, *(network.single(int(i)) for i in order)]
    spread = np.ptp(network.on[rows], axis=0)
    asked = _groups_of(belief, belief.weights())
    weights: dict[str, float] = {}
    for column, group in enumerate(network.groups):
        weights[group] = max(weights.get(group, 0.0), float(spread[column]))
    total = sum(weight for weight in weights.values() if weight >= least)
    if total <= 0:
        return 1.0
    return sum(weight for group, weight in weights.items() if weight >= least and group in asked) / total


def _patterns(belief: Belief) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return for each hypothesis the number of its pattern of believed causes."""
    marginals = belief.marginals()
    likely = np.argsort(-marginals, kind="stable")[:MOST_BELIEVED]
    kept = sorted(int(i) for i in likely if marginals[i] >= BELIEVED)
    codes = belief.network.members[:, kept] @ (1 << np.arange(len(kept), dtype=np.int64))
    _, pattern = np.unique(codes, return_inverse=True)
    return np.asarray(pattern, dtype=np.int64).reshape(-1)


def _probe_bits(
    belief: Belief, findings: Sequence[str], bits: Floats, entropy: float, voted: set[str], running: set[str]
) -> float:
    """Return the bits of a probe: each group's best finding, halved where the group has voted, none where asked."""
    best: dict[str, float] = {}
    for name in findings:
        column = belief.network.column(name)
        if column is None or name in belief.taken:
            continue
        group = belief.network.groups[column]
        if group not in running:
            gain = float(bits[column]) * (0.5 if group in voted else 1.0)
            best[group] = max(best.get(group, 0.0), gain)
    return min(entropy, sum(best.values()))


def _groups_of(belief: Belief, names: Collection[str]) -> set[str]:
    columns = (belief.network.column(name) for name in names)
    return {belief.network.groups[column] for column in columns if column is not None}


def _entropy(p: Floats) -> Floats:
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log2(q) + (1 - q) * np.log2(1 - q)), dtype=np.float64)
