"""The feature platform: Feast's registry, training's batch computation, the feature server, and the feature log.

One process, so that Feast is imported once. Takes a line of JSON, does it, answers with a line of JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

VIEW, PROJECT = "user_stats", "shop"
TYPES = {
    "txn_count_6h": "Int64", "spend_today": "Float64", "avg_amount": "Float64", "last_amount": "Float64",
    "last_country": "String", "merchant_match": "Float64", "hours_since_previous": "Float64",
}  # fmt: skip
BRAND = "ACME Payments, Shop"
BATCH = """
WITH t AS (SELECT user_id, epoch(ts) AS moment, amount, merchant, country, epoch(arrived) AS arrived,
                  CAST(ceil((epoch(ts) - $start) / $step) AS BIGINT) AS tick FROM events),
slots AS (SELECT DISTINCT user_id, tick, $start + tick * $step AS slot_end FROM t),
joined AS (SELECT s.user_id, s.tick, s.slot_end, t.moment, t.amount, t.merchant, t.country, t.arrived,
                  row_number() OVER (PARTITION BY s.user_id, s.tick ORDER BY t.moment DESC) AS k
           FROM slots s JOIN t ON t.user_id = s.user_id AND t.moment <= s.slot_end)
SELECT user_id, slot_end,
       count(*) FILTER (moment > slot_end - 6 * 3600) AS txn_count_6h,
       coalesce(sum(amount) FILTER (moment > epoch(date_trunc('day', to_timestamp(slot_end)))), 0.0) AS spend_today,
       avg(amount) FILTER (k <= 5) AS avg_amount,
       max(amount) FILTER (k = 1) AS last_amount,
       max(country) FILTER (k = 1) AS last_country,
       max(merchant) FILTER (k = 1) AS merchant,
       max(moment) FILTER (k = 1) AS last_at, max(moment) FILTER (k = 2) AS previous_at,
       greatest(slot_end, max(arrived) FILTER (k <= 5 OR moment > slot_end - 24 * 3600)) AS created
FROM joined GROUP BY user_id, tick, slot_end ORDER BY slot_end, user_id
"""
log = logging.getLogger("serving")


class Platform:
    """What the process holds: two Feast stores over one registry, and the rows served so far."""

    def __init__(self, directory: Path, reader: str, writer: str) -> None:
        self.directory, self.reader_at, self.writer_at = directory, reader, writer
        self.served: list[dict[str, Any]] = []
        self.cache: Any = None
        self.now = 0.0
        self.source = "offline/user_stats.parquet"
        lock = "\n".join(sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions()))
        (directory / "training").mkdir(exist_ok=True)
        (directory / "training" / "requirements.lock").write_text(lock + "\n", encoding="utf-8")
        self.writer = self._store("writer", writer)
        self.reader = self._store("feature_repo", reader)
        self._give_up_at_once()
        self.job: threading.Thread | None = None

    def _give_up_at_once(self) -> None:
        """Let a write fail when the store is out of reach: the client's own ten tries take seconds each time."""
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = self.writer._get_provider().online_store._get_client(self.writer.config.online_store)
        client.set_retry(Retry(NoBackoff(), 1))

    def _store(self, name: str, redis: str) -> Any:
        from feast import FeatureStore

        place = self.directory / name
        place.mkdir(exist_ok=True)
        registry = self.directory / "feature_repo" / "registry.db"
        (place / "feature_store.yaml").write_text(
            f"project: {PROJECT}\nprovider: local\nregistry:\n  path: {registry}\n  cache_ttl_seconds: 3600\n"
            f"entity_key_serialization_version: 3\n"
            f'online_store: {{type: redis, connection_string: "{redis}"}}\noffline_store: {{type: dask}}\n',
            encoding="utf-8",
        )
        return FeatureStore(str(place))

    def apply(self, source: str = "offline/user_stats.parquet", types: dict[str, str] | None = None) -> None:
        """Register the feature view over a table of values."""
        from feast import Entity, FeatureView, Field, FileSource, ValueType
        from feast import types as known

        self.source = source
        table = FileSource(
            name="user_stats_source", path=str(self.directory / source), timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )  # fmt: skip
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        fields = [Field(name=name, dtype=getattr(known, kind)) for name, kind in {**TYPES, **(types or {})}.items()]
        view = FeatureView(name=VIEW, entities=[user], ttl=timedelta(days=5), schema=fields, source=table)
        self.writer.apply([user, view])
        for store in (self.writer, self.reader):
            store.refresh_registry()

    def batch(self, start: float, step: float, events: str, target: str) -> int:
        """Compute every feature value of a table of events, as training does, and write it."""
        import duckdb
        import numpy as np
        import pandas as pd
        from rapidfuzz import fuzz

        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE VIEW raw AS SELECT * FROM read_parquet('{self.directory / events}', union_by_name = true)")
        columns = {row[0]: row[1] for row in con.execute("DESCRIBE raw").fetchall()}
        amount = "coalesce(amount, amount_cents / 100.0)" if "amount_cents" in columns else "amount"
        country = f"coalesce(country, {_named()})" if "country_number" in columns else "country"
        con.execute(f"CREATE VIEW events AS SELECT * REPLACE ({amount} AS amount, {country} AS country) FROM raw")
        table = con.execute(BATCH, {"start": start, "step": step}).df()
        at, before = (
            np.asarray(table[name].to_numpy(), dtype=np.float32) / 3600.0 for name in ("last_at", "previous_at")
        )
        table["hours_since_previous"] = (at - before).astype(np.float64)
        table["merchant_match"] = [float(fuzz.token_sort_ratio(name, BRAND)) for name in table["merchant"]]
        for name, seconds in (("event_timestamp", "slot_end"), ("created", "created")):
            table[name] = pd.to_datetime((table[seconds] * 1e6).round().astype("int64"), unit="us", utc=True)
        kept = table[["user_id", "event_timestamp", "created", *TYPES]]
        (self.directory / target).parent.mkdir(exist_ok=True)
        kept.to_parquet(self.directory / target, coerce_timestamps="us", index=False)
        return len(kept)

    def materialize(self, start: float, end: float) -> None:
        """Load the online store from the table of values: Feast's own job."""
        self.writer.materialize(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))

    def materialize_behind(self, start: float, end: float) -> None:
        """Start Feast's job, and do not wait for it."""
        self.job = threading.Thread(target=self.materialize, args=(start, end), daemon=True)
        self.job.start()

    def join_job(self) -> None:
        """Wait until the job that was started has ended."""
        if self.job is not None:
            self.job.join(60)

    def write(self, rows: list[dict[str, Any]]) -> bool:
        """Write feature rows with their ``event_timestamp`` (seconds) online; a store out of reach is logged."""
        import pandas as pd
        from redis.exceptions import RedisError

        if not rows:
            return True
        table = pd.DataFrame(rows)
        table["event_timestamp"] = pd.to_datetime((table["event_timestamp"] * 1e6).astype("int64"), unit="us", utc=True)
        table["created"] = table["event_timestamp"]
        table = table.astype({name: kind.lower() for name, kind in TYPES.items() if kind != "String"}, errors="ignore")
        try:
            self.writer.write_to_online_store(VIEW, table)
        except (RedisError, OSError) as error:
            log.error("writing %s features to the online store failed: %s: %s", len(rows), type(error).__name__, error)
            return False
        return True

    def serve(self, users: list[int], times: list[float], ttl: float = 0.0) -> None:
        """Serve features at these times, through the cache if there is one, and log what was served."""
        from cachetools import TTLCache

        if ttl and self.cache is None:
            self.cache = TTLCache(100_000, ttl, timer=lambda: self.now)
        found: dict[int, dict[str, Any]] = {}
        self.now = min(times)
        ask = [user for user in dict.fromkeys(users) if self.cache is None or user not in self.cache]
        if ask:
            refs = [f"{VIEW}:{name}" for name in TYPES]
            answer = self.reader.get_online_features(refs, [{"user_id": user} for user in ask])
            got = answer.to_dict(include_event_timestamps=True)
            for k, user in enumerate(ask):
                found[user] = {name: got[name][k] for name in TYPES} | {"stamp": got["avg_amount__ts"][k]}
                if self.cache is not None:
                    self.cache[user] = found[user]
        for user, at in zip(users, times, strict=True):
            row = found.get(user) or self.cache[user]
            self.served.append({"user_id": user, "served_at": at, **row})

    def finish(self, joined: str, shift: float) -> int:
        """Write the feature log, and the training set made for the same entities and times."""
        import pandas as pd

        table = pd.DataFrame(self.served)
        table["request_id"] = [f"r{k:06d}" for k in range(len(table))]
        for name in ("served_at", "stamp"):
            table[name] = pd.to_datetime((table[name] * 1e6).round().astype("int64"), unit="us", utc=True)
        table.loc[table["stamp"].dt.year < 2000, "stamp"] = pd.NaT
        table = table.rename(columns={"stamp": "feature_time"})
        (self.directory / "serving" / "log").mkdir(parents=True, exist_ok=True)
        table.to_parquet(self.directory / "serving" / "log" / "features.parquet", coerce_timestamps="us", index=False)
        wanted = table[["request_id", "user_id", "served_at"]].copy()
        wanted["event_timestamp"] = wanted["served_at"] + pd.Timedelta(seconds=shift)
        training = self._joined(wanted, joined).drop(columns=["event_timestamp"])
        training.to_parquet(self.directory / "training" / "training_set.parquet", coerce_timestamps="us", index=False)
        self.served, self.cache = [], None
        return len(table)

    def _joined(self, wanted: Any, how: str) -> Any:
        """Return the training set: Feast's point-in-time join, or one that takes each user's newest values."""
        import pandas as pd

        if how == "point-in-time":
            refs = [f"{VIEW}:{name}" for name in TYPES]
            return self.writer.get_historical_features(entity_df=wanted, features=refs).to_df()
        values = pd.read_parquet(self.directory / self.source).sort_values("event_timestamp")
        if how == "latest":
            return wanted.merge(values.groupby("user_id")[list(TYPES)].last().reset_index(), on="user_id", how="left")
        values = values.drop(columns=["created"])
        values["event_timestamp"] = values["event_timestamp"].astype("datetime64[ns, UTC]")
        wanted["event_timestamp"] = wanted["event_timestamp"].astype("datetime64[ns, UTC]")
        return pd.merge_asof(
            wanted.sort_values("event_timestamp"), values, on="event_timestamp", by="user_id", direction="forward"
        )

    def feature_server(self, port: int) -> None:
        """Start Feast's own feature server over the store that serving reads."""
        import uvicorn
        from feast.feature_server import get_app

        server = uvicorn.Server(uvicorn.Config(get_app(self.reader), host="127.0.0.1", port=port, log_level="warning"))
        threading.Thread(target=server.run, daemon=True).start()


def _named() -> str:
    """Return the SQL that names a country by its number (ISO 3166-1)."""
    numbers = {"DE": 276, "FR": 250, "PL": 616, "NL": 528, "AT": 40}
    cases = " ".join(f"WHEN {number} THEN '{name}'" for name, number in numbers.items())
    return f"CASE country_number {cases} END"


def main() -> None:
    """Answer one line after another until the input ends."""
    directory, reader, writer, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    answers = sys.stdout
    sys.stdout = sys.stderr  # Feast prints
    handler = logging.FileHandler(directory / "serving.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log.addHandler(handler)
    platform = Platform(directory, reader, writer)
    platform.apply()
    platform.feature_server(port)
    answers.write('"ready"\n')
    answers.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer: Any = getattr(platform, asked.pop("do"))(**asked)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
