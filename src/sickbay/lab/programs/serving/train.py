"""Trains the model and writes the histories: ``python train.py DIRECTORY SEED TREES``."""

import os
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

CUSTOMERS = 400


def main(place, seed, trees):
    """Write model.joblib and history.bin."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3000, 12))
    fraud = (rows[:, 3] + rows[:, 5] + rng.normal(size=3000) > 1.2).astype(int)
    fitted = RandomForestClassifier(trees, max_depth=7, n_jobs=1, random_state=seed).fit(rows, fraud)
    joblib.dump(fitted, place / "model.joblib")
    with (place / "history.bin").open("wb") as file:
        for _ in range(CUSTOMERS // 50):
            file.write(rng.gamma(2.0, 30.0, size=50 * 32768).astype(np.float32).tobytes())
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
