"""NannyML's univariate drift calculator, default methods, one chunk, on two Parquet files."""

import sys

import nannyml
import pandas as pd

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference.columns), chunk_number=1)
calculator.fit(reference).calculate(current).to_df()
