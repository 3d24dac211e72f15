"""Prometheus: instant and range queries over its HTTP interface, and a service's own page of metrics read directly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context
from sickbay.sources.pod_metrics import Scrape, read
from sickbay.sources.replies import Http, Reply

SECONDS = 6.0
MOST_POINTS = 5_000


class _Settings(settings.Settings):
    url: str = ""
    pages: Mapping[str, str] = {}
    username: str = ""
    password: str = ""
    token: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Points:
    """One series of an answer: its labels, and (seconds since 1970, value) in order; NaN is left out."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


@source("prometheus")
class Prometheus:
    """Reads a Prometheus server, and pages of metrics of services: ``[source.prometheus] url``, ``pages``.

    Rights: reading queries, reading the pages. Nothing is written; admin interfaces are not asked.
    """

    def __init__(self, given: _Settings, baseline: Mapping[str, float]) -> None:
        login = (given.username, given.password) if given.username else None
        self.baseline, self.pages = baseline, tuple(given.pages)
        self._http = Http(given.url, login=login, token=given.token, verify=given.verify) if given.url else None
        self._pages: dict[str, tuple[Http, str]] = {}
        for name, address in given.pages.items():
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise SiteFileError(
                    f"'source.prometheus.pages.{name}': {address!r} is no address", hint='"http://host:8080/metrics"'
                )
            self._pages[name] = Http(f"{parts.scheme}://{parts.netloc}", verify=given.verify), parts.path or "/metrics"

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a Prometheus server or a page of metrics."""
        return "prometheus" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; SiteFileError when the site names neither a server nor a page."""
        given = settings.read(context, "prometheus", _Settings)
        if not given.url and not given.pages:
            raise SiteFileError(
                f"{context.site.file}: [source.prometheus] names neither url nor pages",
                hint='url = "http://prometheus:9090", or pages = { model = "http://host:8080/metrics" }',
            )
        return cls(given, read_baseline(context, "metrics"))

    def scrape(self, name: str, seconds: float = SECONDS) -> Scrape:
        """Read a page of metrics now; SourceError in the way in which it did not come."""
        client, path = self._pages[name]
        reply = client.ask(path, seconds=seconds, what=f"the metrics of {name}")
        _raise(reply)
        return read(reply)

    def instant(self, query: str, seconds: float = SECONDS) -> list[Points]:
        """Return the series of an instant query."""
        return self._query(f"/api/v1/query?query={quote(query)}", "vector", seconds)

    def range(self, query: str, start: datetime, end: datetime, step: float, seconds: float = SECONDS) -> list[Points]:
        """Return the series of a range query; ``step`` in seconds. ValueError when that is over 5,000 points."""
        if (end - start).total_seconds() / step > MOST_POINTS:
            raise ValueError(f"a range query of more than {MOST_POINTS} points")
        asked = f"query={quote(query)}&start={start.timestamp():.3f}&end={end.timestamp():.3f}&step={step:g}"
        return self._query(f"/api/v1/query_range?{asked}", "matrix", seconds)

    def _query(self, path: str, kind: str, seconds: float) -> list[Points]:
        if self._http is None:
            raise SourceError("no data: [source.prometheus] names no url: there is no history to ask")
        reply = self._http.ask(path, seconds=seconds, what="the query")
        body = reply.body
        if isinstance(body, dict) and body.get("status") == "error":
            raise SourceError(f"unreachable: Prometheus refused the query: {str(body.get('error'))[:200]}")
        _raise(reply)
        try:
            data = body["data"]
            if data["resultType"] != kind:
                raise ValueError(f"a {data['resultType']}, not a {kind}")
            return [_points(entry) for entry in data["result"]]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise SourceGarbled(f"the answer of Prometheus cannot be read: {error}") from None

    def check(self) -> list[Check]:
        """Return what of it answers."""
        checks = []
        if self._http is not None:
            try:
                found = self.instant("up")
                checks.append(Check("prometheus query", True, f"{len(found)} targets"))
            except SourceError as error:
                checks.append(Check("prometheus query", False, str(error)))
        for name in self.pages:
            try:
                checks.append(Check(f"metrics of {name}", True, f"{len(self.scrape(name).samples)} names"))
            except SourceError as error:
                checks.append(Check(f"metrics of {name}", False, str(error)))
        return checks

    def close(self) -> None:
        """Give back connections."""
        for client, _ in self._pages.values():
            client.close()
        if self._http is not None:
            self._http.close()


def _raise(reply: Reply) -> None:
    if reply.state == "timed out":
        raise SourceTimeout(f"{reply.what} did not come in time")
    if reply.state != "answered":
        raise SourceError(f"unreachable: {reply.what}: {reply.state}")
    if reply.status in (401, 403):
        raise SourceForbidden(f"{reply.what}: a login is wanted ({reply.status})")
    if not reply.ok:
        raise SourceError(f"unreachable: {reply.what}: status {reply.status}")
    if reply.is_page:
        raise SourceGarbled(f"{reply.what}: a web page came")


def _points(entry: Any) -> Points:
    given = entry["values"] if "values" in entry else [entry["value"]]
    values = tuple((float(at), float(value)) for at, value in given)
    labels = {str(key): str(value) for key, value in entry["metric"].items()}
    return Points(labels, tuple(point for point in values if math.isfinite(point[1])))
