"""Deepchecks' feature drift, defaults (it draws a sample of 10,000 rows), on two Parquet files."""

import sys

import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.checks import FeatureDrift

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
words = [name for name in reference.columns if name.startswith("k")]
sides = [Dataset(frame, cat_features=words) for frame in (reference, current)]
FeatureDrift(n_top_columns=len(reference.columns), min_samples=1).run(sides[0], sides[1]).reduce_output()
