"""The view over a raw table that everything reads: roles under fixed names, features cleaned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from sickbay.sources import roles
from sickbay.sources.tables import Opened, literal, quote

if TYPE_CHECKING:
    import duckdb

Kind = Literal["number", "category"]

WIDE, COPIED = 400, 20_000_000
"""From so many features on, a table of at most so many cells is copied into the engine instead of being a view."""
SLOW_WHEN_WIDE = "common_subexpressions,statistics_propagation,column_lifetime,unused_columns"
"""Optimizers of DuckDB that gain nothing on a plain copy: with 5,000 columns they took 13 of 15 seconds."""


def view(
    con: duckdb.DuckDBPyConnection,
    name: str,
    opened: Opened,
    columns: Mapping[str, str],
    kinds: Mapping[str, Kind],
    codes: roles.Codes,
) -> None:
    """Create the view that everything reads: roles under fixed names, features cleaned, NaN and infinity as null."""
    parts = [f"{sql} AS {role}" for role, sql in roles.expressions(con, opened, columns, codes).items()]
    for feature, kind in kinds.items():
        if feature not in opened.columns:
            parts.append(f"NULL::{'DOUBLE' if kind == 'number' else 'VARCHAR'} AS {quote(feature)}")
        elif kind == "number":
            value = f"TRY_CAST({quote(feature)} AS DOUBLE)"
            parts.append(f"CASE WHEN isfinite({value}) THEN {value} END AS {quote(feature)}")
        else:
            parts.append(f"CAST({quote(feature)} AS VARCHAR) AS {quote(feature)}")
    place = "coalesce(epoch_us(__time), 0)" if "__time" in columns else "0"
    inner = f"SELECT {', '.join(parts)}, __row FROM {quote(opened.view)}"
    loss = roles.loss_of(codes.task, {part.rpartition(" AS ")[2] for part in parts})
    select = f"SELECT *, {loss} AS __loss, {place} AS __place FROM ({inner})"
    if not _wide_and_small(con, opened, len(kinds)):
        con.execute(f"CREATE OR REPLACE VIEW {quote(name)} AS {select}")
        return
    con.execute(f"SET disabled_optimizers = {literal(SLOW_WHEN_WIDE)}")
    con.execute(f"CREATE OR REPLACE TABLE {quote(name)} AS {select}")
    con.execute("RESET disabled_optimizers")


def _wide_and_small(con: duckdb.DuckDBPyConnection, opened: Opened, features: int) -> bool:
    """Return whether to copy rather than look through: every query over a view plans every column of it anew."""
    if features < WIDE:
        return False
    rows = con.execute(f"SELECT count(*) FROM {quote(opened.view)}").fetchall()[0][0]
    return int(rows) * features <= COPIED
