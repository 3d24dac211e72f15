"""Traces: spans in OTLP's JSON (a document, or one a line as collectors write) or Jaeger's, from files or over HTTP."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context
from sickbay.sources.once import Once
from sickbay.sources.replies import Http

LARGEST = 4_000_000
"""Bytes read from the end of a file."""
MOST = 50_000
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


class _Settings(settings.Settings):
    files: tuple[str, ...] = ()
    url: str = ""
    service: str = ""
    token: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ``start`` in seconds since 1970, ``seconds`` long. ``parent`` is empty at the root."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    kind: str
    start: float
    seconds: float


@source("traces")
class Traces:
    """Reads spans: ``[source.traces] files = ["spans/*.jsonl"]``, or ``url`` of Jaeger's ``/api/traces?service=…``.

    Rights: reading the files, or the query interface. At most 4 MB of the end of each file, 50,000 spans in all.
    """

    def __init__(self, given: _Settings, base: Path) -> None:
        self._given, self._base, self.once = given, base, Once()
        self.service = given.service
        """The model server's name in its spans; empty where the site does not say."""

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names traces."""
        return "traces" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; SiteFileError when the site names neither files nor an address."""
        given = settings.read(context, "traces", _Settings)
        if not given.files and not given.url:
            raise SiteFileError(
                f"{context.site.file}: [source.traces] names neither files nor url", hint='files = ["spans/*.jsonl"]'
            )
        if given.url:
            settings.web_address(context, "traces.url", given.url, "http://jaeger:16686/api/traces?service=model")
        return cls(given, context.site.base)

    def spans(self) -> list[Span]:
        """Return the spans that there are, the latest 50,000; SourceError when none can be read."""
        found: list[Span] = []
        for pattern in self._given.files:
            files = sorted(self._base.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
            for file in files:
                found += read(_tail(file), str(file))
        if self._given.url:
            found += read(self._fetch(), self._given.url)
        if not found:
            raise SourceError("no data: there is no span in the files and addresses of [source.traces]")
        return sorted(found, key=lambda span: span.start)[-MOST:]

    def _fetch(self) -> str:
        parts = urlsplit(self._given.url)
        client = Http(f"{parts.scheme}://{parts.netloc}", token=self._given.token, verify=self._given.verify)
        try:
            reply = client.ask(f"{parts.path or '/api/traces'}?{parts.query}", seconds=6.0, what="the traces")
        finally:
            client.close()
        if reply.state == "timed out":
            raise SourceTimeout("the traces did not come in time")
        if reply.status in (401, 403):
            raise SourceForbidden(f"the traces want a login ({reply.status})")
        if not reply.ok:
            raise SourceError(f"unreachable: {reply.says}")
        if reply.cut:
            raise SourceGarbled("the traces are more than 2 MB: ask for fewer (limit=…)")
        return reply.text

    def check(self) -> list[Check]:
        """Return how many spans of how many services there are."""
        try:
            found = self.spans()
        except SourceError as error:
            return [Check("traces", False, str(error))]
        return [Check("traces", True, f"{len(found)} spans of {len({span.service for span in found})} services")]

    def close(self) -> None:
        """Nothing is kept open."""


def read(text: str, where: str) -> list[Span]:
    """Return the spans of a text in either format; SourceGarbled that names the place when it is neither."""
    text = text.strip()
    if not text:
        return []
    try:
        documents = [json.loads(text)]
    except ValueError:
        try:
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise SourceGarbled(f"{where} holds no spans in JSON: {error}") from None
    try:
        return [span for document in documents for span in _spans(document)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceGarbled(f"{where} holds spans that cannot be read: {type(error).__name__}: {error}") from None


def _spans(document: Mapping[str, Any]) -> Iterator[Span]:
    if "resourceSpans" in document:
        yield from _otlp(document["resourceSpans"])
    elif "data" in document:
        for trace in document["data"] or []:
            yield from _jaeger(trace)
    else:
        raise ValueError("neither resourceSpans (OTLP) nor data (Jaeger)")


def _otlp(resources: Iterable[Mapping[str, Any]]) -> Iterator[Span]:
    for resource in resources:
        attributes = resource.get("resource", {}).get("attributes", [])
        service = next((a["value"].get("stringValue", "") for a in attributes if a["key"] == "service.name"), "")
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                start, end = int(span["startTimeUnixNano"]) / 1e9, int(span["endTimeUnixNano"]) / 1e9
                kind = span.get("kind", 0)
                named = KINDS.get(kind, "") if isinstance(kind, int) else str(kind).rpartition("_")[2].lower()
                yield _span(
                    span["traceId"], span["spanId"], span.get("parentSpanId", ""), service, span.get("name", ""),
                    named, start, end - start,
                )  # fmt: skip


def _jaeger(trace: Mapping[str, Any]) -> Iterator[Span]:
    services = {name: process.get("serviceName", "") for name, process in trace.get("processes", {}).items()}
    for span in trace.get("spans", []):
        tags = {tag["key"]: tag.get("value") for tag in span.get("tags", [])}
        above = [r["spanID"] for r in span.get("references", []) if r.get("refType") == "CHILD_OF"]
        yield _span(
            span["traceID"], span["spanID"], above[0] if above else "", services.get(span.get("processID"), ""),
            span.get("operationName", ""), str(tags.get("span.kind", "")), span["startTime"] / 1e6,
            span["duration"] / 1e6,
        )  # fmt: skip


def _span(
    trace: str, own: str, parent: str, service: str, name: str, kind: str, start: float, seconds: float
) -> Span:  # fmt: skip
    if not math.isfinite(start) or not math.isfinite(seconds):
        raise ValueError(f"span {own} has no time")
    return Span(str(trace), str(own), str(parent or ""), str(service), str(name), kind, start, max(0.0, seconds))


def _tail(file: Path) -> str:
    """Return the end of a file from the beginning of a line on."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - LARGEST))
            text = opened.read().decode("utf-8", "replace")
    except PermissionError:
        raise SourceForbidden(f"{file} may not be read by this user") from None
    except OSError as error:
        raise SourceError(f"unreachable: {file}: {error.strerror}") from None
    return text.partition("\n")[2] if size > LARGEST else text
