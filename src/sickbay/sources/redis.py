"""Redis: whether it answers and how fast, its memory, keys and replication, and Feast's values in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.redact import remember
from sickbay.registry import source
from sickbay.sources import feast_format, settings
from sickbay.sources.context import Check, Context

CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 2.0, 3.0, 5.0
SAMPLED = 500
State = Literal["ok", "refused", "timed out", "login", "garbled", "closed", "unresolved", "loading", "failed"]
T = TypeVar("T")


class _Settings(settings.Settings):
    url: str
    primary: str = ""
    password: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call: its value, or the state and the words of the refusal."""

    state: State
    seconds: float
    value: Any = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it answered."""
        return self.state == "ok"

    def get(self) -> Any:
        """Return the value; a SourceError that says what came instead."""
        if self.ok:
            return self.value
        words = f"{self.state}: {self.detail}" if self.detail else self.state
        kinds: dict[str, type[SourceError]] = {
            "timed out": SourceTimeout, "login": SourceForbidden, "garbled": SourceGarbled,
        }  # fmt: skip
        raise kinds.get(self.state, SourceError)(f"Redis: {words}")


@dataclass(frozen=True, slots=True)
class Keys:
    """A sample of keys: how many, how many of them end by themselves, and the longest such time left, in seconds."""

    sampled: int
    ending: int
    longest: float


@source("redis")
class Redis:
    """Reads a Redis that serving reads, and the primary behind it where the site names it.

    Rights: PING, INFO, TIME, SCAN, TTL, TYPE, HMGET (ACL ``+@read +ping +info +time``). Nothing is written, and no
    command blocks the server (no KEYS, no MONITOR).
    """

    def __init__(self, given: _Settings, now: datetime) -> None:
        self.now = now
        self._clients = {"replica": _client(given, given.url)}
        if given.primary:
            self._clients["primary"] = _client(given, given.primary)

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a Redis."""
        return "redis" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is sent yet. SiteFileError for an address that is none, or without the library."""
        given = settings.read(context, "redis", _Settings)
        for key in ("url", "primary"):
            text = getattr(given, key)
            parts = urlsplit(text)
            if text and (parts.scheme not in ("redis", "rediss") or not parts.hostname):
                raise SiteFileError(
                    f"{context.site.file}: 'source.redis.{key}' is no address of a Redis",
                    hint='for example "redis://host:6379/0", or rediss:// with TLS',
                )
            if parts.password:
                remember(parts.password)
        try:
            import redis  # noqa: F401 - whether the library is there
        except ImportError:
            raise SiteFileError("[source.redis] needs the library redis", hint='pip install "sickbay[redis]"') from None
        return cls(given, context.now)

    @property
    def has_primary(self) -> bool:
        """Whether the site names the primary besides."""
        return "primary" in self._clients

    def ping(self, which: str = "replica") -> Answer:
        """Ask for the shortest answer there is, and take the time."""
        return self._ask(which, lambda client: client.ping())

    def info(self, which: str = "replica") -> Answer:
        """Ask for what it says of itself: memory, clients, replication, evictions."""
        return self._ask(which, lambda client: _mapping(client.info()))

    def clock(self, which: str = "replica") -> Answer:
        """Ask for its clock, in seconds since 1970."""
        return self._ask(which, lambda client: float(client.time()[0]) + client.time()[1] / 1e6)

    def keys(self, which: str = "replica", most: int = SAMPLED) -> Answer:
        """Look at some keys, a scan of bounded length: how many of them end by themselves (TTL)."""

        def sample(client: Any) -> Keys:
            names = _some(client, most)
            pipe = client.pipeline(transaction=False)
            for name in names:
                pipe.pttl(name)
            left = [float(t) / 1000 for t in pipe.execute() if isinstance(t, int) and t >= 0] if names else []
            return Keys(len(names), len(left), max(left, default=0.0))

        return self._ask(which, sample)

    def stamps(self, view: str, project: str, which: str = "replica", most: int = SAMPLED) -> Answer:
        """Return the times of a view's values for some entities (Feast's layout): entity → seconds since 1970."""

        def sample(client: Any) -> dict[str, float]:
            found = {}
            names = [
                name for name in _some(client, most) if isinstance(name, bytes) and name.endswith(project.encode())
            ]
            pipe = client.pipeline(transaction=False)
            for name in names:
                pipe.hget(name, f"_ts:{view}")
            for name, raw in zip(names, pipe.execute(raise_on_error=False) if names else [], strict=True):
                at = feast_format.moment(raw) if isinstance(raw, bytes) else None
                if at is not None:
                    found[name.hex()] = at.timestamp()
            return found

        return self._ask(which, sample)

    def values(
        self, key: Mapping[str, int | str], features: list[str], *, view: str, project: str, which: str = "replica"
    ) -> Answer:
        """Return the values that Feast holds for one entity: feature → value, and ``_time`` in seconds since 1970."""
        name = feast_format.entity_key(key) + project.encode()
        names = [feast_format.field_name(view, feature) for feature in features]

        def read(client: Any) -> dict[str, Any]:
            raw = client.hmget(name, [*names, f"_ts:{view}"])
            found = {
                f: feast_format.value(r) if isinstance(r, bytes) else None for f, r in zip(features, raw, strict=False)
            }
            at = feast_format.moment(raw[-1])
            return {**found, "_time": at.timestamp() if at else None}

        return self._ask(which, read)

    def check(self) -> list[Check]:
        """Return what of it answers."""
        checks = []
        for which in self._clients:
            answer = self.info(which)
            role = answer.value.get("role") if answer.ok else ""
            checks.append(Check(f"redis {which}", answer.ok, f"{role}, {answer.seconds:.3f} s" if answer.ok else
                                f"{answer.state} {answer.detail}".strip()))  # fmt: skip
        return checks

    def close(self) -> None:
        """Give back connections."""
        for client in self._clients.values():
            client.close()

    def _ask(self, which: str, call: Callable[[Any], Any]) -> Answer:
        """Make one call with an end to all of it: the library limits each wait, and not the whole."""
        if which not in self._clients:
            return Answer("failed", 0.0, detail=f"the site names no {which}")
        done: list[Answer] = []
        client = self._clients[which]
        thread = threading.Thread(target=lambda: done.append(_call(client, call)), daemon=True)
        thread.start()
        thread.join(WHOLE_SECONDS)
        return done[0] if done else Answer("timed out", WHOLE_SECONDS, detail="no end")


def _client(given: _Settings, url: str) -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    more: dict[str, Any] = {"password": given.password} if given.password else {}
    if url.startswith("rediss://") and not given.verify:
        more |= {"ssl_cert_reqs": None, "ssl_check_hostname": False}
    return redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=READ_SECONDS, retry=Retry(NoBackoff(), 0),
        protocol=2, **more,
    )  # fmt: skip


def _some(client: Any, most: int) -> list[Any]:
    """Return some keys, from a scan of bounded length."""
    names: list[Any] = []
    cursor, turns = 0, 0
    while turns < 50 and len(names) < most:
        cursor, found = client.scan(cursor, count=200)
        names += found
        turns += 1
        if cursor == 0:
            break
    return sorted(set(names))[:most]


def _mapping(found: Any) -> Any:
    """Return INFO's answer; NotRedis when it is none: the library reads noise as an empty one."""
    if not isinstance(found, dict) or "redis_version" not in found:
        raise NotRedis("the answer is no INFO: something else than Redis speaks there")
    return found


class NotRedis(Exception):
    """Something answered that is no Redis."""


def _call(client: Any, call: Callable[[Any], Any]) -> Answer:
    from redis import exceptions

    began = monotonic()
    try:
        value = call(client)
    except exceptions.AuthenticationError as error:
        return Answer("login", monotonic() - began, detail=str(error)[:200])
    except exceptions.BusyLoadingError as error:
        return Answer("loading", monotonic() - began, detail=str(error)[:200])
    except exceptions.TimeoutError as error:
        return Answer("timed out", monotonic() - began, detail=str(error)[:200])
    except exceptions.ConnectionError as error:
        return Answer(_away(error), monotonic() - began, detail=str(error)[:200])
    except exceptions.ResponseError as error:
        text = str(error)
        state: State = (
            "login" if text.startswith(("NOAUTH", "NOPERM", "WRONGPASS")) or "auth" in text.lower() else "failed"
        )
        return Answer(state, monotonic() - began, detail=text[:200])
    except (exceptions.RedisError, NotRedis, SourceGarbled, UnicodeError, ValueError, TypeError) as error:
        return Answer("garbled", monotonic() - began, detail=str(error)[:200])
    except OSError as error:
        return Answer(_away(error), monotonic() - began, detail=str(error)[:200])
    return Answer("ok", monotonic() - began, value)


def _away(error: BaseException) -> State:
    import socket

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        if isinstance(cause, socket.gaierror):
            return "unresolved"
        if isinstance(cause, TimeoutError):
            return "timed out"
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    if "refused" in text:
        return "refused"
    if "Protocol" in text or "Invalid" in text or "raise_on_error" in text:
        return "garbled"
    return "closed"
