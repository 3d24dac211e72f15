"""The gate on seeded pairs of models whose truth is known: what it decides, and how often wrongly.

    python benchmarks/gate.py [--pairs 200] [--first-seed 0]

Kinds in turn: equal (another model as good), better, worse overall, worse in one segment only, too little data. The
world, the sizes (3,000 to 50,000 rows; 60 to 180 for too little) and the strengths are drawn per seed. "Worse" means
by two margins and more of the rule, "better" by half a margin and more. Defaults of the gate throughout.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import math
import platform
import time

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score

from sickbay.gate.operation import validate
from sickbay.gate.pairs import Named

KINDS = ("equal", "better", "worse", "worse in one segment", "too little data")
RIGHT = {"equal": "passed", "better": "passed", "worse": "failed", "worse in one segment": "failed",
         "too little data": "not shown"}  # fmt: skip
LEVELS = np.array(["a", "b", "c", "d"])


def world(seed: int, rows: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.random.Generator]:
    """Return data with label and segment, the true logit, and the champion's noise scale."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 4))
    logit = inputs @ rng.normal(0, 0.9, 4) + rng.normal(-0.5, 0.5)
    label = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    data = pd.DataFrame(inputs, columns=[f"x{i}" for i in range(4)])
    data["segment"] = rng.choice(LEVELS, rows, p=[0.4, 0.3, 0.18, 0.12])
    data["label"], data["id"] = label, np.arange(rows)
    return data, logit, label, rng


def noise_for(logit: np.ndarray, label: np.ndarray, drop: float, start: float) -> float:
    """Return the noise that costs ``drop`` of AUC against noise ``start``, on this world's own rows."""
    draw = np.random.default_rng(12345).normal(size=len(logit))
    before = roc_auc_score(label, logit + start * draw)

    def gap(scale: float) -> float:
        return float(before - roc_auc_score(label, logit + scale * draw) - drop)

    return float(brentq(gap, start if drop > 0 else 0.0, 60.0)) if gap(60.0) > 0 else 60.0


def pair(seed: int, kind: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return candidate, champion and data of one seeded pair."""
    rng = np.random.default_rng(seed + 10**6)
    rows = int(rng.integers(60, 180)) if kind == "too little data" else int(10 ** rng.uniform(3.5, 4.7))
    data, logit, label, draw = world(seed, rows)
    base = rng.uniform(0.3, 0.8)
    champion = logit + base * draw.normal(size=rows)
    scale = base
    if kind == "worse":
        scale = noise_for(logit, label, rng.uniform(0.015, 0.05), base)
    elif kind == "better":
        scale = base * 0.3
    candidate = logit + scale * draw.normal(size=rows)
    if kind == "worse in one segment":
        hit = (data["segment"] == rng.choice(LEVELS[:3])).to_numpy()
        bad = noise_for(logit[hit], label[hit], rng.uniform(0.09, 0.2), base)
        candidate[hit] = logit[hit] + bad * draw.normal(size=int(hit.sum()))
    sides = []
    for logits in (candidate, champion):
        score = 1 / (1 + np.exp(-calibrated(logits, label)))
        sides.append(pd.DataFrame({"id": data["id"], "score": score, "prediction": (score > 0.5).astype(int)}))
    return sides[0], sides[1], data


def calibrated(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return logits that mean what they say, as a trained model's do: a logistic fit on the rows."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6).fit(logits.reshape(-1, 1), label)
    return np.asarray(fitted.decision_function(logits.reshape(-1, 1)))


def interval(hits: int, of: int) -> str:
    """Return a share with its 95 % Wilson interval."""
    if not of:
        return "–"
    z, p = 1.96, hits / of
    middle, half = (p + z * z / (2 * of)) / (1 + z * z / of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    half /= 1 + z * z / of
    return f"{p:.1%} ({max(0, middle - half):.1%} … {min(1, middle + half):.1%})"


def main() -> int:
    """Decide every pair and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    given = parser.parse_args()
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("sickbay", "numpy", "scipy"))
    print(f"{platform.python_implementation()} {platform.python_version()}; {versions}")
    decided: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    spent = []
    for i in range(given.pairs):
        kind, seed = KINDS[i % len(KINDS)], given.first_seed + i
        candidate, champion, data = pair(seed, kind)
        began = time.perf_counter()
        verdict = validate(candidate, champion, data, named=Named(segments=("segment",), id="id"))
        spent.append(time.perf_counter() - began)
        decided[kind][verdict.word] += 1
        if verdict.word != RIGHT[kind]:
            print(
                f"  seed {seed}: {kind}, {len(data)} rows: {verdict.word}: {', '.join(c.id for c in verdict.reasons())}"
            )
    print(f"\n{'kind':>22} {'passed':>7} {'failed':>7} {'not shown':>10}")
    for kind, counts in decided.items():
        print(f"{kind:>22} {counts['passed']:7d} {counts['failed']:7d} {counts['not shown']:10d}")
    good, bad = ("equal", "better"), ("worse", "worse in one segment", "too little data")
    let_in, of_bad = sum(decided[k]["passed"] for k in bad), sum(decided[k].total() for k in bad)
    accused, of_good = sum(decided[k]["failed"] for k in good), sum(decided[k].total() for k in good)
    undecided = sum(decided[k]["not shown"] for k in good)
    print(f"\nwrongly passed: {interval(let_in, of_bad)} of {of_bad}")
    print(f"wrongly failed as worse: {interval(accused, of_good)} of {of_good}")
    print(f"sound, and not shown: {interval(undecided, of_good)} of {of_good}")
    print(f"median {np.median(spent):.2f} s a pair")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
