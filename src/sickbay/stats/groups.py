"""Groups of rows (versions, arms, statuses) over time, from one pass: rows, labelled rows, losses, latencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlglot import exp

from sickbay.stats import table as t
from sickbay.stats.table import Table

MOST_VALUES = 40


@dataclass(frozen=True, slots=True)
class Group:
    """One value of a role in one window; loss mean and its standard error are NaN without labels."""

    value: str
    rows: float
    share: float
    labelled: float
    loss: float
    error: float
    first: datetime | None
    last: datetime | None


def measure(window: Table, role: str) -> dict[str, Group]:
    """Return value → group for the (at most 40 most frequent) values of a role column in a window."""
    value = exp.column(role)
    columns = [exp.alias_(value, "v"), exp.alias_(exp.Count(this=exp.Star()), "n")]
    if t.TIME in window.roles:
        time = exp.column(t.TIME)
        columns += [exp.alias_(exp.Min(this=time), "first"), exp.alias_(exp.Max(this=time.copy()), "last")]
    if t.LOSS in window.roles:
        loss = exp.column(t.LOSS)
        square = exp.Mul(this=loss.copy(), expression=loss.copy())
        columns += [
            exp.alias_(exp.Count(this=loss), "k"),
            exp.alias_(exp.Sum(this=loss.copy()), "s"),
            exp.alias_(exp.Sum(this=square), "q"),
        ]
    select = (
        exp.select(*columns).from_(t.ROWS).group_by(value.copy()).order_by(exp.column("n").desc()).limit(MOST_VALUES)
    )
    raw = window.query(select)
    total = float(np.sum(raw["n"])) if len(raw["n"]) else 0.0
    result = {}
    for i, name in enumerate(raw["v"]):
        if name is None:
            continue
        result[str(name)] = _group(str(name), {key: values[i] for key, values in raw.items()}, total)
    return result


def _group(name: str, row: Mapping[str, object], total: float) -> Group:
    n = float(row["n"])  # type: ignore[arg-type]
    k = float(row.get("k") or 0)  # type: ignore[arg-type]
    loss = error = float("nan")
    if k > 0:
        loss = float(row["s"]) / k  # type: ignore[arg-type]
        variance = max(float(row["q"]) / k - loss**2, 0.25 / k)  # type: ignore[arg-type]
        error = float(np.sqrt(variance / k))
    return Group(
        name, n, n / total if total else 0.0, k, loss, error, _moment(row.get("first")), _moment(row.get("last"))
    )


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = np.datetime64(value, "us").item()  # type: ignore[call-overload]
    return moment if isinstance(moment, datetime) else None
