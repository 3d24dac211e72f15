"""Tables that statistics run on where they are: files through DuckDB, and other engines by address or session.

A relation renders the portable expressions (``stats``) in the dialect of its engine, runs them there, and brings back
aggregates only. One file per engine says how to connect and how its types are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sickbay.errors import TableError, nearest
from sickbay.references import resolve

if TYPE_CHECKING:
    from sqlglot import exp

Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["number", "category"]
Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Column names and rows of an answer."""

INTEGERS = ("int", "serial")
NUMBERS = ("float", "double", "real", "decimal", "numeric", "number", "long", "short", "byte")
TEXTS = ("char", "text", "string", "enum", "uuid", "name")
TIMES = ("date", "time", "interval")


@dataclass(slots=True)
class Relation:
    """One table of one engine. ``run`` takes SQL of ``dialect`` and gives names and rows, or columns as arrays."""

    says: str
    dialect: str
    source: exp.Expression
    """What stands behind FROM."""
    types: Mapping[str, str]
    """Column → the engine's own name of its type."""
    run: Callable[[str], Rows | dict[str, Array]]
    layout: Literal["columns", "rows"] = "rows"
    has_try_cast: bool = False
    shut: Callable[[], None] = lambda: None
    kinds: dict[str, Kind] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    """What was wrong with the table's files and did not stop the reading."""

    def __post_init__(self) -> None:
        whole = set()
        for name, engine_type in self.types.items():
            kind, is_whole = kind_of(engine_type)
            if kind is None:
                self.left_out[name] = f"a column of type {engine_type} has no distribution sickbay can bin"
                continue
            self.kinds[name] = kind
            if is_whole:
                whole.add(name)
        self.whole = frozenset(whole)

    def query(self, select: exp.Expression) -> dict[str, Array]:
        """Run a portable expression over ``rows``; column name → array, null as None or NaN."""
        return as_columns(self.run(self.render(select)))

    def render(self, select: exp.Expression) -> str:
        """Return the expression as SQL of this engine, reading from this table."""
        from sickbay.sources.dialects import render

        return render(select, self.dialect, self.source, self.types)

    def sample(self, columns: Sequence[str], rows: int, *, where: exp.Expression | None = None) -> dict[str, Array]:
        """Not offered: only aggregates leave the engine."""
        raise NotImplementedError

    def only(self, columns: Sequence[str]) -> list[str]:
        """Return these columns; TableError for one that is not there or has no distribution."""
        for name in columns:
            if name in self.left_out:
                raise TableError(f"{self.says}: {name!r}: {self.left_out[name]}", hint="name other columns")
            if name not in self.kinds:
                hint = nearest(name, self.kinds) or f"columns there: {', '.join(list(self.kinds)[:20])}"
                raise TableError(f"{self.says} has no column {name!r}", hint=hint)
        return list(columns)

    def close(self) -> None:
        """Give back the connection; may be called twice."""
        self.shut()


def kind_of(engine_type: str) -> tuple[Kind | None, bool]:
    """Return what an engine's type is (None: neither number nor category), and whether it holds integers alone."""
    plain = engine_type.lower()
    while plain.startswith(("nullable(", "lowcardinality(")):
        plain = plain.partition("(")[2].removesuffix(")")
    if plain.endswith("[]") or plain.startswith(("array", "map", "struct", "list", "tuple", "json", "row(")):
        return None, False
    if plain.startswith("bool"):
        return "category", False
    if any(plain.startswith(word) for word in TIMES):
        return None, False
    if any(word in plain for word in NUMBERS):
        return "number", plain in ("long", "short", "byte")
    if any(word in plain for word in INTEGERS):
        return "number", True
    if any(word in plain for word in TEXTS):
        return "category", False
    return None, False


def open_relation(table: Any, *, base: Path, key: str, environ: Mapping[str, str] | None = None) -> Relation:
    """Open a table by address (file, glob, directory, engine address) or an in-memory table or Spark DataFrame.

    Raises TableError naming ``key`` when the address cannot be used, SourceError when the engine cannot be reached.
    """
    if isinstance(table, Path):
        table = str(table)
    if isinstance(table, str):
        text = resolve(table, base, environ or {}, key=key).text
        scheme = text.partition("://")[0].lower() if "://" in text else ""
        if scheme in ("postgresql", "postgres"):
            from sickbay.sources.postgres_tables import open_postgres

            return open_postgres(text, key=key)
        if scheme in ("spark", "sc", "spark-local"):
            from sickbay.sources.spark_tables import open_spark_address

            return open_spark_address(text, key=key)
        if scheme == "chdb":
            from sickbay.sources.clickhouse_tables import open_chdb

            return open_chdb(text, base, key=key)
        if scheme and scheme != "file":
            raise TableError(
                f"{key}: {scheme}:// is not an engine sickbay runs on",
                hint="it runs on files, postgresql://, spark://, sc:// (Spark Connect) and chdb:// (ClickHouse)",
            )
        table = text.removeprefix("file://")
    elif type(table).__module__.startswith("pyspark."):
        from sickbay.sources.spark_tables import open_spark_frame

        return open_spark_frame(table)
    from sickbay.sources.duckdb_tables import open_duckdb

    return open_duckdb(table, base, key=key)


def as_columns(answer: Rows | dict[str, Array]) -> dict[str, Array]:
    """Return an engine's answer as columns: numbers as floats where none is missing, else objects with None."""
    if isinstance(answer, dict):
        return answer
    names, rows = answer
    return {name: _array([row[i] for row in rows]) for i, name in enumerate(names)}


def address_parts(text: str, *, key: str) -> tuple[str, str]:
    """Return an address before its # and the table named after it; TableError when none is named."""
    where, mark, name = text.partition("#")
    if not mark or not name.strip():
        from sickbay.redact import redact

        raise TableError(
            f"{key}: {redact(where)} names no table", hint="write the table after a #: …/database#schema.table"
        )
    return where, name.strip()


def _array(values: list[Any]) -> Array:
    if values and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.array(values, dtype=np.float64)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
