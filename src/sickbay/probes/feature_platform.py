"""Probes of the platform that serves features: Feast's registry and server, the online store, libraries, inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.feast import Feast
from sickbay.sources.feature_store import FeatureStore
from sickbay.sources.logs import Logs
from sickbay.sources.redis import Answer, Redis
from sickbay.terms.evidence import Evidence, LogLines, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SURE, CLEAR, LIKELY = 4.2, 3.0, 1.5
AWAY = {"refused", "timed out", "closed", "unresolved"}

LIBRARIES = FindingKind(
    "features.libraries_differ", says="The two sides compute with other releases of a library.", leak=0.06
)


@probe(findings=[LIBRARIES], seconds=0.1)
def libraries(store: FeatureStore) -> Iterable[Finding]:
    """Compares the versions of the libraries that both sides have, by their lock files."""
    offline, online = store.libraries("offline"), store.libraries("online")
    both = sorted((set(offline) & set(online)) - {"pip", "setuptools", "wheel"})
    if not both:
        yield unknown(LIBRARIES, "no data: the two lock files have no library in common")
        return
    differing = [(name, offline[name], online[name]) for name in both if offline[name] != online[name]]
    major = [row for row in differing if row[1].split(".")[:1] != row[2].split(".")[:1]]
    table = Rows(("library", "training", "serving"), tuple(differing[:20]), "Libraries that differ")
    yield measured(
        LIBRARIES, SURE if major else CLEAR if differing else -CLEAR, statistic=float(len(differing)),
        evidence=Evidence({"differing": len(differing)}, [table]),
        says=", ".join(f"{n} {a} against {b}" for n, a, b in differing[:4]) + "." if differing else
        f"All {len(both)} libraries that both sides have are of the same release.",
    )  # fmt: skip


CHANGED = FindingKind(
    "features.inputs_changed",
    says="The files that features are computed from changed their columns or types.",
    leak=0.02,
)


@probe(findings=[CHANGED], seconds=0.2)
def inputs(store: FeatureStore) -> Iterable[Finding]:
    """Compares the columns and types of the files of the inputs and of the history with each other."""
    if not (store.has("events") or store.has("history")):
        raise SourceError("no data: [source.feature_store] names neither inputs nor history")
    notes = [note for note in store.tables.notes if "inputs" in note or "history" in note]
    odd = [note for note in notes if "no column" in note or "disagree on the type" in note]
    says = f"{odd[0].removeprefix('source.feature_store.')}." if odd else "All files have the same columns and types."
    yield measured(CHANGED, SURE if odd else -CLEAR, statistic=float(len(odd)), says=says,
                   evidence=Evidence({"notes": odd[:8]}))  # fmt: skip


ELSEWHERE = FindingKind(
    "features.view_reads_elsewhere", says="The feature view is fed from another table than training's.", leak=0.01
)
TYPED = FindingKind(
    "features.types_differ", says="A feature's type in the registry is not the one that training has.", leak=0.02
)
LOADING = FindingKind("features.materialising", says="A materialisation is under way, or ended badly.", leak=0.1)


@probe(findings=[ELSEWHERE, TYPED, LOADING], seconds=0.2)
def view(feast: Feast, store: FeatureStore) -> Iterable[Finding]:
    """Reads the feature view's source, types and state in Feast's registry, and holds them against training's table."""
    found = feast.view()
    yield _source(found.source, store)
    types = store.tables.types["history" if store.has("history") else "offline"]
    odd = [f"{n}: {kind} in the registry, {types.get(n, 'missing')} in the table" for n, kind in found.features.items()
           if n not in types or not _alike(kind, types[n])]  # fmt: skip
    yield measured(
        TYPED, CLEAR if odd else -CLEAR, statistic=float(len(odd)),
        says=f"{odd[0]}." if odd else f"All {len(found.features)} features have the types of the table.",
    )  # fmt: skip
    last = max((end for _, end in found.loaded), default=None)
    when = f", loaded up to {last:%Y-%m-%d %H:%M}Z" if last else ", never loaded"
    busy = found.state == "materializing"
    yield measured(LOADING, CLEAR if busy else -CLEAR, says=f"The view {found.name} is {found.state}{when}.")


def _source(named: str, store: FeatureStore) -> Finding:
    history = store.given.history
    if not isinstance(history, str) or not named:
        return unknown(ELSEWHERE, "no data: no history by address, or the registry names no source")
    here, there = _place(history, store.base), _place(named, store.base)
    same = here == there or there.startswith(here.rstrip("/") + "/")
    return measured(
        ELSEWHERE, -CLEAR if same else SURE,
        says=f"The registry's source is {named}" + ("." if same else f", training's is {history}."),
    )  # fmt: skip


def _place(address: str, base: Path) -> str:
    text = address.removeprefix("file://")
    return text if "://" in text else str((base / text).resolve())


def _alike(feast_type: str, engine_type: str) -> bool:
    """Return whether a Feast type and a type of the engine hold the same kind of value."""
    kind = engine_type.lower()
    if feast_type == "string":
        return "char" in kind or "text" in kind or "string" in kind or "enum" in kind
    if feast_type in ("int32", "int64"):
        return "int" in kind or kind in ("long", "short")
    if feast_type in ("double", "float"):
        return any(word in kind for word in ("double", "float", "real", "decimal", "numeric"))
    return "bool" in kind if feast_type == "bool" else True


UNREACHABLE = FindingKind("online_store.unreachable", says="The online store does not answer.", leak=0.01)
SLOW = FindingKind("online_store.slow", says="The online store takes long to answer.", leak=0.03)
LINK = FindingKind(
    "online_store.replica_cut_off", says="The replica that serving reads has lost its primary.", leak=0.01
)
BEHIND = FindingKind("online_store.replica_behind", says="The replica lacks what its primary has written.", leak=0.02)
FULL = FindingKind("online_store.evicting", says="The online store is full and drops or refuses values.", leak=0.02)
NOTICEABLE = 4096
"""Bytes behind that a replica may be without being late: an exchange of pings, a few writes under way."""


@probe(findings=[UNREACHABLE, SLOW, LINK, BEHIND, FULL], seconds=0.3, deadline=30)
def store(redis: Redis) -> Iterable[Finding]:
    """Asks the online store and its primary for an answer, its replication and its memory."""
    info = redis.info()
    if info.state in ("garbled", "login", "loading", "failed"):
        words = {"login": "forbidden", "garbled": "garbled"}.get(info.state, "unreachable")
        yield from (
            unknown(k, f"{words}: {info.detail or info.state}") for k in (UNREACHABLE, SLOW, LINK, BEHIND, FULL)
        )
        return
    if not info.ok:
        known = info.state == "refused"
        why = f"timed out: {info.detail or 'no answer'}" if info.state == "timed out" else f"unreachable: {info.state}"
        yield measured(UNREACHABLE, SURE, says=f"It is {info.state}.") if known else unknown(UNREACHABLE, why)
        yield from (unknown(kind, f"no data: the online store was {info.state}") for kind in (SLOW, LINK, BEHIND, FULL))
        return
    yield measured(UNREACHABLE, -SURE, says=f"It answers in {info.seconds * 1000:.0f} ms.")
    pings = [redis.ping().seconds for _ in range(3)]
    yield measured(SLOW, CLEAR if min(pings) > 0.1 else -CLEAR, statistic=min(pings),
                   says=f"PING takes {min(pings) * 1000:.1f} ms.")  # fmt: skip
    yield from _replication(info.value, redis)
    yield _memory(info.value)


def _replication(info: dict[str, Any], redis: Redis) -> Iterable[Finding]:
    if info.get("role") != "slave":
        yield unknown(LINK, "not applicable: serving reads the primary itself")
        yield unknown(BEHIND, "not applicable: serving reads the primary itself")
        return
    up = info.get("master_link_status") == "up"
    since = f" for {info['master_link_down_since_seconds']} s" if "master_link_down_since_seconds" in info else ""
    yield measured(LINK, -SURE if up else SURE, says=f"Its link to the primary is {'up' if up else f'down{since}'}.")
    if not redis.has_primary:
        yield unknown(BEHIND, "no data: set primary in [source.redis]")
        return
    primary = redis.info("primary")
    if not primary.ok:
        yield unknown(BEHIND, f"unreachable: the primary was {primary.state}")
        return
    gap = int(primary.value.get("master_repl_offset", 0)) - int(redis.info().get().get("slave_repl_offset", 0))
    yield measured(
        BEHIND, (CLEAR if up else LIKELY) if gap > NOTICEABLE else -CLEAR, statistic=float(max(gap, 0)),
        says=f"The replica is {max(gap, 0):,} bytes behind its primary.",
    )  # fmt: skip


def _memory(info: dict[str, Any]) -> Finding:
    limit, used = int(info.get("maxmemory", 0) or 0), int(info.get("used_memory", 0) or 0)
    dropped = int(info.get("evicted_keys", 0) or 0)
    full = bool(limit) and used > 0.95 * limit
    return measured(
        FULL, CLEAR if full or dropped else -CLEAR, statistic=float(dropped),
        says=f"{used / 1e6:.0f} MB used, {f'of {limit / 1e6:.0f}' if limit else 'no limit'}; {dropped} dropped.",
    )  # fmt: skip


STALE = FindingKind(
    "online_store.behind_history", says="The newest values online are older than the newest offline.", leak=0.05
)
SHORT = FindingKind("online_store.replica_older", says="The replica holds older values than its primary.", leak=0.02)


@probe(findings=[STALE, SHORT], seconds=0.4, deadline=40)
def freshness(feast: Feast, store: FeatureStore, redis: Redis | None = None) -> Iterable[Finding]:
    """Compares the times of the values online (Redis or SQLite) with those of the primary and of the history."""
    found = feast.view()
    stamps: dict[str, float] = redis.stamps(found.name, found.project).get() if redis else feast.stamps(found)
    if not stamps:
        raise SourceError(f"no data: the online store holds no value of the view {found.name}")
    newest = max(stamps.values())
    moment = store.given.history_time or store.given.time or ""
    if store.has("history") and moment in store.tables.types["history"]:
        times = np.asarray(store.fetch("history", [moment])[moment], dtype=np.float64)
        latest = float(np.nanmax(times))
        rhythm = max(3600.0, 3 * float(np.median(np.diff(np.unique(times))[-20:])) if len(np.unique(times)) > 1 else 0)
        late = latest - newest
        yield measured(
            STALE, SURE if late > rhythm else -CLEAR, statistic=late / 3600,
            says=f"The newest value online is {late / 3600:.1f} h older than the newest offline.",
        )  # fmt: skip
    else:
        yield unknown(STALE, "no data: [source.feature_store] names no history with its time")
    if redis is None:
        yield unknown(SHORT, "not applicable: a SQLite online store has no replica")
        return
    yield _older(redis.stamps(found.name, found.project, "primary") if redis.has_primary else None, stamps)


def _older(primary: Answer | None, stamps: dict[str, float]) -> Finding:
    if primary is None:
        return unknown(SHORT, "no data: set primary in [source.redis]")
    there = primary.get()
    both = [name for name in stamps if name in there]
    if len(both) < 10:
        return unknown(SHORT, f"no data: {len(both)} values are on both")
    older = sum(there[name] > stamps[name] + 1 for name in both) / len(both)
    return measured(
        SHORT, CLEAR if older > 0.05 else -CLEAR, statistic=older,
        says=f"{older:.0%} of {len(both)} values are older on the replica than on the primary.",
    )  # fmt: skip


WRITES = FindingKind("features.writes_fail", says="The log says that features cannot be written online.", leak=0.02)
FAILED = re.compile(
    r"(connection ?(error|refused|reset|closed)|timeout|unreachable|no route to host|Errno 11[013]).*", re.IGNORECASE
)


@probe(findings=[WRITES], seconds=0.1)
def writes(logs: Logs) -> Iterable[Finding]:
    """Reads the log of the process that writes and serves features for lines on a store out of reach."""
    if not logs.has("serving"):
        raise SourceError('no data: [source.logs] files names no "serving"')
    lines = logs.tail("serving", timedelta(days=1))
    bad = [line.text for line in lines if FAILED.search(line.text) and "writ" in line.text.lower()]
    yield measured(
        WRITES, SURE if len(bad) > 1 else LIKELY if bad else -1.0, statistic=float(len(bad)),
        says=f"{len(bad)} lines of the last day: {bad[-1].strip()[:160]}" if bad else "No line says so.",
        evidence=Evidence({"lines": len(bad)}, [LogLines(tuple(bad[-5:]), "serving")]),
    )  # fmt: skip


SERVER_FAILS = FindingKind(
    "features.server_fails", says="The feature server answers with errors or not at all.", leak=0.02
)


@probe(findings=[SERVER_FAILS], seconds=0.4, deadline=30)
def server(feast: Feast) -> Iterable[Finding]:
    """Asks the feature server for its health and for the view's features of one entity, as a model server would."""
    if not feast.has_server:
        raise SourceError("no data: [source.feast] names no server")
    health = feast.health()
    if health.state != "answered":
        if health.state == "certificate":
            raise SourceError(f"forbidden: the certificate is not accepted ({health.detail[:100]})")
        if health.state in ("refused", "closed", "unresolved", "unreachable"):
            yield measured(SERVER_FAILS, SURE, says=f"{health.says}.")
        else:
            yield unknown(SERVER_FAILS, f"timed out: {health.says}")
        return
    if health.is_page or 300 <= health.status < 400 or health.status in (401, 403):
        raise SourceError(f"forbidden: {health.says}")
    keys = list(feast.registry().join_keys.values()) if feast.has_registry else []
    reply = health
    if feast.has_registry:
        found = feast.view()
        keys = [feast.registry().join_keys.get(name, name) for name in found.entities]
        reply = feast.serve({key: [0] for key in keys}, list(found.features), view=found.name)
    if reply.status in (401, 403):
        raise SourceError(f"forbidden: {reply.says}")
    if reply.ok and reply is not health and not isinstance(reply.body, dict):
        raise SourceError("garbled: it does not answer as a feature server does")
    if reply.state == "timed out":
        yield unknown(SERVER_FAILS, f"timed out: {reply.says}")
        return
    yield measured(SERVER_FAILS, -CLEAR if reply.ok else SURE, says=f"{reply.says}.")
