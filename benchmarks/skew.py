"""How often the skew explainer is right, on generated features whose reason is known.

    python benchmarks/skew.py [--seed 0] [--cases 600] [--mixed 200] [--controls 300] [--show] [--markdown]

Seeds of 1000 to 4999 were tuned on; others are for reports. ``--markdown`` prints the tables of docs/skew.md.
Owed: the right cause first in 0.92 of the single
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
from sickbay.stats.skew.interval import wilson


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
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("error")
    print(versions("sickbay", "numpy", "scipy"), file=sys.stderr)
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
    quiet = 0
    for i in range(given.controls):
        made = cases.make([given.seed + i, 2], ())
        got, _ = answer(made)
        quiet += not got
        if given.show and got:
            show("control", made, [given.seed + i, 2])
    last = given.seed + max(given.cases, given.mixed, given.controls) - 1
    lines = [
        ("one cause, right first", right, given.cases), ("two causes, both named", both, given.mixed),
        ("healthy, nothing claimed", quiet, given.controls),
    ]  # fmt: skip
    if given.markdown:
        print(f"| seeds {given.seed} to {last} | right | share | 95 % |\n|---|---|---|---|")
        for says, hits, n in lines:
            low, high = wilson(hits, n)
            print(f"| {says} | {hits} of {n} | {hits / max(n, 1):.3f} | {low:.3f}…{high:.3f} |")
    else:
        for says, hits, n in lines:
            print(f"{says}: {rate(hits, n)}")
    if seconds:
        print(
            f"CPU seconds a feature of {cases.PAIRS:,} pairs: median {np.median(seconds):.2f}, "
            f"worst {max(seconds):.2f}", file=sys.stderr,
        )  # fmt: skip
    print("\n" + table(confusion))
    return 0


def table(confusion: dict[str, Counter[str]]) -> str:
    """Return the confusion table, without its zeros: what was named for each cause, and for what each was named."""
    lines = ["| cause | cases | right first | named instead | named for another |", "|---|---|---|---|---|"]
    for cause, counted in confusion.items():
        instead = ", ".join(f"{name} {n}" for name, n in counted.most_common() if name != cause)
        taken = ", ".join(f"{other} {c[cause]}" for other, c in confusion.items() if other != cause and c[cause])
        lines.append(f"| `{cause}` | {counted.total()} | {counted[cause]} | {instead or '–'} | {taken or '–'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
