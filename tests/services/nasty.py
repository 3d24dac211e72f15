"""One nasty table for every engine: nulls, NaN, infinities, atoms, wide tails, odd names, booleans, many levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = {
    "plain": "DOUBLE", "single": "FLOAT", "whole": "BIGINT", "heavy": "DOUBLE", "zeros": "DOUBLE", "odd": "DOUBLE",
    "constant": "DOUBLE", "empty": "DOUBLE", "flag": "BOOLEAN", "kind": "VARCHAR", 'a "name", really': "DOUBLE",
    "many": "VARCHAR", "at": "TIMESTAMP",
}  # fmt: skip
"""Column → DuckDB type."""


def rows(seed: int, count: int, shift: float = 0.0) -> list[list[Any]]:
    """Return rows of the nasty table, the same for the same seed."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(shift, 1, count)
    heavy = rng.lognormal(0, 2.5, count)
    made = []
    for i in range(count):
        odd = (float("nan"), float("inf"), float("-inf"), 1e18, 3.5)[i % 5] if i % 4 == 0 else float(rng.integers(0, 9))
        made.append([
            None if i % 50 == 0 else float(normal[i]),
            float(np.float32(normal[i] * 0.1)),
            int(rng.integers(-3, 12)) if i % 7 else None,
            float(heavy[i]),
            0.0 if i % 3 else float(heavy[i]),
            odd if i % 11 else None,
            7.25,
            None,
            None if i % 13 == 0 else bool(i % 3 == 0),
            None if i % 17 == 0 else "it's" if i % 5 == 0 else f"k{int(rng.integers(0, 6 + 6 * (shift > 0)))}",
            -1e-3 * float(normal[i]) + 1.7e9,
            f"user {int(rng.integers(0, 5000))}",
            "2026-01-01 00:00:00",
        ])  # fmt: skip
    return made


def write_parquet(path: Path, table: list[list[Any]]) -> None:
    """Write the table as Parquet, with its types."""
    import duckdb

    con = duckdb.connect()
    con.execute(f"CREATE TABLE t ({', '.join(f'{_quote(n)} {t}' for n, t in COLUMNS.items())})")
    con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(COLUMNS))})", table)
    con.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    con.close()


def write_postgres(address: str, name: str, table: list[list[Any]]) -> None:
    """Create the table in PostgreSQL and copy the rows."""
    import psycopg

    types = {"DOUBLE": "float8", "FLOAT": "float4", "VARCHAR": "text"}
    columns = ", ".join(f"{_quote(n)} {types.get(t, t)}" for n, t in COLUMNS.items())
    with psycopg.connect(address) as con:
        con.execute(f"CREATE TABLE {name} ({columns})")
        with con.cursor().copy(f"COPY {name} FROM STDIN") as copy:
            for row in table:
                copy.write_row(row)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
