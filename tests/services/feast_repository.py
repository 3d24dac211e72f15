"""Makes a real Feast repository: run by the lab's Feast environment, not by the tests' own interpreter.

    python feast_repository.py DIRECTORY file|sql

A view over 200 rows and four on-demand views, with a SQLite online store and a registry in a file or in SQLite; loaded
up to a day, and then printed as Feast serves it: one object of JSON.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

ROWS = 200
START = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 1.19
place, kind = Path(sys.argv[1]), sys.argv[2]
place.mkdir(parents=True, exist_ok=True)
registry = "registry: registry.db"
if kind == "sql":
    registry = f"registry: {{registry_type: sql, path: 'sqlite:///{place}/registry_sql.db'}}"
(place / "feature_store.yaml").write_text(
    f"project: shop\nprovider: local\n{registry}\nentity_key_serialization_version: 3\n"
    "online_store: {type: sqlite, path: online.db}\noffline_store: {type: dask}\n"
)
rng = np.random.default_rng(0)
table = pd.DataFrame({
    "user_id": np.arange(ROWS) % 50, "amount": np.round(rng.lognormal(3, 1, ROWS), 2),
    "count": rng.integers(0, 9, ROWS), "country": rng.choice(["DE", "FR"], ROWS),
})  # fmt: skip
table["event_timestamp"] = pd.Timestamp(START) + pd.to_timedelta(np.arange(ROWS), unit="h")
table["created"] = table["event_timestamp"]
table.to_parquet(place / "stats.parquet", coerce_timestamps="us", index=False)
source = FileSource(
    name="stats_source", path=str(place / "stats.parquet"), timestamp_field="event_timestamp",
    created_timestamp_column="created",
)  # fmt: skip
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
stats = FeatureView(
    name="stats", entities=[user], ttl=timedelta(days=50), source=source,
    schema=[Field(name="amount", dtype=Float64), Field(name="count", dtype=Int64), Field(name="country", dtype=String)],
)  # fmt: skip
order = RequestSource(name="order", schema=[Field(name="order_amount", dtype=Float64)])
share = [Field(name="share", dtype=Float64)]


@on_demand_feature_view(sources=[stats, order], schema=[*share, Field(name="gross", dtype=Float64)])
def of_frames(inputs: pd.DataFrame) -> pd.DataFrame:
    out = pd.DataFrame()
    out["share"] = inputs["order_amount"] / (inputs["amount"] + 1)
    out["gross"] = inputs["order_amount"] * 1.19
    return out


@on_demand_feature_view(sources=[stats, order], schema=share, mode="python")
def of_columns(inputs: dict) -> dict:
    return {"share": [o / (a + 1) for o, a in zip(inputs["order_amount"], inputs["amount"], strict=True)]}


@on_demand_feature_view(sources=[stats, order], schema=share, mode="python", singleton=True)
def of_one_row(inputs: dict) -> dict:
    return {"share": inputs["order_amount"] / (inputs["amount"] + 1)}


@on_demand_feature_view(sources=[stats, order], schema=share, mode="python")
def with_a_name_from_elsewhere(inputs: dict) -> dict:
    return {"share": [o * RATE for o in inputs["order_amount"]]}


store = FeatureStore(str(place))
store.apply([user, stats, of_frames, of_columns, of_one_row, with_a_name_from_elsewhere])
answers, sys.stdout = sys.stdout, sys.stderr  # Feast prints
store.materialize(START, START + timedelta(days=5))
served = store.get_online_features(
    ["stats:amount", "stats:count", "stats:country", "of_frames:share", "of_frames:gross"],
    [{"user_id": one, "order_amount": 10.0 * one} for one in (3, 7)],
).to_dict(include_event_timestamps=True)
answers.write(json.dumps(served))
