"""Writes a model for each region: ``python regions.py DIRECTORY MODELS MEGABYTES SEED``."""

import sys
from pathlib import Path

import joblib
import numpy as np


def main(place, models, megabytes, seed):
    """Write region-N.joblib: the model, with a table of its own."""
    model = joblib.load(place / "model.joblib")
    for region in range(models):
        rng = np.random.default_rng([seed, region])
        joblib.dump({"model": model, "table": rng.random(megabytes * 125_000)}, place / f"region-{region}.joblib")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
