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
    """Beliefs given what was taken in so far; all logarithms are natural.

    The terms of the sum are kept as a matrix findings × hypotheses and summed afresh, in the network's order, when
    something changed: so two runs that took the same findings in another order agree to the last bit.
    """

    network: Network
    taken: dict[str, Finding] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    _columns: dict[str, int] = field(default_factory=dict)
    """Finding that counts → its column in the network."""
    _terms: Floats = field(init=False)
    _prior: Floats | None = None
    _read: tuple[Floats, Floats, Floats] | None = None
    """Log posterior, posterior and marginals, until something changes."""

    def __post_init__(self) -> None:
        self._terms = np.zeros(self.network.off.shape[::-1])

    def take(self, finding: Finding) -> None:
        """Take a finding in; the same id again replaces what was taken. Unknown teaches nothing."""
        self.withdraw(finding.id)
        self.taken[finding.id] = finding
        column = self.network.column(finding.id)
        if finding.status == "measured" and column is not None:
            self._columns[finding.id] = column
            self._terms[column] = term(self.network, column, finding.log_ratio)
            self._read = None

    def withdraw(self, finding: str) -> None:
        """Forget a finding, as if it had never been taken in."""
        self.taken.pop(finding, None)
        if self._columns.pop(finding, None) is not None:
            self._read = None

    def take_change(self, change: Change) -> None:
        """Scale the priors of the causes that such a change makes likelier; a kind counts once, however often seen."""
        self.changes.setdefault(change.kind, change)
        self._prior = self._read = None

    def widen(self, leaders: int = 12) -> None:
        """Add triples among the leading causes; everything taken in is taken again."""
        order = np.argsort(-self.marginals(), kind="stable")[:leaders]
        self.network = with_triples(self.network, order.tolist())
        self._terms = np.zeros(self.network.off.shape[::-1])
        for name, column in self._columns.items():
            self._terms[column] = term(self.network, column, self.taken[name].log_ratio)
        self._prior = self._read = None

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
        for name in sorted(self._columns):
            groups.setdefault(self.network.groups[self._columns[name]], []).append(name)
        return {name: 1.0 / len(names) for names in groups.values() for name in names}

    def log_posterior(self) -> Floats:
        """Return ln P(H | evidence), normalised."""
        return self._state()[0]

    def posterior(self) -> Floats:
        """Return P(H | evidence) over the listed hypotheses."""
        return self._state()[1]

    def marginals(self) -> Floats:
        """Return P(cause present | evidence) per cause, in the network's order."""
        return self._state()[2]

    def _state(self) -> tuple[Floats, Floats, Floats]:
        if self._read is None:
            if self._prior is None:
                self._prior = self.network.prior(self.log_odds)
            votes = np.zeros(len(self._terms))
            for name, weight in self.weights().items():
                votes[self._columns[name]] = weight
            lp = self._prior + votes @ self._terms
            lp -= lp.max()
            lp -= np.log(np.exp(lp).sum())
            posterior = np.exp(lp)
            self._read = (lp, posterior, np.asarray(posterior @ self.network.members, dtype=np.float64))
            for array in self._read:
                array.flags.writeable = False
        return self._read

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
            (name, float(weight * (self._terms[self._columns[name], row] - self._terms[self._columns[name], 0])))
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
            chance = 0.0 if column is None else float(self.network.on[best, column])
            if chance < EXPLAINED:
                loose.append((-finding.log_ratio, name))
        return [name for _, name in sorted(loose)]


def term(network: Network, column: int, log_ratio: float) -> Floats:
    """Return what a finding of this log ratio (capped to ±ln 100) adds to ln P(H), per hypothesis."""
    ratio = np.exp(min(max(log_ratio, -CAP), CAP))
    on = network.on[:, column]
    return np.asarray(np.log((1 - on) + ratio * on), dtype=np.float64)


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
