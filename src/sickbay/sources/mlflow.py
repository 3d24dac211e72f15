"""The MLflow tracking server over REST: health, version, searches, registry, artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit

from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context
from sickbay.sources.host import Process, processes
from sickbay.sources.replies import Http, Reply

API = "/api/2.0/mlflow"
SECONDS = 6.0


class _Settings(settings.Settings):
    url: str
    username: str = ""
    password: str = ""
    token: str = ""
    verify: bool = True
    process: str = ""


@source("mlflow")
class MLflow:
    """Reads an MLflow tracking server over its REST interface.

    Rights: none beyond reading experiments, models and artifacts. The MLflow client is not used: it repeats a failing
    call for minutes and drops the reason.
    """

    def __init__(self, given: _Settings, registered: str, now: datetime) -> None:
        self.registered, self.now = registered, now
        self.url = given.url.rstrip("/")
        login = (given.username, given.password) if given.username else None
        self._http = Http(given.url, login=login, token=given.token, verify=given.verify)
        self.process = given.process
        """A piece of the server's command line, where it runs on this host; else its port is looked for."""

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names an MLflow server."""
        return "mlflow" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is sent yet. SiteFileError for an address that is none."""
        given = settings.read(context, "mlflow", _Settings)
        settings.web_address(context, "mlflow.url", given.url, "http://mlflow:5000")
        model = context.site.model.get(context.model or "")
        return cls(given, model.registry.get("mlflow", "") if model else "", context.until or context.now)

    @property
    def host(self) -> str:
        """Host of the server."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the server."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def is_here(self) -> bool:
        """Whether it runs on this host, as far as its address tells."""
        return self.host in ("127.0.0.1", "localhost", "::1")

    def processes(self) -> list[Process]:
        """Return its processes on this host: those with ``process``, else with its port, in their command line."""
        return processes(self.process) if self.process else processes("mlflow", str(self.port))

    def health(self, seconds: float = 3.0) -> Reply:
        """Ask ``/health``: it says that the process answers, and nothing of database or store."""
        return self._http.ask("/health", seconds=seconds)

    def version(self, seconds: float = 3.0) -> Reply:
        """Ask ``/version``: it needs a worker thread, which ``/health`` does not."""
        return self._http.ask("/version", seconds=seconds)

    def search_experiments(self, seconds: float = SECONDS) -> Reply:
        """Search one experiment: reads the tracking database."""
        return self._http.ask(f"{API}/experiments/search", body={"max_results": 1}, seconds=seconds)

    def search_runs(self, seconds: float = SECONDS) -> Reply:
        """Search the newest run of the default experiment: reads the largest tables."""
        body = {"experiment_ids": ["0"], "max_results": 1}
        return self._http.ask(f"{API}/runs/search", body=body, seconds=seconds)

    def search_models(self, name: str = "", seconds: float = SECONDS) -> Reply:
        """Search registered models: reads the registry, which has a pool of connections of its own."""
        asked = "&filter=" + quote(f"name='{name}'") if name else ""
        return self._http.ask(f"{API}/registered-models/search?max_results=100{asked}", seconds=seconds)

    def search_versions(self, name: str, seconds: float = SECONDS) -> Reply:
        """Search the versions of a registered model, newest first."""
        asked = quote(f"name='{name}'")
        return self._http.ask(f"{API}/model-versions/search?filter={asked}&max_results=100", seconds=seconds)

    def aliases(self, name: str, seconds: float = SECONDS) -> dict[str, list[str]]:
        """Return version → aliases of a registered model; empty when the registry does not say."""
        reply = self._http.ask(f"{API}/registered-models/get?name={quote(name)}", seconds=seconds)
        body = reply.body if reply.ok else None
        model = body.get("registered_model") if isinstance(body, dict) else None
        found: dict[str, list[str]] = {}
        for entry in model.get("aliases", []) if isinstance(model, dict) else []:
            found.setdefault(str(entry.get("version")), []).append(str(entry.get("alias")))
        return found

    def artifact_root(self, name: str, version: str, seconds: float = SECONDS) -> str | None:
        """Return where the artifacts of a model version lie; None when there is no such version."""
        asked = f"name={quote(name)}&version={quote(version)}"
        reply = self._http.ask(f"{API}/model-versions/get-download-uri?{asked}", seconds=seconds)
        body = reply.body if reply.ok else None
        return str(body["artifact_uri"]) if isinstance(body, dict) and body.get("artifact_uri") else None

    def artifact(self, path: str, seconds: float = 60.0) -> bytes | str:
        """Return an artifact through the server, or why it did not come; at most a gigabyte."""
        return self._http.fetch(f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}", seconds=seconds)

    def list_artifacts(self, seconds: float = SECONDS) -> Reply:
        """List the root of the artifacts through the server: reads the store, not the database."""
        return self._http.ask("/api/2.0/mlflow-artifacts/artifacts?path=", seconds=seconds)

    def check(self) -> list[Check]:
        """Return what of it answers."""
        asked: list[tuple[str, Reply]] = [
            ("health", self.health()), ("experiments", self.search_experiments()), ("models", self.search_models()),
            ("artifacts", self.list_artifacts()),
        ]  # fmt: skip
        return [Check(f"mlflow {name}", reply.ok, reply.says) for name, reply in asked]

    def close(self) -> None:
        """Give back connections."""
        self._http.close()


def rows(reply: Reply, key: str) -> list[dict[str, Any]]:
    """Return a list of an answer; empty where it has none."""
    body = reply.body
    found = body.get(key) if isinstance(body, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
