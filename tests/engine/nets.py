"""Small networks for property tests, and the same answers found by enumerating the joint in plain Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from hypothesis import strategies as st

from sickbay.engine.belief import MOST_FACTOR, Belief
from sickbay.engine.network import Network, build
from sickbay.terms.cause import Cause, Link
from sickbay.terms.finding import CAP, Finding, FindingKind, measured, unknown

Hypothesis = frozenset[str]


@dataclass(frozen=True)
class Net:
    """Causes and findings as the engine is given them."""

    causes: tuple[Cause, ...]
    kinds: dict[str, FindingKind]

    def network(self) -> Network:
        return build(self.causes, self.kinds)

    def belief(self, findings: Sequence[Finding] = ()) -> Belief:
        belief = Belief(self.network())
        for finding in findings:
            belief.take(finding)
        return belief


def cause(name: str, shows: Mapping[str, float], prior: float = 0.05, **more: object) -> Cause:
    links = {finding: Link(strength) for finding, strength in shows.items()}
    return Cause(name, f"{name} is broken", prior, "test", links, **more)  # type: ignore[arg-type]


def net(causes: Sequence[Cause], groups: Mapping[str, str] | None = None, leak: float = 0.03) -> Net:
    names = sorted({name for c in causes for name in c.shows})
    kinds = {name: FindingKind(name, f"{name} is so", (groups or {}).get(name, ""), leak) for name in names}
    return Net(tuple(causes), kinds)


@st.composite
def nets(draw: st.DrawFn, grouped: bool = False) -> Net:
    """2 to 5 causes, 1 to 5 findings; in groups when asked for, otherwise each finding votes for itself."""
    names = [f"f{i}" for i in range(draw(st.integers(1, 5)))]
    chance = st.floats(0.02, 0.98)
    causes = [
        cause(f"c{i}", draw(st.dictionaries(st.sampled_from(names), chance, max_size=5)), draw(st.floats(0.005, 0.4)))
        for i in range(draw(st.integers(2, 5)))
    ]
    kinds = {
        name: FindingKind(
            name,
            f"{name} is so",
            draw(st.sampled_from(["g0", "g1", "g2"])) if grouped else "",
            draw(st.floats(0.005, 0.3)),
        )
        for name in names
    }
    return Net(tuple(causes), kinds)


@st.composite
def observed(draw: st.DrawFn, grouped: bool = False) -> tuple[Net, list[Finding]]:
    """A network with what was measured on it; some findings unknown, some not asked, one linked with nothing."""
    chosen = draw(nets(grouped))
    findings = []
    for name in [*chosen.kinds, "linked-with-nothing"]:
        match draw(st.sampled_from(["measured", "measured", "unknown", "not asked"])):
            case "measured":
                findings.append(measured(name, draw(st.floats(-6, 6))))
            case "unknown":
                findings.append(unknown(name, "no data: none"))
    return chosen, draw(st.permutations(findings))


def hypotheses(chosen: Net, most: int = 2) -> list[Hypothesis]:
    names = sorted(c.id for c in chosen.causes)
    return [frozenset(some) for size in range(most + 1) for some in combinations(names, size)]


def brute_force(
    chosen: Net, findings: Sequence[Finding], *, most: int = 2, changes: Sequence[str] = ()
) -> dict[Hypothesis, float]:
    """Return P(H | evidence) by summing the joint over every on/off state of the measured findings, without numpy.

    A group's findings share one vote: each likelihood is raised to one over the measured findings of its group.
    """
    seen = {f.id: f for f in findings if f.status == "measured" and any(f.id in c.shows for c in chosen.causes)}
    shared: dict[str, int] = {}
    for name in seen:
        shared[chosen.kinds[name].group] = shared.get(chosen.kinds[name].group, 0) + 1
    weights = {}
    for hypothesis in hypotheses(chosen, most):
        weight = 1.0
        for c in chosen.causes:
            if c.id in hypothesis:
                factor = math.prod(c.scaled_by.get(kind, 1.0) for kind in set(changes))
                weight *= c.prior / (1 - c.prior) * min(max(factor, 1 / MOST_FACTOR), MOST_FACTOR)
        for name, finding in seen.items():
            likelihood = sum(
                _chance(chosen, name, hypothesis, on) * (math.exp(_capped(finding)) if on else 1.0)
                for on in (True, False)
            )
            weight *= likelihood ** (1 / shared[chosen.kinds[name].group])
        weights[hypothesis] = weight
    total = sum(weights.values())
    return {hypothesis: weight / total for hypothesis, weight in weights.items()}


def full_joint(chosen: Net, findings: Sequence[Finding]) -> dict[Hypothesis, float]:
    """Return P(H | evidence) with every state of all findings enumerated together; for networks without groups."""
    seen = [f for f in findings if f.status == "measured" and any(f.id in c.shows for c in chosen.causes)]
    weights = {}
    for hypothesis in hypotheses(chosen):
        prior = math.prod(c.prior / (1 - c.prior) for c in chosen.causes if c.id in hypothesis)
        weights[hypothesis] = prior * sum(
            math.prod(
                _chance(chosen, f.id, hypothesis, on) * (math.exp(_capped(f)) if on else 1.0)
                for f, on in zip(seen, state, strict=True)
            )
            for state in product((True, False), repeat=len(seen))
        )
    total = sum(weights.values())
    return {hypothesis: weight / total for hypothesis, weight in weights.items()}


def marginal(posterior: Mapping[Hypothesis, float], name: str) -> float:
    return sum(p for hypothesis, p in posterior.items() if name in hypothesis)


def _capped(finding: Finding) -> float:
    return min(max(finding.log_ratio, -CAP), CAP)


def _chance(chosen: Net, finding: str, hypothesis: Hypothesis, on: bool) -> float:
    off = 1 - chosen.kinds[finding].leak
    for c in chosen.causes:
        if c.id in hypothesis and finding in c.shows:
            off *= 1 - c.shows[finding].strength
    return 1 - off if on else off
