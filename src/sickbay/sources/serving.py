"""A model server from its clients' side: a few timed requests of chosen sizes, and its health check."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context
from sickbay.sources.replies import Http, Reply

SECONDS = 6.0
MOST_AT_ONCE = 8
LARGEST = 400
"""Most entries of the list that grows, whatever is asked."""


class _Settings(settings.Settings):
    url: str
    request: str = ""
    grows: str = ""
    health: str = ""
    token: str = ""
    verify: bool = True
    expected_ms: float | None = None


@source("serving")
class Serving:
    """Sends a handful of timed requests to a model server: ``[source.serving] url``, ``request``, ``health``.

    Rights: those of a client. ``request`` is a file with one JSON body that may be sent again and again without harm;
    ``grows`` names its list whose length is the size of a request. Without ``request`` only the health check is asked.
    """

    def __init__(
        self, given: _Settings, body: Mapping[str, Any] | None, baseline: Mapping[str, float], *, gentle: bool = False
    ) -> None:
        self.body, self.grows, self.baseline, self.gentle = body, given.grows, baseline, gentle
        self.expected = None if given.expected_ms is None else given.expected_ms / 1000
        self._predict, self._predict_path = _client(given.url, given)
        self._health = _client(given.health, given) if given.health else None

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a model server."""
        return "serving" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; SiteFileError when an address is none, or the request cannot be read or has no such list."""
        given = settings.read(context, "serving", _Settings)
        settings.web_address(context, "serving.url", given.url, "http://host:8080/predict")
        if given.health:
            settings.web_address(context, "serving.health", given.health, "http://host:8080/health")
        body = None
        if given.request:
            file = context.site.base / given.request
            try:
                body = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise SiteFileError(
                    f"{context.site.file}: 'source.serving.request': {file} is no JSON: {error}",
                    hint="it has to hold one body as a client would send it",
                ) from None
            if given.grows and not (isinstance(body, dict) and isinstance(body.get(given.grows), list)):
                raise SiteFileError(
                    f"{context.site.file}: 'source.serving.grows': {file} has no list {given.grows!r}",
                    hint="it names the list whose length is the size of a request",
                )
        return cls(given, body, read_baseline(context, "serving"), gentle=context.gentle)

    @property
    def size(self) -> int:
        """Length of the list that grows, in the request as it was given; 0 where there is none."""
        return len(self.body[self.grows]) if self.body and self.grows else 0

    def predict(self, *, scale: float = 1.0, seconds: float = SECONDS) -> Reply:
        """Send one request, its list ``scale`` times as long, and return what came of it."""
        body = dict(self.body or {})
        if self.grows and scale != 1.0:
            rows: Sequence[Any] = body[self.grows]
            count = min(LARGEST, max(1, round(len(rows) * scale)))
            body[self.grows] = [rows[k % len(rows)] for k in range(count)]
        return self._predict.ask(self._predict_path, body=body, seconds=seconds, what="a prediction")

    def together(self, count: int, *, seconds: float = SECONDS) -> list[Reply]:
        """Send so many requests at once, at most eight, and return what came of each."""
        count = min(count, MOST_AT_ONCE)
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.predict(seconds=seconds), range(count)))

    def health(self, seconds: float = 4.0) -> Reply | None:
        """Ask the health check; None where the site names none."""
        if self._health is None:
            return None
        client, path = self._health
        return client.ask(path, seconds=seconds, what="the health check")

    def check(self) -> list[Check]:
        """Return whether the health check and one prediction are answered."""
        checks = []
        health = self.health()
        if health is not None:
            checks.append(Check("serving health", health.ok, health.says))
        if self.body is None:
            checks.append(Check("serving request", False, "no request is given: predictions cannot be timed"))
        else:
            reply = self.predict()
            checks.append(Check("serving prediction", reply.ok, reply.says))
        return checks

    def close(self) -> None:
        """Give back connections."""
        self._predict.close()
        if self._health is not None:
            self._health[0].close()


def _client(url: str, given: _Settings) -> tuple[Http, str]:
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Http(f"{parts.scheme}://{parts.netloc}", token=given.token, verify=given.verify), path or "/"
