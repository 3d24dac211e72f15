"""What came of asking a server over HTTP: an answer, or how it stayed away. Nothing here raises for a sick server.

Every request has an end: connecting, waiting for a byte and the whole are limited, bodies are read to a bound,
redirections are not followed.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["answered", "refused", "timed out", "closed", "unresolved", "certificate", "unreachable"]
CONNECT_SECONDS, LARGEST = 3.0, 2_000_000
CONNECTING = "no connection came about"


@dataclass(frozen=True, slots=True)
class Reply:
    """One request and what came back. ``status`` is 0 unless something answered; ``detail`` is the client's error."""

    what: str
    state: State
    seconds: float
    status: int = 0
    text: str = ""
    media: str = ""
    location: str = ""
    detail: str = ""
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether it answered with a status from 200 to 299."""
        return self.state == "answered" and 200 <= self.status < 300

    @property
    def body(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.text) if self.text else None
        except ValueError:
            return None

    @property
    def message(self) -> str:
        """The ``message`` of a JSON error, else the beginning of the body, in one line."""
        body = self.body
        if isinstance(body, Mapping) and isinstance(body.get("message"), str):
            return " ".join(body["message"].partition("(Background on this error")[0].split())[:400]
        return "" if self.is_page else " ".join(self.text.split())[:300]

    @property
    def is_page(self) -> bool:
        """Whether it answered with a web page, where a program expects data."""
        return self.text.lstrip()[:1] == "<"

    @property
    def says(self) -> str:
        """What happened, in words."""
        if self.state != "answered":
            return f"{self.what}: {self.state} after {self.seconds:.1f} s"
        more = f" ({self.message})" if self.message and not self.ok else ""
        page = " with a web page" if self.is_page else ""
        return f"{self.what}: {self.status}{page} in {self.seconds:.2f} s{more}"


class Http:
    """A client of one server. ``login``: user and password; ``token``: a bearer token."""

    def __init__(self, url: str, *, login: tuple[str, str] | None = None, token: str = "", verify: bool = True) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        self._client = httpx.Client(auth=login, headers=headers, verify=verify, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Give back connections."""
        self._client.close()

    def ask(self, path: str, *, body: Mapping[str, Any] | None = None, seconds: float = 6.0, what: str = "") -> Reply:
        """Send a GET, or a POST where there is a body (searches that only read), and return what came of it."""
        import httpx

        began = time.monotonic()
        said = what or path.partition("?")[0]
        limits = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        method = "GET" if body is None else "POST"
        try:
            with self._client.stream(method, self.url + path, json=body, timeout=limits) as answer:
                text, cut = _read(answer, began + seconds)
                return Reply(
                    said, "answered", time.monotonic() - began, answer.status_code, text,
                    answer.headers.get("content-type", ""), answer.headers.get("location", ""), cut=cut,
                )  # fmt: skip
        except httpx.TimeoutException as error:
            stage = CONNECTING if isinstance(error, httpx.ConnectTimeout) else ""
            return Reply(said, "timed out", time.monotonic() - began, detail=stage)
        except httpx.HTTPError as error:
            return Reply(said, _state(error), time.monotonic() - began, detail=str(error)[:300])

    def fetch(self, path: str, *, seconds: float, most: int = 2**30) -> bytes | str:
        """Return the body of a GET as it came, or in words why it did not."""
        import httpx

        end = time.monotonic() + seconds
        try:
            with self._client.stream("GET", self.url + path, timeout=httpx.Timeout(seconds, connect=3.0)) as answer:
                if answer.status_code != 200:
                    return f"the server answered {answer.status_code}"
                parts, size = [], 0
                for part in answer.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > most or time.monotonic() > end:
                        return f"it is larger than {most} bytes, or took more than {seconds:.0f} s"
                return b"".join(parts)
        except httpx.HTTPError as error:
            return "it timed out" if isinstance(error, httpx.TimeoutException) else _state(error)


def _read(answer: Any, end: float) -> tuple[str, bool]:
    """Return the body, at most ``LARGEST`` bytes; one that drips past the end is a time-out."""
    import httpx

    parts, size = [], 0
    for part in answer.iter_bytes():
        parts.append(part)
        size += len(part)
        if time.monotonic() > end:
            raise httpx.ReadTimeout("the body did not end")
        if size > LARGEST:
            return b"".join(parts).decode("utf-8", "replace"), True
    return b"".join(parts).decode("utf-8", "replace"), False


def _state(error: Exception) -> State:
    """Return what a client error means; the reason stands somewhere in the chain of its causes."""
    import socket

    import httpx

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "certificate"
        if isinstance(cause, socket.gaierror):
            return "unresolved"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            return "closed"
        cause = cause.__cause__ or cause.__context__
    # hung up without an answer, or said what is none
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return "closed"
    return "unreachable"
