"""Writes a table of embeddings: ``python embeddings.py DIRECTORY MEGABYTES SEED``."""

import sys
from pathlib import Path

import numpy as np


def main(place, megabytes, seed):
    """Write embeddings.npy: rows of 128 numbers, a little at a time."""
    rows, rng = megabytes * 1_000_000 // 512, np.random.default_rng(seed)
    table = np.lib.format.open_memmap(place / "embeddings.npy", mode="w+", dtype=np.float32, shape=(rows, 128))
    for start in range(0, rows, 20_000):
        table[start : start + 20_000] = rng.random((min(20_000, rows - start), 128), dtype=np.float32)
    table.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
