"""A Feast registry where it is kept: a file, a SQLite file, or a PostgreSQL database; read without Feast.

Facts are those of Feast 0.67 (``infra/registry/sql.py``): one table per kind of thing, each row its message.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled
from sickbay.redact import remember
from sickbay.sources import feast_format
from sickbay.sources.feast_format import Registry

LARGEST = 200_000_000
SQLITE = b"SQLite format 3\0"
TABLES = {
    "entities": "entity_proto", "feature_views": "feature_view_proto", "stream_feature_views": "feature_view_proto",
    "on_demand_feature_views": "feature_view_proto",
}  # fmt: skip
MOST = 20_000
"""Things of one kind that a registry may hold."""
SECONDS = 5


@dataclass(frozen=True, slots=True)
class Repository:
    """What feature_store.yaml says. ``registry``: a file, or an address of a database. ``online``: a SQLite file."""

    project: str
    registry: str
    kind: str
    online: Path | None


def open_registry(place: Path, environ: Mapping[str, str] | None = None) -> Registry:
    """Return the registry of a repository's directory or in a file.

    SiteFileError when the repository cannot be understood, SourceError when the registry cannot be read.
    """
    if not place.is_dir():
        return read(str(place))
    found = repository(place, environ or {})
    if not found.registry:
        raise SourceError(f"no data: {place} keeps its registry in {found.kind!r}, which this release cannot read")
    return read(found.registry)


def repository(place: Path, environ: Mapping[str, str]) -> Repository:
    """Return what the repository's feature_store.yaml says; SiteFileError when it cannot be understood."""
    file = place / "feature_store.yaml"
    try:
        import yaml
    except ImportError:
        raise SiteFileError(
            "[source.feast] repository needs PyYAML", hint='pip install "sickbay[feast]", or name registry itself'
        ) from None
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SiteFileError(
            f"{file} cannot be read: {error.strerror}", hint="repository is the directory that holds it"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SiteFileError(f"{file} is not YAML", hint="Feast would not read it either") from None
    if not isinstance(document, dict):
        raise SiteFileError(f"{file} holds no settings", hint="Feast would not read it either")
    named, kind = document.get("registry", "data/registry.db"), "file"
    if isinstance(named, dict):
        kind, named = str(named.get("registry_type", "file")), named.get("path", "")
    text = re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda m: environ.get(m[1] or m[2], m[0]), str(named or ""))
    if kind in ("file", "local") and "://" in text:
        kind, text = text.partition("://")[0], ""
    elif kind in ("file", "local"):
        text = str(place / text) if text else ""
    elif kind == "sql":
        text = _beside(place, text)
    else:
        text = ""
    return Repository(str(document.get("project", "")), text, kind, _online(place, document.get("online_store")))


def _beside(place: Path, address: str) -> str:
    """Return the address of a SQL registry; a relative SQLite file is looked for in the repository, too."""
    if not address.startswith("sqlite:///"):
        return address
    file = Path(address.removeprefix("sqlite:///"))
    return "sqlite:///" + str(file if file.is_absolute() or file.exists() else place / file)


def _online(place: Path, store: Any) -> Path | None:
    """Return the file of a SQLite online store, Feast's own choice where nothing is said; None for another kind."""
    if store is None:
        return place / "data" / "online.db"
    if not isinstance(store, dict) or store.get("type", "sqlite") != "sqlite":
        return None
    return place / str(store.get("path") or "data/online.db")


def read(where: str) -> Registry:
    """Return the registry in a file or at an address; SourceError when it cannot be read, or is of another layout."""
    scheme = where.partition("://")[0] if "://" in where else ""
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        return _postgres(where)
    if scheme not in ("", "sqlite"):
        kept = scheme.partition("+")[0]
        raise SourceError(f"no data: a registry in {kept} is not read; files, SQLite and PostgreSQL are")
    file = Path(where.removeprefix("sqlite:///"))
    try:
        if file.stat().st_size > LARGEST:
            raise SourceGarbled(f"{file} is larger than any registry")
        data = file.read_bytes()
    except PermissionError:
        raise SourceForbidden(f"{file} may not be read by this user") from None
    except OSError as error:
        raise SourceError(f"unreachable: {file}: {error.strerror}") from None
    if not data:
        raise SourceGarbled(f"{file} is empty")
    return _sqlite(file) if data.startswith(SQLITE) else feast_format.registry(data)


def read_only(file: Path) -> sqlite3.Connection:
    """Return a connection that cannot write, and makes no file; SourceError when there is none."""
    if not file.is_file():
        raise SourceError(f"unreachable: {file}: there is no such file")
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=SECONDS)


def _sqlite(file: Path) -> Registry:
    try:
        with closing(read_only(file)) as con:
            return _rows(lambda sql: con.execute(sql).fetchall(), str(file))
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            raise SourceGarbled(f"{file} is no SQL registry of Feast 0.67: {error}") from None
        raise SourceError(f"unreachable: {file}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise SourceGarbled(f"{file} cannot be read: {error}") from None


def _postgres(address: str) -> Registry:
    try:
        import psycopg
    except ImportError:
        raise SourceError("no data: a registry in PostgreSQL needs the library psycopg (sickbay[postgres])") from None
    parts = urlsplit(address)
    if parts.password:
        remember(parts.password)
    named = f"PostgreSQL at {parts.hostname}"
    plain = "postgresql://" + address.partition("://")[2]
    try:
        with psycopg.connect(plain, connect_timeout=SECONDS, options="-c statement_timeout=10000") as con:
            con.read_only = True
            return _rows(lambda sql: con.execute(sql.encode()).fetchall(), named)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceForbidden(f"the registry in {named}: {error}".strip()) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise SourceGarbled(f"{named} holds no SQL registry of Feast 0.67: {_first(error)}") from None
    except psycopg.Error as error:
        raise SourceError(f"unreachable: {named}: {_first(error)}") from None


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _rows(query: Callable[[str], list[Any]], where: str) -> Registry:
    """Return a registry from its tables."""
    found: dict[str, list[tuple[bytes, str]]] = {}
    for table, column in TABLES.items():
        rows = query(f"SELECT {column}, project_id FROM {table} LIMIT {MOST}")
        if not all(isinstance(row[0], bytes | memoryview) for row in rows):
            raise SourceGarbled(f"the registry in {where} holds something else than messages in {table}")
        found[table] = [(bytes(row[0]), str(row[1])) for row in rows]
    views = found["feature_views"] + found["stream_feature_views"]
    when = query("SELECT max(last_updated_timestamp) FROM projects")
    if not when or not isinstance(when[0][0], int) or not 0 <= when[0][0] < 2**35:
        raise SourceGarbled(f"the registry in {where} holds no project")
    return Registry(
        datetime.fromtimestamp(int(when[0][0]), UTC),
        # the project stands in its column; the message lacks it
        tuple(replace(feast_format.view(one), project=project) for one, project in views),
        dict(feast_format.entity(one) for one, _ in found["entities"]),
        tuple(replace(feast_format.on_demand(one), project=p) for one, p in found["on_demand_feature_views"]),
    )
