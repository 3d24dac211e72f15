"""The model: loaded once, when the service starts."""

import time

import joblib
import settings
import telemetry


def load():
    """Return the model, ready to score."""
    began = time.perf_counter()
    loaded = joblib.load(settings.MODEL)
    telemetry.LOADED.set(time.perf_counter() - began)
    return loaded


def score(loaded, rows):
    """Return the probability of fraud of each row."""
    return loaded.predict_proba(rows)[:, 1]
