"""Bottleneck services in generated graphs of 40 services, from latencies alone, beside a z-score of each service.

``python benchmarks/callgraph.py [CASES] [SEED] [PYTHON]``, PYTHON being that of an environment with ``peers/baro.txt``
(BARO, FSE 2024, by its authors' package, on the same windows). A graph is a random DAG in which a service calls up to
four others, in turn or at the same time; own times are lognormal, load wanders, a window is the mean of the requests
that came. The fault multiplies one service's own time by 2 to 10. Only mean latencies and who calls whom are seen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sickbay.stats.callgraph import localise

SERVICES, BEFORE, DURING, REQUESTS = 40, 60, 12, 40


def graph(rng):
    """Return callees of each service, and whether it calls them at the same time; service 0 is the entrance."""
    callees = []
    for node in range(SERVICES):
        later = np.arange(node + 1, SERVICES)
        count = min(len(later), int(rng.integers(0, 5)) if node else 4)
        near = later[: max(count, min(len(later), 14))]
        callees.append(rng.choice(near, count, replace=False) if count else np.array([], dtype=int))
    for node in range(1, SERVICES):  # everything is called by something
        if not any(node in called for called in callees[:node]):
            caller = int(rng.integers(max(0, node - 8), node))
            callees[caller] = np.append(callees[caller], node)
    return callees, rng.random(SERVICES) < 0.4


def windows(rng, callees, parallel, own, count, culprit=None, factor=1.0):
    """Return the mean latency of each service in each window."""
    load = np.exp(np.cumsum(rng.normal(0, 0.1, count)) * 0.5)
    table = np.zeros((SERVICES, count))
    requests = np.maximum(4, rng.poisson(REQUESTS, count))
    for node in reversed(range(SERVICES)):
        spread = rng.lognormal(0, 0.5, count) ** (1 / np.sqrt(requests)) * np.exp(rng.normal(0, 0.03, count))
        mine = own[node] * (0.85 + 0.15 * load) * spread
        if node == culprit:
            mine = mine * factor
        called = table[callees[node]]
        if len(called):
            mine = mine + (called.max(axis=0) if parallel[node] else called.sum(axis=0)) + 0.001
        table[node] = mine
    return table


def main(cases, seed, peer=""):
    """Print top-1 and top-3 of each method."""
    names = [f"s{k:02d}" for k in range(SERVICES)]
    hits = {"sickbay": [0, 0], "z-score": [0, 0]}
    kept, truth = {"before": [], "now": []}, []
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        callees, parallel = graph(rng)
        own = rng.lognormal(np.log(0.01), 0.7, SERVICES)
        culprit, factor = int(rng.integers(SERVICES)), float(rng.uniform(2, 10))
        before = windows(rng, callees, parallel, own, BEFORE)
        now = windows(rng, callees, parallel, own, DURING, culprit, factor)
        kept["before"].append(before)
        kept["now"].append(now)
        truth.append(names[culprit])
        calls = [(names[a], names[b]) for a in range(SERVICES) for b in callees[a]]
        found = localise(dict(zip(names, before, strict=True)), dict(zip(names, now, strict=True)), calls)
        plain = np.argsort(-(now.mean(axis=1) - before.mean(axis=1)) / before.std(axis=1))
        count(hits, "sickbay", [s.service for s in found], truth[-1])
        count(hits, "z-score", [names[k] for k in plain], truth[-1])
    if peer:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cases.npz"
            np.savez(file, **{name: np.array(tables) for name, tables in kept.items()})
            script = Path(__file__).parent / "peers" / "with_baro.py"
            said = subprocess.run([peer, script, file], capture_output=True, text=True, check=True).stdout
        for order, right in zip(json.loads(said.splitlines()[-1]), truth, strict=True):
            count(hits, "BARO", order, right)
    for method, (first, third) in hits.items():
        print(f"{method}: top-1 {first / cases:.3f}, top-3 {third / cases:.3f} of {cases} graphs, seed {seed}")


def count(hits, method, order, right):
    """Note whether the right service comes first, and among the first three."""
    mine = hits.setdefault(method, [0, 0])
    mine[0] += order[0] == right
    mine[1] += right in order[:3]


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 200, int(given[1]) if len(given) > 1 else 0, given[2] if len(given) > 2 else "")
