"""How often the skew explainer is right, on generated features whose reason is known.

    python benchmarks/skew.py [--seed 0] [--cases 600] [--mixed 200] [--controls 300] [--show]

Seeds of 1000 and above were tuned on; those below are for the report. Owed: the right cause first in 0.92 of the single
causes, both named in 0.75 of the mixtures, nothing claimed in 0.98 of the healthy controls.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter, defaultdict

import numpy as np
import skew_cases as cases
from measure import rate, versions

from sickbay.stats.skew import explain


def answer(made: cases.Generated) -> tuple[list[str], float]:
    """Return the hypotheses named, best first, and the CPU seconds it took."""
    began = time.process_time()
    found = explain(made.pairs, history=made.history, events=made.events)
    return [e.hypothesis for e in found.explanations], time.process_time() - began


def show(kind: str, made: cases.Generated, seed: object) -> None:
    found = explain(made.pairs, history=made.history, events=made.events)
    print(
        f"  {kind} seed {seed} {made.flavour} history {made.history is not None}: {' + '.join(made.truth)} got",
        file=sys.stderr,
    )
    for e in found.explanations:
        print(f"      {e.hypothesis} {dict(e.parameters)} {e.coverage} bits {e.bits} {e.rivals}", file=sys.stderr)
    print(f"      share {found.mismatch_share:.4f} {found.notes} {found.would_separate}", file=sys.stderr)


def main() -> int:
    """Run all kinds and print the figures and the confusion table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--mixed", type=int, default=200)
    parser.add_argument("--controls", type=int, default=300)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("error")
    print(versions("sickbay", "numpy", "scipy"))
    names = given.only.split(",") if given.only else list(cases.CAUSES)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    seconds = []
    for i in range(given.cases):
        cause = names[i % len(names)]
        made = cases.make(given.seed + i, (cause,))
        got, took = answer(made)
        seconds.append(took)
        confusion[cause][got[0] if got else "nothing"] += 1
        if given.show and (not got or got[0] != cause):
            show("single", made, given.seed + i)
    right = sum(counted[cause] for cause, counted in confusion.items())
    print(f"single causes, right first: {rate(right, given.cases)}")
    both = 0
    for i in range(given.mixed):
        rng = np.random.default_rng(given.seed + i)
        while True:
            pair = tuple(rng.choice(cases.MIXED, 2, replace=False).tolist())
            if set(cases.CAUSES[pair[0]][1]) & set(cases.CAUSES[pair[1]][1]):
                break
        made = cases.make([given.seed + i, 1], pair)
        got, _ = answer(made)
        good = set(pair) <= set(got)
        both += good
        if given.show and not good:
            show("mixed", made, [given.seed + i, 1])
    print(f"two causes, both named: {rate(both, given.mixed)}")
    quiet = 0
    for i in range(given.controls):
        made = cases.make([given.seed + i, 2], ())
        got, _ = answer(made)
        quiet += not got
        if given.show and got:
            show("control", made, [given.seed + i, 2])
    print(f"healthy controls, nothing claimed: {rate(quiet, given.controls)}")
    if seconds:
        print(
            f"CPU seconds a feature of {cases.PAIRS:,} pairs: median {np.median(seconds):.2f}, worst {max(seconds):.2f}"
        )
    print("\n| cause | cases | right first | otherwise |\n|---|---|---|---|")
    for cause, counted in confusion.items():
        others = ", ".join(f"{name} {n}" for name, n in counted.most_common() if name != cause)
        print(f"| `{cause}` | {counted.total()} | {counted[cause]} | {others or '–'} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
