"""alibi-detect's TabularDrift (KS and chi-square), nulls filled as it takes none, on two Parquet files."""

import sys

import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
words = [name for name in reference.columns if name.startswith("k")]
for name in words:
    levels = {level: i for i, level in enumerate(sorted(set(reference[name].dropna()) | set(current[name].dropna())))}
    for frame in (reference, current):
        frame[name] = frame[name].map(levels).fillna(len(levels))
x, y = (frame.fillna(0).to_numpy(dtype=np.float32) for frame in (reference, current))
places = {list(reference.columns).index(name): None for name in words}
TabularDrift(x, categories_per_feature=places).predict(y, drift_type="feature")
