"""Endpoints of other people that a pipeline calls: whether each answers, as a caller sees it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self
from urllib.parse import urlsplit

from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context
from sickbay.sources.replies import Http, Reply

SECONDS = 5.0


class _Endpoint(settings.Settings):
    url: str
    username: str = ""
    password: str = ""
    token: str = ""
    verify: bool = True


class _Settings(settings.Settings):
    endpoints: Mapping[str, str | _Endpoint]


@source("http")
class Endpoints:
    """Asks the HTTP endpoints of ``[source.http] endpoints = { orders = "https://…/health" }`` with one GET each.

    Rights: whatever the endpoint asks of a reader; name one that only reads. A table instead of an address may carry
    ``username``, ``password``, ``token`` and ``verify``. Redirections are not followed.
    """

    def __init__(self, endpoints: Mapping[str, _Endpoint]) -> None:
        self.endpoints = endpoints

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names endpoints."""
        return "http" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is sent yet. SiteFileError for an address that is none."""
        given = settings.read(context, "http", _Settings)
        found = {n: _Endpoint(url=e) if isinstance(e, str) else e for n, e in given.endpoints.items()}
        for name, endpoint in found.items():
            settings.web_address(context, f"http.endpoints.{name}", endpoint.url, "https://orders.example.com/health")
        return cls(found)

    def ask(self, seconds: float = SECONDS) -> dict[str, Reply]:
        """Ask every endpoint at once and return what came of each."""
        if not self.endpoints:
            return {}
        with ThreadPoolExecutor(min(16, len(self.endpoints))) as pool:
            asked = pool.map(lambda item: _ask(item[0], item[1], seconds), self.endpoints.items())
            return dict(zip(self.endpoints, asked, strict=True))

    def check(self) -> list[Check]:
        """Return which endpoints answer."""
        return [Check(f"http {name}", reply.ok, reply.says) for name, reply in self.ask().items()]

    def close(self) -> None:
        """Nothing is kept open."""


def _ask(name: str, endpoint: _Endpoint, seconds: float) -> Reply:
    parts = urlsplit(endpoint.url)
    login = (endpoint.username, endpoint.password) if endpoint.username else None
    client = Http(f"{parts.scheme}://{parts.netloc}", login=login, token=endpoint.token, verify=endpoint.verify)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return client.ask(path, seconds=seconds, what=name)
    finally:
        client.close()
