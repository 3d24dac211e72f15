"""Trips to other systems and back, timed in parts: resolving, connecting, TLS, one small question and its answer."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from dataclasses import dataclass
from itertools import pairwise

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's question whether it speaks TLS: answered with one byte, before any login."""


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


def go(name: str, scheme: str, host: str, port: int, path: str, seconds: float) -> Trip:
    """Go there and back once; nothing raises for a target that is away.

    The question needs no login: GET for http and https, the question for TLS for postgresql, PING for redis, else none.
    """
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
            if scheme == "https":
                given = ssl.create_default_context()
                given.check_hostname, given.verify_mode = False, ssl.CERT_NONE  # only the time is asked for
                wire = given.wrap_socket(line, server_hostname=host)
            marks.append(time.monotonic())
            asked = _ask(wire, scheme, path, host)
            marks.append(time.monotonic())
    except OSError as error:
        parts_of_it = [b - a for a, b in pairwise(marks)] + [nan] * 4
        return Trip(name, parts_of_it[0], parts_of_it[1], parts_of_it[2], parts_of_it[3], _words(error))
    resolve, connect, tls, answer = (b - a for a, b in pairwise(marks))
    return Trip(name, resolve, connect, tls if scheme == "https" else nan, answer if asked else nan)


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
