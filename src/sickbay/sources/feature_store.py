"""Offline and online values of features by table address, with what is known besides: history, inputs, libraries."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from pydantic import Field
from sqlglot import exp

from sickbay.errors import SourceError, TableError
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context
from sickbay.sources.once import Once
from sickbay.sources.two_sides import TwoSides, open_two_sides

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")
ROWS = 300_000
"""Rows of one table fetched at most."""
ROLES = ("offline", "online", "history", "events")
PINNED = re.compile(r"^\s*([A-Za-z0-9._-]+)\s*==\s*([^\s;#]+)")


class _Settings(settings.Settings):
    offline: Any
    online: Any
    history: Any = None
    inputs: Any = None
    keys: tuple[str, ...] = Field(min_length=1)
    entity: tuple[str, ...] = ()
    time: str | None = None
    online_time: str | None = None
    history_time: str | None = None
    created: str | None = None
    stamp: str | None = None
    features: tuple[str, ...] | None = None
    tolerance: dict[str, float] = Field(default_factory=dict)
    libraries: dict[str, str] = Field(default_factory=dict)


@source("feature_store")
@dataclass(slots=True)
class FeatureStore:
    """Reads the values that training used and those that serving gave, where they are.

    Rights: reading the tables (SELECT). ``offline`` and ``online`` are files, globs, in-memory tables or addresses such
    as ``postgresql://host/db#schema.table``, all in one engine; ``history``: every value with the time from which it
    held; ``inputs``: what both sides compute from; ``libraries``: side → lock file or site-packages.
    """

    given: _Settings
    tables: TwoSides
    base: Path
    inputs_note: str = ""
    _once: Once = field(default_factory=Once)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a feature store."""
        return "feature_store" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Open the tables; TableError when one of them cannot be used, SourceError when an engine cannot be reached."""
        given = settings.read(context, "feature_store", _Settings)
        asked = {"offline": given.offline, "online": given.online, "history": given.history, "events": given.inputs}
        asked = {role: table for role, table in asked.items() if table is not None}
        keys = {role: f"source.feature_store.{'inputs' if role == 'events' else role}" for role in asked}
        tables = open_two_sides(asked, base=context.site.base, environ=context.environ, keys=keys)
        made = cls(given, tables, context.site.base)
        try:
            made._columns(context.site.file)
        except BaseException:
            tables.close()
            raise
        return made

    def _columns(self, file: str) -> None:
        wanted = {
            "offline": (*self.given.keys, self.given.time), "online": (*self.given.keys, self.given.stamp),
            "history": (self.given.history_time, self.given.created),
        }  # fmt: skip
        for role, names in wanted.items():
            for name in names:
                if role in self.tables.types and name is not None and name not in self.tables.types[role]:
                    known = ", ".join(list(self.tables.types[role])[:20])
                    raise TableError(
                        f"{file}: source.feature_store: {role} has no column {name!r}", hint=f"columns there: {known}"
                    )

    @property
    def entity(self) -> tuple[str, ...]:
        """Columns that name an entity: ``entity``, else ``keys``."""
        return self.given.entity or self.given.keys

    @property
    def online_time(self) -> str | None:
        """Column of the online side that says when a value was served."""
        return self.given.online_time or self.given.time

    def has(self, role: str) -> bool:
        """Return whether the site names this table."""
        return role in self.tables.types

    def fetch(self, role: str, columns: Sequence[str]) -> dict[str, Array]:
        """Return columns of a table, at most ``ROWS`` rows; times as seconds since 1970. SourceError when it fails."""
        types = self.tables.types[role]
        lacking = [name for name in columns if name not in types]
        if lacking:
            raise TableError(f"the table {role} has no column {lacking[0]!r}", hint=f"columns: {', '.join(types)}")
        made = [exp.alias_(_plain(name, types[name]), f"c{i}") for i, name in enumerate(columns)]
        with self._lock:
            raw = self.tables.query(exp.select(*made).from_(role).limit(ROWS))
        return {name: _seconds(raw[f"c{i}"]) for i, name in enumerate(columns)}

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """Return ``compute()``, done once; an error is remembered and raised to all who ask."""
        with self._lock:  # what is computed reads the tables, which are asked one query at a time
            return self._once.get(key, compute)

    def libraries(self, side: str) -> Mapping[str, str]:
        """Return library → version of a side, from its lock file or site-packages; SourceError if not there."""
        named = self.given.libraries.get(side)
        if named is None:
            raise SourceError(f"no data: [source.feature_store] libraries names no {side!r}")
        place = self.base / named
        if place.is_dir():
            found = [p.name.removesuffix(".dist-info").rpartition("-") for p in place.glob("*.dist-info")]
            listed = {name.replace("_", "-").lower(): version for name, _, version in found}
        else:
            try:
                lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError as error:
                raise SourceError(f"unreachable: {place}: {error.strerror}") from None
            pinned = [match for line in lines if (match := PINNED.match(line))]
            listed = {m[1].replace("_", "-").lower(): m[2] for m in pinned}
        if not listed:
            raise SourceError(f"no data: {place} names no library with its version")
        return listed

    def schemas(self) -> Mapping[str, str]:
        """Return what is odd in the schemas of the tables' files: note → the table it concerns."""
        return {note: note.partition(":")[0] for note in self.tables.notes}

    def check(self) -> list[Check]:
        """Return what was opened."""
        return [Check(f"features {role}", True, says) for role, says in self.tables.says.items()]

    def close(self) -> None:
        """Give back the engine."""
        with self._lock:
            self.tables.close()


def _plain(name: str, engine_type: str) -> exp.Expression:
    column = exp.column(name, quoted=True)
    return exp.cast(column, "timestamp") if "timestamp" in engine_type.lower() else column


def _seconds(values: Array) -> Array:
    """Return times as seconds since 1970 (NaN for none); anything else as it is."""
    if values.dtype.kind == "M":
        whole = values.astype("datetime64[us]")
        return np.where(np.isnat(whole), np.nan, whole.astype(np.int64) / 1e6)
    if values.dtype.kind == "O" and any(hasattr(v, "timestamp") for v in values[:50].tolist()):
        from datetime import UTC

        listed = [
            np.nan if v is None else (v if v.tzinfo else v.replace(tzinfo=UTC)).timestamp() for v in values.tolist()
        ]
        return np.array(listed, dtype=np.float64)
    return values
