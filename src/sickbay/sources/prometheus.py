"""Prometheus: instant and range queries over its HTTP interface, and a service's own page of metrics read directly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context
from sickbay.sources.once import Once
from sickbay.sources.pod_metrics import Scrape, read
from sickbay.sources.replies import Http, Reply

SECONDS = 6.0
MOST_POINTS = 5_000
"""Points of a series that are asked for at most; Prometheus itself refuses more than 11,000."""


class Scaling(settings.Settings):
    """``[source.prometheus.scaling]``: queries whose history shows how throughput grows with concurrency.

    Each gives one series: requests a second, requests under way, replicas. ``resources`` and ``shared`` give the share
    (0…1) in use of what each replica has for itself, and of what all replicas share.
    """

    throughput: str
    concurrency: str
    replicas: str = ""
    resources: Mapping[str, str] = {}
    shared: Mapping[str, str] = {}
    hours: float = Field(default=24.0, gt=0, le=24 * 31)


class Graph(settings.Settings):
    """``[source.prometheus.graph]``: a query that gives a series of mean seconds per service, and who calls whom.

    ``calls`` are pairs of caller and callee; ``edges`` is a query whose series carry both as labels ``client`` and
    ``server``, as the service graphs of OpenTelemetry and Tempo do. ``service`` is the model server's name there.
    """

    latency: str
    label: str = "service"
    calls: tuple[tuple[str, str], ...] = ()
    edges: str = ""
    service: str = ""
    hours: float = Field(default=6.0, gt=0, le=24 * 31)
    recent_minutes: float = Field(default=10.0, gt=0, le=24 * 60)


class _Settings(settings.Settings):
    url: str = ""
    pages: Mapping[str, str] = {}
    username: str = ""
    password: str = ""
    token: str = ""
    verify: bool = True
    scaling: Scaling | None = None
    graph: Graph | None = None


class QueryRefused(SourceError):
    """Prometheus says that the query itself is wrong: its text, or what it joins."""


@dataclass(frozen=True, slots=True)
class Points:
    """One series of an answer: its labels, and (seconds since 1970, value) in order; NaN and infinite are left out."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The series of an answer, and the warnings that came with it: with one, part of the data may be missing."""

    series: tuple[Points, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """One or more queries over the same times: a row per series, NaN where it has no point."""

    times: NDArray[np.float64]
    rows: tuple[tuple[Mapping[str, str], NDArray[np.float64]], ...]
    warnings: tuple[str, ...] = ()


@source("prometheus")
class Prometheus:
    """Reads a Prometheus server, and pages of metrics of services: ``[source.prometheus] url``, ``pages``.

    Rights: reading queries, reading the pages. Nothing is written; admin interfaces are not asked.
    """

    def __init__(self, given: _Settings, file: str, baseline: Mapping[str, float], now: datetime) -> None:
        login = (given.username, given.password) if given.username else None
        self.baseline, self.pages, self.now = baseline, tuple(given.pages), now
        self.scaling, self.graph, self.once = given.scaling, given.graph, Once()
        self._file = file
        self._http = Http(given.url, login=login, token=given.token, verify=given.verify) if given.url else None
        self._pages: dict[str, tuple[Http, str]] = {}
        for name, address in given.pages.items():
            parts = urlsplit(address)
            path = (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else "")
            self._pages[name] = Http(f"{parts.scheme}://{parts.netloc}", verify=given.verify), path

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a Prometheus server or a page of metrics."""
        return "prometheus" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; SiteFileError when the site names neither a server nor a page, or what is no address."""
        given = settings.read(context, "prometheus", _Settings)
        if not given.url and not given.pages:
            raise SiteFileError(
                f"{context.site.file}: [source.prometheus] names neither url nor pages",
                hint='url = "http://prometheus:9090", or pages = { model = "http://host:8080/metrics" }',
            )
        if given.url:
            settings.web_address(context, "prometheus.url", given.url, "http://prometheus:9090")
        for name, address in given.pages.items():
            settings.web_address(context, f"prometheus.pages.{name}", address, "http://host:8080/metrics")
        return cls(given, context.site.file, read_baseline(context, "metrics"), context.until or context.now)

    def scrape(self, name: str, seconds: float = SECONDS) -> Scrape:
        """Read a page of metrics now; SourceError in the way in which it did not come."""
        client, path = self._pages[name]
        reply = client.ask(path, seconds=seconds, what=f"the metrics of {name}")
        _raise(reply)
        return read(reply)

    def instant(self, query: str, seconds: float = SECONDS) -> Answer:
        """Return the series of an instant query; SourceError in the way in which they did not come."""
        return self._query(f"/api/v1/query?query={quote(query)}", "vector", seconds)

    def range(self, query: str, start: datetime, end: datetime, step: float, seconds: float = SECONDS) -> Answer:
        """Return the series of a range query; ``step`` in seconds. ValueError when that is over 5,000 points."""
        if (end - start).total_seconds() / step > MOST_POINTS:
            raise ValueError(f"a range query of more than {MOST_POINTS} points")
        asked = f"query={quote(query)}&start={start.timestamp():.3f}&end={end.timestamp():.3f}&step={step:g}"
        return self._query(f"/api/v1/query_range?{asked}", "matrix", seconds)

    def history(self, key: str, query: str, hours: float, points: int) -> History:
        """Return a configured query over the last hours, at so many times that lie on whole steps.

        SourceError in the way in which it did not come; SiteFileError naming ``source.prometheus.KEY`` when Prometheus
        says that the query is wrong.
        """
        step = max(5.0, math.ceil(hours * 3600 / points))
        end = math.floor(self.now.timestamp() / step) * step
        count = max(2, math.floor(hours * 3600 / step))
        start = end - (count - 1) * step
        try:
            answer = self.range(query, _utc(start), _utc(end), step)
        except QueryRefused as error:
            raise SiteFileError(
                f"{self._file}: 'source.prometheus.{key}': {error}", hint="try the query in Prometheus' own page"
            ) from None
        times = np.asarray(start + step * np.arange(count), dtype=np.float64)
        rows = tuple((one.labels, _laid(one, start, step, count)) for one in answer.series)
        return History(times, rows, answer.warnings)

    def _query(self, path: str, kind: str, seconds: float) -> Answer:
        if self._http is None:
            raise SourceError("no data: [source.prometheus] names no url: there is no history to ask")
        reply = self._http.ask(f"{path}&timeout={seconds:g}s", seconds=seconds, what="the query")
        body = reply.body
        if reply.status not in (401, 403) and isinstance(body, dict) and body.get("status") == "error":
            raise _refusal(str(body.get("errorType")), " ".join(str(body.get("error")).split())[:200])
        _raise(reply)
        if reply.cut:
            raise SourceGarbled("the answer of Prometheus is over 2 MB: the query gives too many series")
        try:
            data = body["data"]
            if data["resultType"] != kind:
                raise ValueError(f"a {data['resultType']}, not a {kind}")
            warnings = tuple(str(one)[:200] for one in body.get("warnings") or ())
            return Answer(tuple(_points(entry) for entry in data["result"]), warnings)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise SourceGarbled(f"the answer of Prometheus cannot be read: {error}") from None

    def check(self) -> list[Check]:
        """Return what of it answers."""
        checks = []
        if self._http is not None:
            try:
                found = self.instant("up")
                warned = f"; it warns: {found.warnings[0]}" if found.warnings else ""
                checks.append(Check("prometheus query", True, f"{len(found.series)} targets{warned}"))
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


def _refusal(kind: str, said: str) -> SourceError:
    """Return the error that an ``errorType`` of Prometheus stands for."""
    if kind == "timeout" or "deadline exceeded" in said:  # the second: the time was up while it read its blocks
        return SourceTimeout(f"the query did not end in time: {said}")
    if kind in ("bad_data", "execution"):
        return QueryRefused(f"Prometheus refused the query: {said}")
    return SourceError(f"unreachable: Prometheus could not answer the query ({kind}): {said}")


def _points(entry: Any) -> Points:
    if "histograms" in entry or "histogram" in entry:
        raise ValueError("a native histogram, not numbers: histogram_sum, histogram_count or histogram_quantile of it")
    given = entry["values"] if "values" in entry else [entry["value"]]
    values = tuple((float(at), float(value)) for at, value in given)
    labels = {str(key): str(value) for key, value in entry["metric"].items()}
    return Points(labels, tuple(point for point in values if math.isfinite(point[1])))


def _laid(one: Points, start: float, step: float, count: int) -> NDArray[np.float64]:
    """Return the values at each step, NaN where there is none."""
    row = np.full(count, np.nan)
    for at, value in one.values:
        place = round((at - start) / step)
        if 0 <= place < count:
            row[place] = value
    return row


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
