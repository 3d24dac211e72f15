"""The models of the regions: the one that is needed is loaded, and takes the place of another."""

import threading
import time
from pathlib import Path

import joblib
import settings
import telemetry

ROOM = settings.number("MODELS_KEPT", 1)
REGIONS = settings.number("REGIONS", 4)
_kept = {}
_lock = threading.Lock()


def load():
    """Return where the models lie; each is loaded when it is needed."""
    return Path(settings.MODEL).parent


def _region(place, region):
    """Return the model of a region, loaded unless it is there."""
    with _lock:
        if region not in _kept:
            while len(_kept) >= ROOM:
                _kept.pop(next(iter(_kept)))
            began = time.perf_counter()
            _kept[region] = joblib.load(place / f"region-{region}.joblib")
            telemetry.LOADED.set(time.perf_counter() - began)
        return _kept[region]


_turn = iter(range(10**12))


def score(place, rows):
    """Return the probability of fraud of each row."""
    loaded = _region(place, next(_turn) % REGIONS)
    return loaded["model"].predict_proba(rows)[:, 1]
