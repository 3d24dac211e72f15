"""Features of each event, from its description in words as well."""

import hashlib
import re

import numpy as np
import settings

WORDS = settings.number("WORDS", 400)


def _words(event):
    """Return a hashed bag of the words of an event's description."""
    bag = [0.0] * 16
    text = f"payment of {event[1]:.2f} at merchant {event[2]} after {event[3]} km at {event[0]} "
    for place in range(WORDS):
        for word in re.findall(r"[a-z0-9.]+", f"{text}{place}"):
            bag[hashlib.md5(word.encode()).digest()[0] % 16] += 1.0
    return bag


def build(events, profile, history, rating):
    """Return one row of features per event."""
    table = np.asarray(events, dtype=np.float64).reshape(-1, 4)
    hour, amount, _, distance = table.T
    mean_amount, tenure, country = profile
    words = np.array([_words(event)[:1] for event in events])
    return np.column_stack([
        np.sin(hour / 24 * 2 * np.pi), np.cos(hour / 24 * 2 * np.pi), np.log1p(amount), amount / (mean_amount + 1),
        np.log1p(distance), words[:, 0], np.full(len(table), tenure), np.full(len(table), country),
        np.full(len(table), history[0]), np.full(len(table), history[1]), np.full(len(table), rating),
        np.concatenate([[0.0], np.diff(hour)]),
    ])  # fmt: skip
