"""Feast: a feature view over a Parquet file, its values at the times of the events, the differing ones counted."""

import datetime
import os
import pathlib
import sys
import tempfile

os.environ["FEAST_USAGE"] = "False"  # it would call home

import pandas as pd
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.feature_store import FeatureStore
from feast.types import Float64

offline, online = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
with tempfile.TemporaryDirectory() as home:
    config = RepoConfig(
        project="as_of", provider="local", registry=f"{home}/registry.db", offline_store={"type": "dask"},
        online_store={"type": "sqlite", "path": f"{home}/online.db"}, entity_key_serialization_version=3,
    )  # fmt: skip
    store = FeatureStore(config=config)
    entity = Entity(name="id", join_keys=["id"], value_type=ValueType.INT64)
    source = FileSource(name="rows", path=str(offline), timestamp_field="ts")
    view = FeatureView(
        name="kept",
        entities=[entity],
        ttl=datetime.timedelta(0),
        schema=[Field(name="x", dtype=Float64)],
        source=source,
    )
    store.apply([entity, view])
    events = pd.read_parquet(online).rename(columns={"ts": "event_timestamp", "x": "x_online"})
    met = store.get_historical_features(entity_df=events, features=["kept:x"]).to_df()
    print(len(met), (met.x_online != met.x).sum())
