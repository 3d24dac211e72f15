"""datacompy on pandas: two Parquet files compared by id, with its report."""

import sys

import datacompy
import pandas as pd

offline, online = (pd.read_parquet(path) for path in sys.argv[1:3])
compare = getattr(datacompy, "PandasCompare", None) or datacompy.Compare
print(compare(offline, online, join_columns="id", rel_tol=1e-9).report())
