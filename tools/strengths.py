"""Prints what lab injections say about each link: for the `on`/`of` counts of a knowledge file.

    python tools/strengths.py model-degradation --cases 300 --seed 1003

Only tuning seeds (1000 and above) are allowed: the seeds below are for reports.
"""

from __future__ import annotations

import argparse
import sys

from sickbay.knowledge.loader import load
from sickbay.lab.bench import bench
from sickbay.lab.metrics import link_counts


def main() -> int:
    """Run the benchmark and print the counts per cause and finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1003)
    given = parser.parse_args()
    if given.seed < 1000:
        parser.error("seeds below 1000 are kept for reports")
    result = bench(
        given.scenario, cases=given.cases, seed=given.seed, on_case=lambda case: print(".", end="", file=sys.stderr)
    )
    counts = link_counts(result.cases)
    for cause in load().causes.values():
        seen = counts.get(cause.id, {})
        print(f"\n[{cause.id}]")
        for finding in sorted(set(cause.shows) | set(seen)):
            on, of = seen.get(finding, (0, 0))
            known = cause.shows.get(finding)
            told = f"{known.strength:.2f}" if known else "  - "
            if known or on > 0.1 * of:
                print(f"  {finding:34s} now {told}   on {on:3d} of {of:3d}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
