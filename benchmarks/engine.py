"""Speed of the engine on a catalogue of 60 causes, 160 findings and 60 probes, beside plain numpy over the same matrix.

    python benchmarks/engine.py [--repeats 50]

Owed: one finding taken in and the marginals read in under 1 ms, a plan over 60 probes in under 20 ms. The peer of the
first is one pass of numpy over hypotheses (the vector addition, the normalisation and the marginals, nothing kept); the
peer of the second is one pass over the matrix hypotheses × findings: nobody can look at every entry in less.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from sickbay.engine.belief import Belief
from sickbay.engine.network import Network, build
from sickbay.engine.planner import Candidate, plan
from sickbay.terms.cause import Cause, Link
from sickbay.terms.finding import Finding, FindingKind, measured

CAUSES, FINDINGS, LINKS, PROBES, SEED = 60, 160, 8, 60, 7


def catalogue(random: np.random.Generator) -> Network:
    names = [f"finding-{i:03}" for i in range(FINDINGS)]
    kinds = {name: FindingKind(name, name, group=f"group-{i // 2}") for i, name in enumerate(names)}
    causes = []
    for i in range(CAUSES):
        shown = {names[j] for j in range(i, FINDINGS, CAUSES)}  # so that no finding is left out
        while len(shown) < LINKS:
            shown.add(names[int(random.integers(FINDINGS))])
        links = {name: Link(float(random.choice([0.98, 0.85, 0.6, 0.3, 0.08]))) for name in sorted(shown)}
        causes.append(Cause(f"cause-{i:02}", "", float(random.uniform(0.005, 0.05)), "made up", links))
    return build(causes, kinds)


def median_ms(act: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None) -> float:
    spent = []
    for _ in range(repeats):
        before()
        began = time.perf_counter()
        act()
        spent.append(time.perf_counter() - began)
    return 1000 * statistics.median(spent)


def one_pass(network: Network, lp: np.ndarray, column: int, ratio: float) -> np.ndarray:
    """The least work: one vector addition, one normalisation, one product with the members."""
    off = np.exp(network.off[:, column])
    weights = lp + np.log(off + ratio * (1 - off))
    weights = np.exp(weights - weights.max())
    return np.asarray((weights / weights.sum()) @ network.members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    repeats = parser.parse_args().repeats
    random = np.random.default_rng(SEED)
    network = catalogue(random)
    findings = [measured(name, float(random.normal(-0.5, 1.5))) for name in network.findings]
    taken, last = findings[:80], findings[80]
    names = list(network.findings)
    candidates = [
        Candidate(f"probe-{i:02}", tuple(names[j] for j in random.choice(len(names), 3)), float(random.uniform(0.1, 5)))
        for i in range(PROBES)
    ]

    belief = Belief(network)
    for finding in taken:
        belief.take(finding)
    lp = np.asarray(network.members @ network.log_odds)
    column = names.index(last.id)

    def take() -> None:
        belief.take(last)
        belief.marginals()

    def forget() -> None:
        belief.withdraw(last.id)
        belief.marginals()

    def all_of_them(some: list[Finding]) -> None:
        fresh = Belief(network)
        for finding in some:
            fresh.take(finding)
            fresh.marginals()

    def afresh() -> None:  # a change of the belief, so that nothing remembered from the last plan is of use
        belief.withdraw(last.id)
        belief.take(last)

    took = median_ms(take, repeats, forget)
    took_peer = median_ms(lambda: one_pass(network, lp, column, 3.0), repeats)
    planned = median_ms(lambda: plan(belief, candidates), repeats, afresh)
    weights = np.exp(lp)
    matrix = network.on
    planned_peer = median_ms(lambda: weights @ matrix, repeats)
    whole = median_ms(lambda: all_of_them(findings), max(3, repeats // 10))
    arrays = (network.members, network.off, network.log_odds, network.leaks, matrix)

    print(f"{CAUSES} causes x {len(names)} findings, {len(network.members)} hypotheses, {PROBES} probes, seed {SEED}")
    print(f"medians of {repeats} repeats, 80 findings taken before")
    print(_line("take one finding, read all marginals", took, 1.0, took_peer, "one numpy pass over the hypotheses"))
    print(_line("plan over 60 probes", planned, 20.0, planned_peer, "one numpy pass over the matrix"))
    print(f"  {f'take {len(findings)} findings one by one, read after each':52} {whole:8.3f} ms")
    print(f"  {'memory of the network':52} {sum(a.nbytes for a in arrays) / 1e6:8.2f} MB")
    print(
        f"sickbay {version('sickbay')}, numpy {version('numpy')}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}"
    )


def _line(what: str, ms: float, owed: float, peer: float, peer_says: str) -> str:
    kept = "kept" if ms < owed else "MISSED"
    return (
        f"  {what:52} {ms:8.3f} ms  owed < {owed:g} ms: {kept};  {ms / peer:6.1f} x the limit "
        f"({peer_says}: {peer:.3f} ms)"
    )


if __name__ == "__main__":
    main()
