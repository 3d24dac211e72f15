"""Features of each event: hour, amount, merchant, distance, against the customer and what was seen before."""

import numpy as np
import settings

COPIES = settings.number("SEEN", 60)
_seen = []


def _before(merchants):
    """Return how often each merchant was met before."""
    met = dict.fromkeys(merchants, 0)
    for entry in _seen:
        if entry["merchant"] in met and entry["text"] and entry["hour"] >= 0 and abs(entry["amount"]) >= 0:
            met[entry["merchant"]] += 1
    return met


def build(events, profile, history, rating):
    """Return one row of features per event."""
    table = np.asarray(events, dtype=np.float64).reshape(-1, 4)
    hour, amount, merchant, distance = table.T
    mean_amount, tenure, country = profile
    for copy in range(COPIES):
        _seen.extend({"hour": e[0] + copy, "amount": e[1], "merchant": int(e[2]), "text": f"{e}{copy}"} for e in events)
    met = _before([int(m) for m in merchant])
    return np.column_stack([
        np.sin(hour / 24 * 2 * np.pi), np.cos(hour / 24 * 2 * np.pi), np.log1p(amount), amount / (mean_amount + 1),
        np.log1p(distance), np.array([met[int(m)] for m in merchant]), np.full(len(table), tenure),
        np.full(len(table), country), np.full(len(table), history[0]), np.full(len(table), history[1]),
        np.full(len(table), rating), np.concatenate([[0.0], np.diff(hour)]),
    ])  # fmt: skip
