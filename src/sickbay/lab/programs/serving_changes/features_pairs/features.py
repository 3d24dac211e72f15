"""Features of each event: hour, amount, merchant, distance, against the customer and every other event."""

import numpy as np
import settings

PASSES = settings.number("PASSES", 8)


def _alike(events, one):
    """Return how many events are near one in time and amount."""
    found = 0
    for _ in range(PASSES):
        for other in events:
            if abs(one[0] - other[0]) < 1.0 and abs(one[1] - other[1]) < 5.0 and one[2] != other[2]:
                found += 1
    return found / PASSES


def build(events, profile, history, rating):
    """Return one row of features per event."""
    table = np.asarray(events, dtype=np.float64).reshape(-1, 4)
    hour, amount, _, distance = table.T
    mean_amount, tenure, country = profile
    near = np.array([_alike(events, event) for event in events], dtype=np.float64)
    return np.column_stack([
        np.sin(hour / 24 * 2 * np.pi), np.cos(hour / 24 * 2 * np.pi), np.log1p(amount), amount / (mean_amount + 1),
        np.log1p(distance), near, np.full(len(table), tenure), np.full(len(table), country),
        np.full(len(table), history[0]), np.full(len(table), history[1]), np.full(len(table), rating),
        np.concatenate([[0.0], np.diff(hour)]),
    ])  # fmt: skip
