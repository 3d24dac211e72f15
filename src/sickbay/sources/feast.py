"""Feast: its registry file read without Feast, and its feature server over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled
from sickbay.registry import source
from sickbay.sources import feast_format, settings
from sickbay.sources.context import Check, Context
from sickbay.sources.feast_format import Registry, View
from sickbay.sources.replies import Http, Reply

LARGEST = 200_000_000


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
    """Reads a Feast registry file, and asks a Feast feature server.

    Rights: reading the registry file; at the server, READ_ONLINE. Feast itself is not imported. ``repository`` is the
    directory of feature_store.yaml (extra ``feast`` reads it); ``registry`` names the file itself.
    """

    def __init__(self, given: _Settings, registry: Path | None, project: str, now: datetime) -> None:
        self.registry_file, self.project, self.now = registry, project, now
        self.view_name = given.view
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
        registry, project = Path(given.registry) if given.registry else None, given.project
        if given.repository:
            found, named = _repository(context.site.base / given.repository)
            registry, project = registry or found, project or named
        if registry is not None:
            registry = context.site.base / registry
        return cls(given, registry, project, context.now)

    def registry(self) -> Registry:
        """Return the registry; SourceError when the file cannot be read, SourceGarbled for an unknown version."""
        if self.registry_file is None:
            raise SourceError("no data: [source.feast] names neither repository nor registry")
        try:
            if self.registry_file.stat().st_size > LARGEST:
                raise SourceGarbled(f"{self.registry_file} is larger than any registry")
            data = self.registry_file.read_bytes()
        except PermissionError:
            raise SourceForbidden(f"{self.registry_file} may not be read by this user") from None
        except OSError as error:
            raise SourceError(f"unreachable: {self.registry_file}: {error.strerror}") from None
        if data[:16] == b"SQLite format 3\0":
            raise SourceGarbled(f"{self.registry_file} is a SQL registry; this release reads registry files")
        if not data:
            raise SourceGarbled(f"{self.registry_file} is empty")
        return feast_format.registry(data)

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
        if self.registry_file is not None:
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


def _repository(place: Path) -> tuple[Path | None, str]:
    """Return the registry file and the project of a repository; SiteFileError when it cannot be understood."""
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
    named = document.get("registry", "data/registry.db")
    if isinstance(named, dict):
        kind, named = named.get("registry_type", "file"), named.get("path", "")
        if kind not in ("file", "local"):
            return None, str(document.get("project", ""))
    text = str(named)
    if "://" in text or not text:
        return None, str(document.get("project", ""))
    return place / text, str(document.get("project", ""))
