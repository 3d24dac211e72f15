"""Belief over causes: take a finding in, take it back, and read what is believed and why.

One finding is one vector addition, ``lp += log((1 − p1) + L · p1)``, where p1 is the chance that the finding is on
under each hypothesis and L the likelihood ratio of what was observed. So order does not matter, evidence can be
withdrawn, and the explanation is the terms of the sum. A group of findings read from one quantity adds the mean of its
members' terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sickbay.engine.network import Floats, Network, with_triples
from sickbay.terms.change import Change
from sickbay.terms.finding import CAP, Finding

STRONG = float(np.log(10.0))
"""Log ratio from which a finding that nothing explains must be shown."""
EXPLAINED = 0.25
"""Chance of being on under the believed causes from which a finding counts as explained."""
MOST_FACTOR = 8.0
"""Changes together multiply a cause's prior odds by no more than this."""


@dataclass(slots=True)
class Belief:
    """Beliefs given what was taken in so far; all logarithms are natural."""

    network: Network
    taken: dict[str, Finding] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    _terms: dict[str, Floats] = field(default_factory=dict)

    def take(self, finding: Finding) -> None:
        """Take a finding in; the same id again replaces what was taken. Unknown teaches nothing."""
        self.withdraw(finding.id)
        self.taken[finding.id] = finding
        column = self.network.column(finding.id)
        if finding.status == "measured" and column is not None:
            self._terms[finding.id] = term(self.network, column, finding.log_ratio)

    def withdraw(self, finding: str) -> None:
        """Forget a finding, as if it had never been taken in."""
        self.taken.pop(finding, None)
        self._terms.pop(finding, None)

    def take_change(self, change: Change) -> None:
        """Scale the priors of the causes that such a change makes likelier; a kind counts once, however often seen."""
        self.changes.setdefault(change.kind, change)

    def widen(self, leaders: int = 12) -> None:
        """Add triples among the leading causes; everything taken in is taken again."""
        order = np.argsort(-self.marginals(), kind="stable")[:leaders]
        self.network = with_triples(self.network, order.tolist())
        for name in list(self._terms):
            column = self.network.column(name)
            assert column is not None
            self._terms[name] = term(self.network, column, self.taken[name].log_ratio)

    @property
    def log_odds(self) -> Floats:
        """Prior log odds of the causes, scaled by the changes seen."""
        scaled = self.network.log_odds.copy()
        for i, cause in enumerate(self.network.causes):
            factor = float(np.prod([cause.scaled_by.get(kind, 1.0) for kind in self.changes]))
            scaled[i] += np.log(min(max(factor, 1 / MOST_FACTOR), MOST_FACTOR))
        return scaled

    def weights(self) -> dict[str, float]:
        """Return finding → 1 / (findings of its group that were measured): the share of the group's one vote."""
        groups: dict[str, list[str]] = {}
        for name in sorted(self._terms):
            column = self.network.column(name)
            assert column is not None
            groups.setdefault(self.network.groups[column], []).append(name)
        return {name: 1.0 / len(names) for names in groups.values() for name in names}

    def log_posterior(self) -> Floats:
        """Return ln P(H | evidence), normalised."""
        lp = self.network.prior(self.log_odds)
        for name, weight in sorted(self.weights().items()):
            lp = lp + weight * self._terms[name]
        lp = lp - lp.max()
        return np.asarray(lp - np.log(np.exp(lp).sum()), dtype=np.float64)

    def posterior(self) -> Floats:
        """Return P(H | evidence) over the listed hypotheses."""
        return np.exp(self.log_posterior())

    def marginals(self) -> Floats:
        """Return P(cause present | evidence) per cause, in the network's order."""
        return np.asarray(self.posterior() @ self.network.members, dtype=np.float64)

    def none(self) -> float:
        """Return the probability that no modelled cause is present."""
        return float(self.posterior()[0])

    def pairs(self, least: float = 0.01) -> list[tuple[str, str, float]]:
        """Return the pairs of causes that are present together with at least this probability, likeliest first."""
        posterior, members = self.posterior(), self.network.members
        found = []
        for row in np.flatnonzero((members.sum(axis=1) == 2) & (posterior >= least)):
            a, b = np.flatnonzero(members[row])
            found.append((self.network.causes[a].id, self.network.causes[b].id, float(posterior[row])))
        return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))

    def ledger(self, cause: int) -> list[tuple[str, float]]:
        """Return finding → what it added to the log odds of "this cause alone" against "none", largest first.

        The terms and the prior log odds sum up to the log posterior odds of the two hypotheses.
        """
        row = self.network.single(cause)
        terms = [
            (name, float(weight * (self._terms[name][row] - self._terms[name][0])))
            for name, weight in self.weights().items()
        ]
        return sorted(terms, key=lambda item: (-abs(item[1]), item[0]))

    def believed(self, least: float = 0.5) -> list[int]:
        """Return the causes that are more likely present than not."""
        return [int(i) for i in np.flatnonzero(self.marginals() >= least)]

    def unexplained(self) -> list[str]:
        """Return strong findings that the likeliest hypothesis does not explain, strongest first."""
        best = int(np.argmax(self.posterior()))
        loose = []
        for name, finding in self.taken.items():
            if finding.status != "measured" or finding.log_ratio < STRONG:
                continue
            column = self.network.column(name)
            chance = 0.0 if column is None else float(-np.expm1(self.network.off[best, column]))
            if chance < EXPLAINED:
                loose.append((-finding.log_ratio, name))
        return [name for _, name in sorted(loose)]


def term(network: Network, column: int, log_ratio: float) -> Floats:
    """Return what a finding of this log ratio (capped to ±ln 100) adds to ln P(H), per hypothesis."""
    ratio = np.exp(min(max(log_ratio, -CAP), CAP))
    off = np.exp(network.off[:, column])
    return np.asarray(np.log(off + ratio * (1 - off)), dtype=np.float64)


def take_all(network: Network, findings: Iterable[Finding], changes: Iterable[Change] = ()) -> Belief:
    """Return the belief after all these findings and changes."""
    belief = Belief(network)
    for change in changes:
        belief.take_change(change)
    for finding in findings:
        belief.take(finding)
    return belief


def summary(belief: Belief) -> Mapping[str, float]:
    """Return cause → probability, likeliest first, ties by name."""
    marginals = belief.marginals()
    ranked = sorted(range(len(marginals)), key=lambda i: (-marginals[i], belief.network.causes[i].id))
    return {belief.network.causes[i].id: float(marginals[i]) for i in ranked}
