"""Inputs of a replay: rows that were observed, and a strategy for rows like them, with the edges that break code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sickbay.errors import UserError
from sickbay.gate.answers import gone

Row = Mapping[str, Any]
READ = 5_000
"""Rows of a table that are looked at for ranges and levels."""


def rows_of(inputs: Any) -> list[Row]:
    """Return observed rows: dicts, a pandas, Polars or Arrow table; numbers and times as Python has them."""
    if hasattr(inputs, "to_dicts"):
        listed = inputs.to_dicts()
    elif hasattr(inputs, "to_pylist"):
        listed = inputs.to_pylist()
    elif hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):
        listed = [{str(k): v for k, v in row.items()} for row in inputs.to_dict("records")]
    else:
        listed = [dict(row) for row in inputs]
    return [{name: _plain(value) for name, value in row.items()} for row in listed]


def read_rows(table: str, base: Path) -> list[Row]:
    """Return the first rows of a table by address: file, glob, directory or ``postgresql://host/db#table``."""
    if "://" in table and not table.startswith("file://"):
        from sqlglot import exp

        from sickbay.sources.relations import open_relation

        relation = open_relation(table, base=base, key="--inputs")
        try:
            select = exp.select(*(exp.column(name, quoted=True) for name in relation.types)).from_("rows").limit(READ)
            found = relation.query(select)
        finally:
            relation.close()
        return rows_of([dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)])
    from sickbay.sources.tables import connection, open_table, quote

    con = connection(threads=1)
    try:
        opened = open_table(con, "inputs", table.removeprefix("file://"), base, key="--inputs")
        names = ", ".join(quote(name) for name in opened.columns if name != "__row")
        return rows_of(fetched(con.execute(f"SELECT {names} FROM inputs LIMIT {READ}")))
    finally:
        con.close()


def fetched(answer: Any) -> list[Row]:
    """Return DuckDB's answer as rows of Python values; its own way to do it needs pytz for times with a zone."""
    types = {column[0]: str(column[1]) for column in answer.description}
    columns = {}
    for name, values in answer.fetchnumpy().items():
        listed = values.tolist()  # None for what is masked
        if types[name] == "TIMESTAMP WITH TIME ZONE":
            listed = [None if v is None else v.replace(tzinfo=UTC) for v in listed]
        elif types[name] == "DATE":
            listed = [None if v is None else v.date() for v in listed]
        columns[name] = listed
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if hasattr(value, "tolist"):  # numpy
        value = value.tolist()
    if hasattr(value, "to_pydatetime"):  # pandas
        return None if gone(value) else value.to_pydatetime()
    return None if gone(value) and not isinstance(value, float) else value


def strategy(strategies: Any, rows: Sequence[Row]) -> Any:
    """Return a strategy for rows like those observed; UserError for a column of lists or structures."""
    names = list(rows[0])
    for name in names:
        if any(isinstance(row.get(name), list | dict) for row in rows):
            raise UserError(f"the column {name!r} holds lists or structures", hint="leave it out of the inputs")
    return strategies.fixed_dictionaries({name: _like(strategies, [row.get(name) for row in rows]) for name in names})


def _like(strategies: Any, values: Sequence[Any]) -> Any:
    """Return a strategy for values like those observed, and a little beyond."""
    known = [v for v in values if not gone(v)]
    made = _of_kind(strategies, known) if known else strategies.none()
    return strategies.one_of(made, strategies.none()) if len(known) < len(values) else made


def _of_kind(st: Any, known: Sequence[Any]) -> Any:
    one = known[0]
    if isinstance(one, bool):
        return st.booleans()
    if all(isinstance(v, int) for v in known):
        low, high = min(known), max(known)
        room = max(1, (high - low) // 2)
        return st.integers(low - room if low < 0 else max(0, low - room), high + room)
    if all(isinstance(v, int | float) for v in known):
        low, high = float(min(known)), float(max(known))
        room = max(1.0, (high - low) / 2)
        decimals = _decimals([float(v) for v in known])
        low = low - room if low < 0 else max(0.0, low - room)
        if decimals is None:
            return st.floats(low, high + room, allow_nan=False)
        scale = 10**decimals
        return st.integers(math.floor(low * scale), math.ceil((high + room) * scale)).map(lambda k: k / scale)
    if isinstance(one, datetime):
        return _moments(st, [v for v in known if isinstance(v, datetime)])
    if isinstance(one, date):
        return st.dates(min(known) - timedelta(days=3), max(known) + timedelta(days=3))
    if all(isinstance(v, str) for v in known):
        return _words(st, known)
    return st.sampled_from(list(known))


def _decimals(values: Sequence[float]) -> int | None:
    """Return the decimals that all values have at most, None for more than six."""
    return next((k for k in range(7) if all(math.isclose(v, round(v, k), rel_tol=1e-12) for v in values)), None)


def _moments(st: Any, known: Sequence[datetime]) -> Any:
    """Return instants around those observed, with midnights and what lies beside them."""
    zones = {v.tzinfo is not None for v in known}
    plain = [v.astimezone(UTC).replace(tzinfo=None) if v.tzinfo else v for v in known]
    low, high = min(plain) - timedelta(days=1), max(plain) + timedelta(days=1)
    anywhere = st.datetimes(low, high).map(lambda v: v.replace(microsecond=0))
    midnights = st.dates(low.date(), high.date()).map(lambda d: datetime(d.year, d.month, d.day))
    beside = st.tuples(midnights, st.integers(-180, 180)).map(lambda p: p[0] + timedelta(minutes=p[1]))
    made = st.one_of(midnights, beside, anywhere)
    return made.map(lambda v: v.replace(tzinfo=UTC)) if zones == {True} else made


def _words(st: Any, known: Sequence[str]) -> Any:
    """Return texts that were observed, in their own and in other spellings."""
    listed = sorted(set(known))[:200]
    spelt = [str.upper, str.lower, str.title, lambda v: f" {v}", lambda v: f"{v} "]
    return st.one_of(
        st.sampled_from(listed), st.tuples(st.sampled_from(listed), st.sampled_from(spelt)).map(lambda p: p[1](p[0]))
    )
