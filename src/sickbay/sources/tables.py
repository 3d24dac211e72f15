"""Tables by address: a file, a glob, a directory partitioned by date, or an in-memory pandas, Polars or Arrow table.

Everything is read through an embedded DuckDB; only aggregates and bounded samples come out. Files that cannot be read
are set aside and named, never skipped in silence.
"""

from __future__ import annotations

import glob as globbing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sickbay.errors import SourceError, SourceGarbled, TableError

if TYPE_CHECKING:
    import duckdb

Array = np.ndarray[Any, np.dtype[Any]]

READERS = {
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".csv.gz": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
ADDRESSES = (
    "postgresql://",
    "postgres://",
    "spark://",
    "sc://",
    "mysql://",
    "clickhouse://",
    "trino://",
    "snowflake://",
)
MEMORY_LIMIT = "700MB"


@dataclass(slots=True)
class Opened:
    """A table that DuckDB can read as ``view``: its columns with DuckDB types, and what was wrong with its files."""

    view: str
    columns: dict[str, str]
    says: str
    files: tuple[str, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    """File name → why it was set aside."""
    types_differ: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → the different types that the files declare for it."""
    missing_in: dict[str, int] = field(default_factory=dict)
    """Column → number of files that do not have it."""
    partitions: tuple[str, ...] = ()
    """Columns that come from the directory names (``date=2026-01-05``), not from the rows."""

    def notes(self) -> tuple[str, ...]:
        """Return, in words, what was wrong with the files and did not stop the reading."""
        said = [f"{file} cannot be read and is left out: {why}" for file, why in list(self.unreadable.items())[:5]]
        for column, types in list(self.types_differ.items())[:5]:
            said.append(f"the files disagree on the type of {column!r}: {', '.join(types)}")
        for column, count in list(self.missing_in.items())[:5]:
            said.append(f"{count} of {len(self.files)} files have no column {column!r}")
        return tuple(said)


def connection(threads: int = 0) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB connection in UTC, bounded in memory, spilling to a temporary directory."""
    import duckdb

    spill = tempfile.gettempdir()
    con = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "temp_directory": spill})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET enable_progress_bar = false")
    if threads:
        con.execute(f"SET threads = {threads}")
    return con


def open_table(con: duckdb.DuckDBPyConnection, view: str, table: Any, base: Path, *, key: str) -> Opened:
    """Make ``table`` readable as the view ``view`` with a column ``__row`` (position within its file).

    Raises TableError (naming ``key`` of the site file) when there is nothing to read.
    """
    if isinstance(table, str | Path):
        text = str(table)
        if text.startswith(ADDRESSES):
            scheme = text.partition("://")[0]
            raise TableError(
                f"{key}: an investigation reads files and in-memory tables, not yet {scheme}:// addresses",
                hint="`sickbay watch` and `sickbay drift` run there; for this, export the table to Parquet",
            )
        return _open_files(con, view, text, base, key)
    return _open_object(con, view, table, key)


def peek(path: str | Path, rows: int = 2000) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    """Return column names, DuckDB types and the first rows of a file, glob or directory."""
    con = connection()
    try:
        opened = open_table(con, "peeked", path, Path.cwd(), key=str(path))
        names = [name for name in opened.columns if name != "__row" and name not in opened.partitions]
        wanted = ", ".join(quote(name) for name in names)
        return (
            names,
            [opened.columns[name] for name in names],
            con.execute(f"SELECT {wanted} FROM peeked LIMIT {int(rows)}").fetchall(),
        )
    finally:
        con.close()


def quote(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as a quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def find_files(address: str, base: Path, *, key: str) -> list[Path]:
    """Return the files an address means, sorted; TableError when there are none, with what was looked for."""
    path = Path(address).expanduser()
    full = path if path.is_absolute() else base / path
    if any(mark in address for mark in "*?["):
        files = [Path(found) for found in sorted(_expand(full)) if Path(found).is_file()]
        if not files:
            raise TableError(f"{key}: the glob {address!r} matches no file", hint=f"looked below {_anchor(full)}")
        return files
    if full.is_dir():
        files = sorted(f for f in full.rglob("*") if f.is_file() and _reader(f) and not _hidden(f, full))
        if not files:
            raise TableError(
                f"{key}: the directory {address} holds no Parquet, CSV or JSON file", hint=f"looked in {full}"
            )
        return files
    if not full.exists():
        raise TableError(f"{key}: there is no file {address}", hint=f"looked for {full}")
    return [full]


def _expand(pattern: Path) -> list[str]:
    return globbing.glob(str(pattern), recursive=True)  # noqa: PTH207 - absolute patterns, which Path.glob refuses


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.relative_to(root).parts)


def _anchor(full: Path) -> Path:
    parts = []
    for part in full.parts:
        if any(mark in part for mark in "*?["):
            break
        parts.append(part)
    return Path(*parts)


def _reader(file: Path) -> str:
    name = file.name.lower()
    return next((reader for ending, reader in READERS.items() if name.endswith(ending)), "")


def _open_files(con: duckdb.DuckDBPyConnection, view: str, address: str, base: Path, key: str) -> Opened:
    files = find_files(address, base, key=key)
    kinds = {_reader(file) for file in files}
    if "" in kinds:
        odd = next(file for file in files if not _reader(file))
        raise TableError(
            f"{key}: {odd.name} is of no kind sickbay reads", hint=f"endings it knows: {', '.join(READERS)}"
        )
    if len(kinds) > 1:
        raise TableError(f"{key}: {address} mixes files of different kinds", hint="name one kind with a glob")
    reader = kinds.pop()
    good, bad = _sort_out(con, reader, files)
    if not good:
        name, reason = next(iter(bad.items()))
        more = f" (and {len(bad) - 1} more files)" if len(bad) > 1 else ""
        raise TableError(
            f"{key}: {name} cannot be read: {reason}{more}", hint="write it again, or name files that can be read"
        )
    opened = _create_view(con, view, reader, good, address)
    opened.unreadable = bad
    if reader == "read_parquet" and len(good) > 1:
        _compare_schemas(con, good, opened)
    return opened


def _sort_out(con: duckdb.DuckDBPyConnection, reader: str, files: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    good = [file for file in files if file.stat().st_size > 0]
    bad = {file.name: "the file is empty (0 bytes)" for file in files if file.stat().st_size == 0}
    if good and _readable(con, reader, good) is None:
        return good, bad
    sound = []
    for file in good:
        reason = _readable(con, reader, [file])
        if reason is None:
            sound.append(file)
        else:
            bad[file.name] = reason
    return sound, bad


def _readable(con: duckdb.DuckDBPyConnection, reader: str, files: Sequence[Path]) -> str | None:
    import duckdb

    try:
        con.execute(f"DESCRIBE SELECT * FROM {_call(reader, files)}").fetchall()
    except duckdb.Error as error:
        return tidy(error)
    return None


def _call(reader: str, files: Sequence[Path], extra: str = "") -> str:
    names = "[" + ", ".join(literal(str(file)) for file in files) + "]"
    partitioned = ", hive_partitioning = true" if any("=" in part for part in files[0].parts) else ""
    return f"{reader}({names}, union_by_name = true{partitioned}{extra})"


def _create_view(con: duckdb.DuckDBPyConnection, view: str, reader: str, files: Sequence[Path], address: str) -> Opened:
    if reader == "read_parquet":
        call = _call(reader, files, ", file_row_number = true")
        select = f"SELECT * EXCLUDE (file_row_number), file_row_number AS __row FROM {call}"
        con.execute(f"CREATE OR REPLACE VIEW {quote(view)} AS {select}")
    else:  # text is parsed once, not once a query
        select = f"SELECT *, row_number() OVER () AS __row FROM {_call(reader, files)}"
        con.execute(f"CREATE OR REPLACE TABLE {quote(view)} AS {select}")
    return Opened(
        view=view,
        columns=columns_of(con, view),
        says=f"{address} ({len(files)} file{'s' if len(files) != 1 else ''})",
        files=tuple(file.name for file in files),
        partitions=tuple(sorted({part.partition("=")[0] for part in files[0].parts[:-1] if "=" in part})),
    )


def _compare_schemas(con: duckdb.DuckDBPyConnection, files: Sequence[Path], opened: Opened) -> None:
    names = "[" + ", ".join(literal(str(file)) for file in files) + "]"
    rows = con.execute(
        "SELECT name, list(DISTINCT coalesce(duckdb_type, type) ORDER BY coalesce(duckdb_type, type)), "
        f"count(DISTINCT file_name) FROM parquet_schema({names}) WHERE num_children IS NULL GROUP BY name"
    ).fetchall()
    for name, types, count in rows:
        if len(types) > 1:
            opened.types_differ[name] = tuple(types)
        if count < len(files):
            opened.missing_in[name] = len(files) - count


def _open_object(con: duckdb.DuckDBPyConnection, view: str, table: Any, key: str) -> Opened:
    import duckdb

    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
    raw = f"{view}_object"
    try:
        con.register(raw, table)
        _copy(con, view, quote(raw))
    except (duckdb.Error, TypeError) as error:
        if not hasattr(table, "write_parquet"):
            raise TableError(
                f"{key}: a {kind} cannot be read as a table: {tidy(error)}",
                hint="give a pandas, Polars or Arrow table, or the address of a file",
            ) from None
        # Polars without pyarrow: it writes Parquet by itself, and DuckDB reads that.
        with tempfile.TemporaryDirectory(prefix="sickbay-") as spool:
            file = Path(spool) / "table.parquet"
            table.write_parquet(file)
            _copy(con, view, f"read_parquet({literal(str(file))})")
    return Opened(view=view, columns=columns_of(con, view), says=f"in-memory {kind}")


def _copy(con: duckdb.DuckDBPyConnection, view: str, relation: str) -> None:
    """Copy a relation that only this connection sees into a table that every cursor sees."""
    con.execute(f"CREATE OR REPLACE TABLE {quote(view)} AS SELECT *, row_number() OVER () AS __row FROM {relation}")


def columns_of(con: duckdb.DuckDBPyConnection, view: str) -> dict[str, str]:
    """Return column → DuckDB type of a view, in order."""
    return {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM {quote(view)}").fetchall()}


def tidy(error: Exception) -> str:
    """Return the first line of a DuckDB error without its class prefix, at most 300 characters."""
    first = str(error).strip().partition("\n")[0]
    return first[:300] or type(error).__name__


def source_error(error: Exception, doing: str) -> SourceError:
    """Return a DuckDB failure as an error of sickbay: a file that broke while it was read is garbled."""
    return SourceGarbled(f"{doing}: {tidy(error)}")


def plain(values: Any) -> Array:
    """Return an array in which a null is NaN (numbers), NaT (times) or None (everything else)."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        data = np.asarray(values.data)
        if not mask.any():
            return data
        if data.dtype.kind in "iufb":
            return np.where(mask, np.nan, data.astype(np.float64))
        if data.dtype.kind == "M":
            out = data.copy()
            out[mask] = np.datetime64("NaT", "ns")  # cast to the column's own unit
            return out
        out = data.astype(object)
        out[mask] = None
        return out
    return np.asarray(values)
