"""The network as arrays: hypotheses, prior odds, and the chance of each finding under each hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sickbay.terms.cause import Cause
from sickbay.terms.finding import FindingKind

Floats = NDArray[np.float64]

DEFAULT_LEAK = 0.03
MOST_PAIRED = 150
"""Beyond this many causes only the likeliest are paired: pairs grow with the square."""
FOREIGN = 0.25
"""Factor on the prior odds of a cause that belongs to another scenario than the one the person arrived with."""


@dataclass(frozen=True, slots=True)
class Network:
    """Causes, findings and listed hypotheses, all in fixed order.

    ``members`` is hypotheses × causes (0/1); row 0 is "none of these". ``off`` is hypotheses × findings: ln P(off | H).
    ``log_odds`` are the causes' prior log odds of being present.
    """

    causes: tuple[Cause, ...]
    findings: tuple[str, ...]
    groups: tuple[str, ...]
    leaks: Floats
    members: NDArray[np.bool_]
    off: Floats
    log_odds: Floats
    on: Floats = field(init=False)
    """P(finding on | H), hypotheses × findings."""
    _columns: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", np.asarray(-np.expm1(self.off), dtype=np.float64))
        object.__setattr__(self, "_columns", {name: j for j, name in enumerate(self.findings)})

    def column(self, finding: str) -> int | None:
        """Return the finding's column, or None when no cause is linked with it."""
        return self._columns.get(finding)

    def prior(self, log_odds: Floats | None = None) -> Floats:
        """Return ln P(H) up to a constant: the sum of the members' log odds; "none" is 0."""
        return np.asarray(self.members @ (self.log_odds if log_odds is None else log_odds), dtype=np.float64)

    def single(self, cause: int) -> int:
        """Return the row of the hypothesis "this cause alone"."""
        return 1 + cause


def build(causes: Sequence[Cause], kinds: Mapping[str, FindingKind], *, scenario: str | None = None) -> Network:
    """Return the network of these causes; findings no cause shows are left out (they move no hypothesis).

    ``scenario`` dims the priors of causes from other scenarios. Causes and findings are sorted by id, so that the same
    knowledge gives the same arrays whatever the order it was read in.
    """
    ordered = tuple(sorted(causes, key=lambda cause: cause.id))
    findings = tuple(sorted({name for cause in ordered for name in cause.shows}))
    leaks = np.array([kinds[name].leak if name in kinds else DEFAULT_LEAK for name in findings])
    groups = tuple(kinds[name].group if name in kinds else name for name in findings)
    position = {name: j for j, name in enumerate(findings)}
    stay_off = np.zeros((len(ordered), len(findings)))
    for i, cause in enumerate(ordered):
        for name, link in cause.shows.items():
            stay_off[i, position[name]] = np.log1p(-min(link.strength, 1 - 1e-9))
    odds = np.array([_log_odds(cause, scenario) for cause in ordered])
    members = hypotheses(len(ordered), odds)
    off = members.astype(np.float64) @ stay_off + np.log1p(-leaks)[None, :]
    return Network(ordered, findings, groups, leaks, members, off, odds)


def hypotheses(count: int, log_odds: Floats) -> NDArray[np.bool_]:
    """Return the member matrix of none, all singles and the pairs (of the likeliest 150 causes)."""
    paired = sorted(np.argsort(-log_odds, kind="stable")[:MOST_PAIRED].tolist())
    pairs = list(combinations(paired, 2))
    members = np.zeros((1 + count + len(pairs), count), dtype=bool)
    members[1 + np.arange(count), np.arange(count)] = True
    for row, pair in enumerate(pairs, start=1 + count):
        members[row, list(pair)] = True
    return members


def with_triples(network: Network, leaders: Sequence[int]) -> Network:
    """Return the network with the triples among the leading causes added, for when pairs leave findings unexplained.

    A triple that is listed already is not listed again: it would count twice.
    """
    listed = {tuple(np.flatnonzero(row).tolist()) for row in network.members[network.members.sum(axis=1) == 3]}
    triples = [triple for triple in combinations(sorted(leaders), 3) if triple not in listed]
    if not triples:
        return network
    singles = network.off[1 : 1 + len(network.causes)] - network.off[0]
    rows = np.zeros((len(triples), len(network.causes)), dtype=bool)
    for row, triple in enumerate(triples):
        rows[row, list(triple)] = True
    off = rows.astype(np.float64) @ singles + network.off[0]
    return Network(
        network.causes,
        network.findings,
        network.groups,
        network.leaks,
        np.vstack([network.members, rows]),
        np.vstack([network.off, off]),
        network.log_odds,
    )


def _log_odds(cause: Cause, scenario: str | None) -> float:
    prior = min(max(cause.prior, 1e-6), 1 - 1e-6)
    factor = 1.0 if scenario is None or cause.scenario in ("", scenario) else FOREIGN
    return float(np.log(factor * prior / (1 - prior)))
