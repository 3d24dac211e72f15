"""pandas: each event with the last feature row at or before it, and the differing values counted."""

import sys

import pandas as pd

offline, online = (pd.read_parquet(path).sort_values("ts") for path in sys.argv[1:3])
met = pd.merge_asof(online, offline, on="ts", by="id", suffixes=("_online", ""))
print((met.x_online != met.x).sum())
