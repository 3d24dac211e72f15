"""Features of each event: hour, amount, merchant, distance, against the customer and the other events."""

import numpy as np


def build(events, profile, history, rating):
    """Return one row of features per event."""
    table = np.asarray(events, dtype=np.float64).reshape(-1, 4)
    hour, amount, merchant, distance = table.T
    mean_amount, tenure, country = profile
    _, where, counts = np.unique(merchant, return_inverse=True, return_counts=True)
    return np.column_stack([
        np.sin(hour / 24 * 2 * np.pi), np.cos(hour / 24 * 2 * np.pi), np.log1p(amount), amount / (mean_amount + 1),
        np.log1p(distance), counts[where], np.full(len(table), tenure), np.full(len(table), country),
        np.full(len(table), history[0]), np.full(len(table), history[1]), np.full(len(table), rating),
        np.concatenate([[0.0], np.diff(hour)]),
    ])  # fmt: skip
