"""Ranks services by BARO's RobustScorer: ``python with_baro.py FILE``, an npz with ``before`` and ``now`` of cases."""

import json
import sys

import numpy as np
import pandas as pd
from baro.root_cause_analysis import robust_scorer

cases = np.load(sys.argv[1])
ranked = []
for k in range(len(cases["before"])):
    table = np.hstack([cases["before"][k], cases["now"][k]])
    columns = {f"s{i:02d}_latency": row * 1000 for i, row in enumerate(table)}
    data = pd.DataFrame({"time": range(table.shape[1])} | columns)
    ranks = robust_scorer(data, inject_time=cases["before"].shape[2])["ranks"]
    ranked.append([name.removesuffix("_latency") for name in ranks[:3]])
print(json.dumps(ranked))
