"""Card payments of a few hundred users: made from a seed, written as a producer writes them, fed as they arrive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

USERS = 240
PER_HOUR = 0.3
MERCHANTS = (
    "ACME Shop Payments", "acme payments shop", "Shop, Acme", "Grocer & Sons", "grocer and sons", "Payments ACME",
    "City Transit", "CITY TRANSIT AUTHORITY", "Book Barn", "shop acme payments #12",
)  # fmt: skip
COUNTRIES = ("DE", "FR", "PL", "NL", "AT")
NUMERIC = {"DE": "276", "FR": "250", "PL": "616", "NL": "528", "AT": "040"}
"""ISO 3166-1: numeric codes."""


@dataclass(frozen=True, slots=True)
class Events:
    """Payments in the order of time; times in seconds since 1970."""

    user: NDArray[np.int64]
    at: NDArray[np.float64]
    arrived: NDArray[np.float64]
    amount: NDArray[np.float64]
    merchant: NDArray[np.object_]
    country: NDArray[np.object_]

    def only(self, rows: NDArray[Any]) -> Events:
        """Return some of them."""
        return Events(*(getattr(self, name)[rows] for name in Events.__dataclass_fields__))


def make(
    seed: int, start: float, ticks: int, step: float, *, late_share: float, late_hours: tuple[float, float]
) -> Events:
    """Return the payments of ``ticks`` steps; a share of them arrives hours late."""
    rng = np.random.default_rng([seed, 11])
    pace = rng.gamma(2.0, PER_HOUR / 2, USERS) + 0.03
    counts = rng.poisson(pace * ticks * step / 3600)
    user = np.repeat(np.arange(USERS), counts)
    at = np.round(start + rng.uniform(0, ticks * step, len(user)), 3)
    typical = rng.lognormal(3.2, 0.6, USERS)
    amount = np.round(typical[user] * rng.lognormal(0, 0.7, len(user)), 2)
    home = rng.integers(0, len(COUNTRIES), USERS)
    away = rng.random(len(user)) < 0.15
    country = np.array(COUNTRIES, dtype=object)[np.where(away, rng.integers(0, len(COUNTRIES), len(user)), home[user])]
    merchant = np.array(MERCHANTS, dtype=object)[rng.integers(0, len(MERCHANTS), len(user))]
    late = rng.random(len(user)) < late_share
    arrived = at + np.where(late, rng.uniform(*late_hours, len(user)) * 3600, rng.uniform(0.05, 0.5, len(user)))
    order = np.argsort(at, kind="stable")
    return Events(user, at, arrived, amount, merchant, country).only(order)


def mirrored(events: Events, lacking: float, seed: int) -> Events:
    """Return the payments as another system keeps them: without some of them, net of fees."""
    rng = np.random.default_rng([seed, 13])
    kept = events.only(np.flatnonzero(rng.random(len(events.user)) >= lacking))
    return replace(kept, amount=np.round(kept.amount * rng.uniform(0.9, 1.0, len(kept.user)), 2))


def write(events: Events, directory: Path, changed_at: float | None, schema: str) -> None:
    """Write a file per day, as the producer does; from ``changed_at`` on with the columns of its new schema."""
    from sickbay.sources.tables import connection

    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.parquet"):
        old.unlink()
    day = np.floor(events.at / 86400)
    new = events.at >= changed_at if changed_at is not None else np.zeros(len(day), dtype=bool)
    con = connection()
    try:
        for k in np.unique(day * 2 + new).tolist():
            rows = np.flatnonzero(day * 2 + new == k)
            part = events.only(rows)
            amount, country = _columns(part, schema if bool(k % 2) else "")
            con.register("part", {
                "user_id": part.user, "at_time": part.at, "arrived_at": part.arrived,
                "merchant": part.merchant.astype(str), "amount": part.amount, "country": part.country.astype(str),
            })  # fmt: skip
            name = np.datetime64(int(k // 2), "D")
            con.execute(
                f"COPY (SELECT user_id, to_timestamp(at_time) AS ts, to_timestamp(arrived_at) AS arrived, {amount}, "
                f"merchant, {country} FROM part) TO '{directory}/{name}-{int(k % 2)}.parquet' (FORMAT PARQUET)"
            )
            con.unregister("part")
    finally:
        con.close()


def _columns(events: Events, schema: str) -> tuple[str, str]:
    """Return the SQL of the two columns that a new schema may change."""
    amount, country = "amount", "country"
    if schema == "cents":
        amount = "CAST(round(amount * 100) AS BIGINT) AS amount_cents"
    if schema == "codes":
        cases = " ".join(f"WHEN '{name}' THEN '{code}'" for name, code in NUMERIC.items())
        country = f"CAST(CASE country {cases} END AS INTEGER) AS country_number"
    return amount, country


def feed(
    events: Events, start: float, ticks: int, step: float, changed_at: float | None, schema: str
) -> list[list[list[Any]]]:
    """Return, per tick, the payments that arrive in it as serving reads them: by position, whatever the schema."""
    per_tick: list[list[list[Any]]] = [[] for _ in range(ticks)]
    slot = np.ceil((np.maximum(events.arrived - 1.0, events.at) - start) / step).astype(int) - 1
    for k in np.argsort(events.arrived, kind="stable").tolist():
        if not 0 <= slot[k] < ticks:
            continue
        amount, country = float(events.amount[k]), str(events.country[k])
        if changed_at is not None and events.at[k] >= changed_at:
            amount = round(amount * 100) if schema == "cents" else amount
            country = str(int(NUMERIC[country])) if schema == "codes" else country
        per_tick[slot[k]].append([int(events.user[k]), float(events.at[k]), amount, str(events.merchant[k]), country])
    return per_tick
