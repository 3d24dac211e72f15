"""The model: loaded once, when the service starts."""

import time

import joblib
import numpy as np
import settings
import telemetry

AT_ONCE = settings.number("BATCH", 1)


def load():
    """Return the model, ready to score."""
    began = time.perf_counter()
    loaded = joblib.load(settings.MODEL)
    telemetry.LOADED.set(time.perf_counter() - began)
    return loaded


def score(loaded, rows):
    """Return the probability of fraud of each row."""
    parts = [loaded.predict_proba(rows[at : at + AT_ONCE])[:, 1] for at in range(0, len(rows), AT_ONCE)]
    return np.concatenate(parts)
