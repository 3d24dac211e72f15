"""An ASGI middleware that logs predictions and changes nothing: every message goes through as it came."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from sickbay.monitor.tap import PredictionLogger

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
LARGEST = 64 * 1024


class Middleware:
    """Wraps an ASGI application (FastAPI, Starlette, …): ``app.add_middleware(Middleware, logger=logger)``.

    Requests to ``path`` with bodies up to ``largest`` bytes are logged: the JSON of the request as features, that of
    the response as prediction, latency and HTTP status. The bodies are parsed in the logger's thread. Larger or other
    bodies are logged with the reason in ``body``.
    """

    def __init__(self, app: App, logger: PredictionLogger, *, path: str = "/predict", largest: int = LARGEST) -> None:
        self.app, self.logger, self.path, self.largest = app, logger, path, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return
        request, response = _Body(self.largest), _Body(self.largest)
        status = 0
        began = time.perf_counter()

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                request.add(message.get("body", b""))
            return message

        async def said(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                response.add(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, heard, said)
        except BaseException:
            self._log(request, response, status or 500, began)
            raise
        self._log(request, response, status, began)

    def _log(self, request: _Body, response: _Body, status: int, began: float) -> None:
        latency = (time.perf_counter() - began) * 1e3
        self.logger.log(
            Exchange(request, response), None, latency_ms=latency, status="ok" if status < 400 else "error",
            status_code=status,
        )  # fmt: skip


class _Body:
    """The bytes of a body as they pass, up to a limit."""

    __slots__ = ("largest", "parts", "size")

    def __init__(self, largest: int) -> None:
        self.parts: list[bytes] = []
        self.size, self.largest = 0, largest

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= self.largest:
            self.parts.append(part)
        else:
            self.parts.clear()

    def parsed(self) -> tuple[Any, str]:
        """Return the JSON of the body and, if there is none, why."""
        if self.size > self.largest:
            return None, f"larger than {self.largest} bytes"
        if not self.size:
            return None, "empty"
        try:
            return json.loads(b"".join(self.parts)), ""
        except (UnicodeDecodeError, json.JSONDecodeError):
            return None, "not JSON"


class Exchange:
    """One request and its response; turned into columns in the logger's thread."""

    __slots__ = ("request", "response")

    def __init__(self, request: _Body, response: _Body) -> None:
        self.request, self.response = request, response

    def _asdict(self) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, body in (("request", self.request), ("response", self.response)):
            value, why = body.parsed()
            if isinstance(value, Mapping):
                row |= {str(key): part for key, part in value.items() if not isinstance(part, dict | list)}
            elif value is not None:
                row[name] = json.dumps(value)
            if why:
                row[f"{name}_body"] = why
        return row
