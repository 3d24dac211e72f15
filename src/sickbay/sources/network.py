"""The way to what a service depends on: resolving, connecting, TLS, and one small question and its answer."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Self
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context

PORTS = {"http": 80, "https": 443, "postgresql": 5432, "redis": 6379, "tcp": 0}
SECONDS = 4.0
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's question whether it speaks TLS: answered with one byte, before any login."""


class _Settings(settings.Settings):
    targets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trip:
    """One way there and back; seconds of each part, NaN where it was not come to. ``failed`` says what went wrong."""

    target: str
    resolve: float
    connect: float
    tls: float
    answer: float
    failed: str = ""

    @property
    def seconds(self) -> float:
        """The longest of the single trips: each of them is one way there and back, plus what the peer needs."""
        return max([part for part in (self.connect, self.answer) if part == part], default=float("nan"))


@source("network")
class Network:
    """Times the way to the dependencies of a service, from here: ``[source.network.targets]``.

    Rights: connecting. One connection each, one small question that needs no login: GET for http and https, the
    question for TLS for postgresql, PING for redis, none for tcp. Run it where the service runs.
    """

    def __init__(self, targets: Mapping[str, str], baseline: Mapping[str, float]) -> None:
        self.targets, self.baseline = targets, baseline

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names targets."""
        return "network" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a prober; SiteFileError for an address that it cannot ask."""
        given = settings.read(context, "network", _Settings)
        for name, address in given.targets.items():
            parts = urlsplit(address)
            if parts.scheme not in PORTS or not parts.hostname or not (parts.port or PORTS[parts.scheme]):
                raise SiteFileError(
                    f"{context.site.file}: 'source.network.targets.{name}': {address!r} cannot be asked",
                    hint=f"an address of {', '.join(PORTS)}: tcp://host:port for what speaks something else",
                )
        return cls(given.targets, read_baseline(context, "network"))

    def trip(self, name: str, seconds: float = SECONDS) -> Trip:
        """Go to a target and back once; nothing raises for a target that is away."""
        parts = urlsplit(self.targets[name])
        host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
        marks = [time.monotonic()]
        nan = float("nan")
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            marks.append(time.monotonic())
            with socket.socket(family, kind, protocol) as line:
                line.settimeout(seconds)
                line.connect(address)
                marks.append(time.monotonic())
                wire: socket.socket = line
                if parts.scheme == "https":
                    given = ssl.create_default_context()
                    given.check_hostname, given.verify_mode = False, ssl.CERT_NONE  # only the time is asked for
                    wire = given.wrap_socket(line, server_hostname=host)
                marks.append(time.monotonic())
                asked = _ask(wire, parts.scheme, parts.path or "/", host)
                marks.append(time.monotonic())
        except OSError as error:
            parts_of_it = [b - a for a, b in pairwise(marks)] + [nan] * 4
            return Trip(name, parts_of_it[0], parts_of_it[1], parts_of_it[2], parts_of_it[3], _words(error))
        resolve, connect, tls, answer = (b - a for a, b in pairwise(marks))
        return Trip(name, resolve, connect, tls if parts.scheme == "https" else nan, answer if asked else nan)

    def check(self) -> list[Check]:
        """Return how each target was reached."""
        checks = []
        for name in self.targets:
            trip = self.trip(name)
            checks.append(Check(f"network {name}", not trip.failed, trip.failed or f"{trip.seconds * 1000:.1f} ms"))
        return checks

    def close(self) -> None:
        """Nothing is kept open."""


def _ask(wire: socket.socket, scheme: str, path: str, host: str) -> bool:
    """Send the smallest question of a protocol and wait for the first bytes of the answer."""
    questions = {
        "http": f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(),
        "postgresql": SSL_REQUEST, "redis": b"PING\r\n",
    }  # fmt: skip
    question = questions.get("http" if scheme == "https" else scheme)
    if question is None:
        return False
    wire.sendall(question)
    if not wire.recv(64):
        raise ConnectionResetError("it closed the connection")
    return True


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, socket.gaierror):
        return "unresolved"
    return f"{type(error).__name__}: {error.strerror or error}"[:120]
