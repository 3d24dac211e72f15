"""Data sets as files, by partition: how fresh, how large, how many rows, which columns; on disk or in a bucket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceTimeout, UserError
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context
from sickbay.sources.s3 import S3

MOST = 5000
CHEAP_BYTES = 30_000_000
"""Size up to which a text file's rows are counted."""
READERS = {
    ".parquet": "read_parquet", ".csv": "read_csv_auto", ".tsv": "read_csv_auto", ".json": "read_json_auto",
    ".jsonl": "read_json_auto", ".ndjson": "read_json_auto",
}  # fmt: skip
LENGTH = re.compile(r"^(\d+(?:\.\d+)?)\s*([smhd])$")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class _Data(settings.Settings):
    path: str
    fresh_within: str = ""


class _Settings(settings.Settings):
    data: Mapping[str, _Data]


@dataclass(frozen=True, slots=True)
class File:
    """A file or object of a data set; ``name`` is its path below the data set's root."""

    name: str
    modified: datetime
    size: int
    path: Path | None


@dataclass(frozen=True, slots=True)
class Partition:
    """Files that belong together: those of one directory, or one file alone where there are no directories."""

    name: str
    modified: datetime
    size: int
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A named data set of the site; ``fresh_within`` is how old its newest file may be, None if it is not said."""

    name: str
    path: str
    fresh_within: timedelta | None


@source("files")
class Files:
    """Reads when data sets were last written and what they hold, without reading them through.

    ``[source.files] data = { training = { path = "data/training/*.parquet", fresh_within = "26h" } }``; the path is a
    file, a directory, a glob, or ``s3://bucket/prefix`` (with ``[source.s3]``). Rights: listing; reading one file of
    each data set for its columns.
    """

    def __init__(self, data: Mapping[str, DataSet], base: Path, store: S3 | None, now: datetime) -> None:
        self.data, self.now, self._base, self._store = data, now, base, store

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names data sets."""
        return "files" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; nothing is listed yet. SiteFileError for a length of time that is none."""
        given = settings.read(context, "files", _Settings)
        data = {}
        for name, entry in given.data.items():
            within = _length(entry.fresh_within)
            if entry.fresh_within and within is None:
                raise SiteFileError(
                    f"{context.site.file}: 'source.files.data.{name}.fresh_within' is no length of time: "
                    f"{entry.fresh_within!r}",
                    hint='for example "26h" or "90m"',
                )
            data[name] = DataSet(name, entry.path, within)
        remote = [entry.name for entry in data.values() if entry.path.startswith("s3://")]
        if remote and not S3.configured(context):
            raise SiteFileError(
                f"{context.site.file}: 'source.files.data.{remote[0]}' lies in a bucket, and there is no [source.s3]",
                hint="[source.s3] says endpoint and keys",
            )
        store = S3.connect(context) if remote else None
        return cls(data, context.site.base, store, context.until or context.now)

    def partitions(self, data: DataSet) -> list[Partition]:
        """Return the partitions of a data set, the newest first; SourceError when it cannot be listed."""
        files = self._objects(data) if data.path.startswith("s3://") else self._local(data)
        grouped: dict[str, list[File]] = {}
        for file in files:
            folder = file.name.rpartition("/")[0]
            grouped.setdefault(folder or file.name, []).append(file)
        found = [
            Partition(name, max(f.modified for f in group), sum(f.size for f in group), tuple(group))
            for name, group in grouped.items()
        ]
        return sorted(found, key=lambda part: (part.modified, part.name), reverse=True)

    def columns(self, part: Partition) -> dict[str, str] | None:
        """Return column → type of a partition's largest file; None where its kind is not known or it cannot be read."""
        file = max(part.files, key=lambda f: f.size)
        reader = READERS.get(_suffix(file.name))
        if reader is None or file.path is None or not file.size:
            return None
        rows = _sql(f"DESCRIBE SELECT * FROM {reader}({_quoted(file.path)})")
        return None if rows is None else {str(row[0]): str(row[1]) for row in rows}

    def rows(self, part: Partition) -> int | None:
        """Return the rows of a partition where counting is cheap: Parquet's footers, text of few megabytes."""
        total = 0
        for file in part.files[:50]:
            suffix = _suffix(file.name)
            reader = READERS.get(suffix)
            if reader is None or file.path is None or (suffix != ".parquet" and file.size > CHEAP_BYTES):
                return None
            found = _sql(f"SELECT count(*) FROM {reader}({_quoted(file.path)})") if file.size else [(0,)]
            if found is None:
                return None
            total += int(found[0][0])
        return total

    def check(self) -> list[Check]:
        """Return which data sets can be listed."""
        checks = []
        for name, data in self.data.items():
            try:
                found = self.partitions(data)
                newest = f", the newest of {found[0].modified:%Y-%m-%d %H:%M} UTC" if found else ""
                checks.append(Check(f"data {name}", bool(found), f"{len(found)} partitions{newest}"))
            except SourceError as error:
                checks.append(Check(f"data {name}", False, str(error)))
        return checks

    def close(self) -> None:
        """Give back connections."""
        if self._store is not None:
            self._store.close()

    def _local(self, data: DataSet) -> list[File]:
        path = self._base / data.path
        try:
            if any(mark in data.path for mark in "*?["):
                root = _root(path)
                found = list(root.glob(str(path.relative_to(root))))
                if not root.exists():
                    raise FileNotFoundError(2, "No such file or directory", str(root))
            elif path.is_dir():
                root, found = path, list(path.rglob("*"))
            else:
                path.stat()  # a file named alone has to be there
                root, found = path.parent, [path]
            files = [_file(one, root) for one in found if not one.name.startswith((".", "_"))]
        except PermissionError as error:
            raise SourceForbidden(f"forbidden: {error.filename} may not be read by this user") from None
        except OSError as error:
            raise SourceError(f"unreachable: {error.filename}: {error.strerror}") from None
        return sorted([f for f in files if f is not None], key=lambda f: f.modified)[-MOST:]

    def _objects(self, data: DataSet) -> list[File]:
        assert self._store is not None
        parts = urlsplit(data.path)
        prefix = parts.path.lstrip("/").partition("*")[0]
        tried, found = self._store.objects(parts.netloc, prefix, MOST)
        if tried.state in ("denied", "login"):
            raise SourceForbidden(f"forbidden: {data.path}: {tried.says}")
        if tried.state == "timed out":
            raise SourceTimeout(f"timed out: {data.path}: {tried.says}")
        if tried.state not in ("ok", "empty"):
            raise SourceError(f"unreachable: {data.path}: {tried.says}")
        return [File(o.key, o.modified.astimezone(UTC), o.size, None) for o in found if not o.key.endswith("/")]


def _file(path: Path, root: Path) -> File | None:
    try:
        given = path.stat()
    except FileNotFoundError:  # it went while the others were listed
        return None
    if not path.is_file():
        return None
    return File(path.relative_to(root).as_posix(), datetime.fromtimestamp(given.st_mtime, UTC), given.st_size, path)


def _root(path: Path) -> Path:
    """Return the part of a path before its first wildcard."""
    kept = []
    for part in path.parts:
        if any(mark in part for mark in "*?["):
            break
        kept.append(part)
    return Path(*kept)


def _suffix(name: str) -> str:
    return Path(name.removesuffix(".gz")).suffix.lower()


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _sql(statement: str) -> list[tuple[Any, ...]] | None:
    """Return the rows of a statement on files; None where the file is not what its name says."""
    import duckdb

    from sickbay.sources.tables import connection

    con = connection()
    try:
        return con.execute(statement).fetchall()
    except (duckdb.Error, UserError):
        return None
    finally:
        con.close()


def _length(text: str) -> timedelta | None:
    found = LENGTH.match(text.strip())
    return timedelta(seconds=float(found[1]) * UNITS[found[2]]) if found else None
