"""NannyML's univariate drift calculator, defaults, chunks of 500 rows: the end of every chunk that alerts.

Reads an .npz of streams (name → values, and "reference"); prints JSON: name → rows of the stream at each alert.
"""

import json
import sys

import nannyml
import numpy as np
import pandas as pd

given = np.load(sys.argv[1])
calculator = nannyml.UnivariateDriftCalculator(
    column_names=["x"], continuous_methods=["jensen_shannon"], chunk_size=500
)
calculator.fit(pd.DataFrame({"x": given["reference"]}))
alerts = {}
for name in given.files:
    if name != "reference":
        found = calculator.calculate(pd.DataFrame({"x": given[name]})).filter(period="analysis").to_df()
        flags = found[("x", "jensen_shannon", "alert")].to_numpy()
        alerts[name] = [int(end) + 1 for end in found[("chunk", "chunk", "end_index")].to_numpy()[flags]]
print(json.dumps(alerts))
