"""Feast: its registry read without Feast, its online store in SQLite, and its feature server over HTTP."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sickbay.errors import SiteFileError, SourceError, SourceGarbled
from sickbay.registry import source
from sickbay.sources import feast_registry, settings
from sickbay.sources.context import Check, Context
from sickbay.sources.feast_format import Registry, View
from sickbay.sources.replies import Http, Reply

SAMPLED = 500


class _Settings(settings.Settings):
    repository: str = ""
    registry: str = ""
    project: str = ""
    view: str = ""
    server: str = ""
    token: str = ""
    verify: bool = True


@source("feast")
class Feast:
    """Reads a Feast registry and a SQLite online store, and asks a Feast feature server.

    Rights: reading the registry (a file, or SELECT in its database) and the SQLite file; at the server, READ_ONLINE.
    Feast itself is not imported. ``repository`` is the directory of feature_store.yaml (extra ``feast`` reads it);
    ``registry`` names the file itself, or an address such as ``postgresql://host/feast``.
    """

    def __init__(self, given: _Settings, registry: str, project: str, online: Path | None, now: datetime) -> None:
        self.registry_at, self.project, self.online, self.now = registry, project, online, now
        self.view_name = given.view
        self.kept_in = ""
        self._http = Http(given.server, token=given.token, verify=given.verify) if given.server else None

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a Feast repository, registry or server."""
        return "feast" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; SiteFileError when nothing to read is named, or the repository cannot be understood."""
        given = settings.read(context, "feast", _Settings)
        if not (given.repository or given.registry or given.server):
            raise SiteFileError(
                f"{context.site.file}: [source.feast] names nothing to read",
                hint='repository = "feature_repo", registry = "registry.db" or server = "http://host:6566"',
            )
        if given.server:
            settings.web_address(context, "feast.server", given.server, "http://feast:6566")
        registry, project, online = given.registry, given.project, None
        if registry and "://" not in registry:
            registry = str(context.site.base / registry)
        kind = ""
        if given.repository:
            found = feast_registry.repository(context.site.base / given.repository, context.environ)
            registry, project = registry or found.registry, project or found.project
            online, kind = found.online, found.kind
        made = cls(given, registry, project, online, context.now)
        made.kept_in = kind
        return made

    def registry(self) -> Registry:
        """Return the registry; SourceError when it cannot be read, SourceGarbled for an unknown version."""
        if not self.registry_at:
            if self.kept_in:
                raise SourceError(f"no data: the repository keeps its registry in {self.kept_in!r}, which is not read")
            raise SourceError("no data: [source.feast] names neither repository nor registry")
        return feast_registry.read(self.registry_at)

    @property
    def has_registry(self) -> bool:
        """Whether the site names a registry that can be read."""
        return bool(self.registry_at)

    def stamps(self, view: View, most: int = SAMPLED) -> dict[str, float]:
        """Return the times of a view's values in the SQLite online store: entity key → seconds since 1970.

        SourceError when there is none, or when it holds no table of the view.
        """
        if self.online is None:
            raise SourceError("no data: the repository's online store is no SQLite file, and the site names no Redis")
        table = f"{view.project}_{view.name}".replace('"', '""')
        try:
            with closing(feast_registry.read_only(self.online)) as con:
                sql = f'SELECT entity_key, max(event_ts) FROM "{table}" GROUP BY entity_key LIMIT {int(most)}'
                rows = con.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise SourceError(f"no data: {self.online} holds no table of the view {view.name}") from None
            raise SourceError(f"unreachable: {self.online}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise SourceGarbled(f"{self.online} cannot be read: {error}") from None
        if not all(isinstance(key, bytes) for key, _ in rows):
            raise SourceGarbled(f"{self.online} holds something else than Feast's keys in {table}")
        return {key.hex(): _seconds(at) for key, at in rows if at is not None}

    def view(self) -> View:
        """Return the view that the site names, or the only one; SourceError when there is none such."""
        views = [v for v in self.registry().views if self.project in ("", v.project)]
        named = [v for v in views if v.name == self.view_name] if self.view_name else views
        if len(named) != 1:
            known = ", ".join(v.name for v in views) or "none"
            what = f"no view {self.view_name!r}" if self.view_name else f"{len(views)} views"
            raise SourceError(f"no data: the registry has {what}; set view in [source.feast] to one of: {known}")
        return named[0]

    @property
    def has_server(self) -> bool:
        """Whether the site names a feature server."""
        return self._http is not None

    def health(self, seconds: float = 3.0) -> Reply:
        """Ask the feature server's ``/health``: it says that the registry can be read, and nothing of the store."""
        return self._server().ask("/health", seconds=seconds)

    def serve(
        self, entities: Mapping[str, Sequence[Any]], features: Sequence[str], *, view: str, seconds: float = 5.0
    ) -> Reply:
        """Ask the feature server for features of entities, as a model server would."""
        body = {"entities": {k: list(v) for k, v in entities.items()}, "features": [f"{view}:{n}" for n in features]}
        return self._server().ask("/get-online-features", body=body, seconds=seconds)

    def check(self) -> list[Check]:
        """Return what of it can be read."""
        checks = []
        if self.registry_at or self.kept_in:
            try:
                found = self.registry()
                checks.append(Check("feast registry", True, f"{len(found.views)} views"))
            except SourceError as error:
                checks.append(Check("feast registry", False, str(error)))
        if self._http is not None:
            reply = self.health()
            checks.append(Check("feast server", reply.ok, reply.says))
        return checks

    def close(self) -> None:
        """Give back connections."""
        if self._http is not None:
            self._http.close()

    def _server(self) -> Http:
        if self._http is None:
            raise SourceError("no data: [source.feast] names no server")
        return self._http


def _seconds(stored: int | float | str) -> float:
    """Return a stored time as seconds since 1970: Feast writes seconds, older releases text in UTC."""
    if isinstance(stored, int | float):
        return float(stored)
    try:
        at = datetime.fromisoformat(stored)
    except ValueError:
        raise SourceGarbled(f"a time in the online store is {stored[:40]!r}") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
