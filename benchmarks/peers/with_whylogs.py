"""whylogs profiles of two Parquet files, and its drift scores of them."""

import sys

import pandas as pd
import whylogs
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

views = [whylogs.log(pd.read_parquet(path)).view() for path in sys.argv[1:3]]
calculate_drift_scores(target_view=views[1], reference_view=views[0], with_thresholds=True)
