"""The way to other systems: names resolved, ports that take connections, certificates and their expiry."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError
from sickbay.registry import source
from sickbay.sources import settings, trips
from sickbay.sources.baseline import read_baseline
from sickbay.sources.context import Check, Context
from sickbay.sources.trips import Trip

State = Literal["ok", "unresolved", "resolver", "refused", "timed out", "no route", "certificate", "closed"]
SECONDS = 3.0
PORTS = {"http": 80, "https": 443, "tls": 443, "postgresql": 5432, "postgres": 5432, "mysql": 3306, "redis": 6379}
ENCRYPTED = ("https", "tls")


class _Settings(settings.Settings):
    targets: Mapping[str, str]
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is tried: a host and a port, and the protocol spoken there; ``path`` is what http is asked for."""

    name: str
    scheme: str
    host: str
    port: int
    path: str = "/"

    @property
    def encrypted(self) -> bool:
        """Whether a certificate is looked at."""
        return self.scheme in ENCRYPTED


@dataclass(frozen=True, slots=True)
class Way:
    """How far it came. ``resolver``: the name service did not answer. ``expires``: of the certificate, in UTC."""

    target: Target
    state: State
    seconds: float
    addresses: tuple[str, ...] = ()
    expires: datetime | None = None
    detail: str = ""

    @property
    def says(self) -> str:
        """What happened, in words."""
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.target.name} {self.target.host}:{self.target.port}: {self.state} in {self.seconds:.2f} s{more}"


@source("network")
class Network:
    """Tries the way to ``[source.network] targets = { bank = "tls://host:443", db = "tcp://host:5432" }``.

    Rights: none; a connection is opened and closed, and nothing is sent but a TLS greeting or, for its time, one
    question that needs no login. It shows the network as it is
    from the host that sickbay runs on. ``ca`` names a file of own certificate authorities.
    """

    def __init__(self, targets: Mapping[str, Target], ca: str, now: datetime, baseline: Mapping[str, float]) -> None:
        self.targets, self.now, self._ca = targets, now, ca
        self.baseline = baseline
        """Seconds to a target and back as they usually are, by its name; empty where none were noted."""

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names targets."""
        return "network" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is opened yet. SiteFileError for a target that is none."""
        given = settings.read(context, "network", _Settings)
        targets = {}
        for name, address in given.targets.items():
            found = _target(name, address)
            if found is None:
                raise SiteFileError(
                    f"{context.site.file}: 'source.network.targets.{name}' is no target: {address!r}",
                    hint='for example "tcp://db.example.com:5432" or "tls://api.example.com:443"',
                )
            targets[name] = found
        ca = str(context.site.base / given.ca) if given.ca else ""
        return cls(targets, ca, context.now, read_baseline(context, "network"))

    def ways(self, seconds: float = SECONDS) -> list[Way]:
        """Try every target at once; each step has ``seconds``."""
        if not self.targets:
            return []
        with ThreadPoolExecutor(min(16, len(self.targets))) as pool:
            return list(pool.map(lambda target: try_way(target, seconds, self._ca), self.targets.values()))

    def trip(self, name: str, seconds: float = SECONDS) -> Trip:
        """Go to a target and back once, timed in parts."""
        target = self.targets[name]
        return trips.go(name, target.scheme, target.host, target.port, target.path, seconds)

    def check(self) -> list[Check]:
        """Return which targets can be reached."""
        return [Check(f"network {way.target.name}", way.state == "ok", way.says) for way in self.ways()]

    def close(self) -> None:
        """Nothing is kept open."""


def try_way(target: Target, seconds: float, ca: str = "") -> Way:
    """Resolve, connect, and greet in TLS where asked; return how far it came."""
    began = time.monotonic()
    addresses, state, detail = resolve(target.host, target.port, seconds)
    way = Way(target, state, time.monotonic() - began, addresses, detail=detail)
    if state != "ok":
        return way
    try:
        with socket.create_connection((addresses[0], target.port), timeout=seconds) as line:
            if target.encrypted:
                context = ssl.create_default_context(cafile=ca or None)
                with context.wrap_socket(line, server_hostname=target.host) as wrapped:
                    way = replace(way, expires=_expiry(wrapped.getpeercert()))
    except ssl.SSLCertVerificationError as error:
        way = replace(way, state="certificate", detail=error.verify_message)
    except ssl.SSLError as error:
        way = replace(way, state="certificate", detail=f"no TLS is spoken there ({error.reason or error})")
    except (TimeoutError, OSError) as error:
        way = replace(way, state=_state(error), detail=str(error)[:160])
    return replace(way, seconds=time.monotonic() - began)


def resolve(host: str, port: int, seconds: float) -> tuple[tuple[str, ...], State, str]:
    """Return the addresses of a name; the system's resolver has no end of its own, so it gets one here."""
    found: list[tuple[tuple[str, ...], State, str]] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append((tuple(dict.fromkeys(str(answer[4][0]) for answer in answers)), "ok", ""))
        except socket.gaierror as error:
            away = error.errno == socket.EAI_AGAIN
            found.append(((), "resolver" if away else "unresolved", error.strerror or str(error)))
        except (OSError, UnicodeError) as error:
            found.append(((), "unresolved", str(error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else ((), "resolver", f"the name service gave no answer within {seconds:.0f} s")


def _state(error: OSError) -> State:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL):
        return "no route"
    return "closed"


def _expiry(certificate: object) -> datetime | None:
    stated = certificate.get("notAfter") if isinstance(certificate, dict) else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(stated)), UTC) if stated else None


def _target(name: str, address: str) -> Target | None:
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None or parts.scheme == "udp":  # nothing tells that a UDP port listens
        return None
    return Target(name, parts.scheme, parts.hostname, port, parts.path or "/")
