"""Requests as a gateway or server logs them: JSON lines, or the combined format of nginx and its ingress."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sickbay.sources.logs import Line

COMBINED = re.compile(
    r'^\S+ \S+ \S+ \[[^\]]+\] "(?P<request>[^"]*)" (?P<status>\d{3}) \S+ "[^"]*" "[^"]*"'
    r"(?: (?P<length>\d+) (?P<seconds>[\d.]+) \[[^\]]*\] \[[^\]]*\] (?P<upstream>[\d.:\-]+))?"
)
"""nginx's combined format; with what ingress-nginx adds: length and time of the request, and who answered it."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "status": ("status", "status_code", "response_code"),
    "bytes": ("bytes", "request_length", "bytes_received", "request_size"),
    "seconds": ("request_time", "duration", "seconds"),
    "millis": ("ms", "duration_ms", "response_time_ms"),
    "upstream": ("upstream", "upstream_addr", "upstream_host", "pod"),
}
"""Names that JSON access logs of common gateways use."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered or failed; ``size`` in bytes and ``upstream`` where the log says them."""

    at: datetime
    status: int
    size: float | None
    upstream: str
    seconds: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the server is to blame."""
        return self.status >= 500


def requests(lines: Iterable[Line]) -> list[Request]:
    """Return the requests in the lines of a log, oldest first; lines of another kind are passed over."""
    found = [one for line in lines if line.at is not None and (one := _request(line.text, line.at)) is not None]
    return sorted(found, key=lambda one: one.at)


def _request(text: str, at: datetime) -> Request | None:
    if text.startswith("{"):
        try:
            given = json.loads(text)
        except ValueError:
            return None
        status = _number(given, "status") if isinstance(given, dict) else None
        if status is None:
            return None
        upstream = next((str(given[name]) for name in NAMES["upstream"] if given.get(name)), "")
        seconds, millis = _number(given, "seconds"), _number(given, "millis")
        took = seconds if seconds is not None else millis / 1000 if millis is not None else None
        return Request(at, int(status), _number(given, "bytes"), upstream, took)
    match = COMBINED.match(text)
    if match is None:
        return None
    size = float(match["length"]) if match["length"] else None
    took = float(match["seconds"]) if match["seconds"] else None
    return Request(at, int(match["status"]), size, match["upstream"] or "", took)


def _number(given: Mapping[str, Any], what: str) -> float | None:
    for name in NAMES[what]:
        value = given.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str) and value.replace(".", "", 1).isdigit():
            return float(value)
    return None
