"""Polars: two Parquet files joined by id, and the differing rows of every column counted."""

import sys

import polars as pl

offline, online = (pl.scan_parquet(path) for path in sys.argv[1:3])
names = [name for name in offline.collect_schema().names() if name != "id"]
joined = offline.join(online, on="id", suffix="_online")
counts = joined.select(*[(~pl.col(name).eq_missing(pl.col(f"{name}_online"))).sum().alias(name) for name in names])
print(counts.collect(engine="streaming"))
