"""frouros' KS test per number column and chi-square per category, on two Parquet files."""

import sys

import pandas as pd
from frouros.detectors.data_drift import ChiSquareTest, KSTest

reference, current = (pd.read_parquet(path).dropna() for path in sys.argv[1:3])
for name in reference.columns:
    detector = ChiSquareTest() if name.startswith("k") else KSTest()
    detector.fit(X=reference[name].to_numpy())
    detector.compare(X=current[name].to_numpy())
