"""Two sides of features with every kind of nasty value, for the comparisons in one engine and across two."""

from __future__ import annotations

import numpy as np

from tests.services import nasty

ROWS = 3_000
FEATURES = ["plain", "single", "heavy", "zeros", "odd", "constant", "empty", "flag", "kind", 'a "name", really']


def table(side: int) -> list[list[object]]:
    """Return the nasty table with its whole column as a key that is unique, and some values changed online."""
    made = nasty.rows(1, ROWS)
    place = list(nasty.COLUMNS).index
    rng = np.random.default_rng(5)
    for i, row in enumerate(made):
        row[place("whole")] = i
        row[place("at")] = f"2026-01-{1 + i % 28:02d} 00:00:00"
        if side and rng.random() < 0.2:
            row[place("heavy")] = float(np.round(row[place("heavy")], 1))
            row[place("plain")] = None
            row[place("kind")] = "other"
            row[place("odd")] = 4.0
    return made[: ROWS - 50 * side]
