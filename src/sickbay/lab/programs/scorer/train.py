"""Trains a model: ``python train.py FILE MEGABYTES SEED``; the embedding makes its size."""

import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression


def main(file, megabytes, seed):
    """Write the model."""
    rng = np.random.default_rng(seed)
    merchants = rng.normal(size=1500).astype(np.float32)
    rows = np.column_stack([rng.choice(merchants, 2000), rng.gamma(1.0, 1.0, (2000, 3))])
    fraud = (rows[:, 0] + rows[:, 1] + rng.normal(size=2000) > 1.5).astype(int)
    embedding = rng.random((megabytes * 1_000_000 // 256, 64), dtype=np.float32)
    fitted = LogisticRegression(max_iter=200).fit(rows, fraud)
    joblib.dump({"embedding": embedding, "merchants": merchants, "classifier": fitted}, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
