"""Probes of a PostgreSQL server by a connection of sickbay's own: reach, sessions, room, schema."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from sickbay.errors import SourceError
from sickbay.probes.tracking import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.mlflow import MLflow
from sickbay.sources.postgres import Attempt, Postgres, Sessions
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

AWAY = FindingKind("database.unreachable", says="The database server does not take connections.", leak=0.02)
LOGIN = FindingKind("database.login_refused", says="The database refuses the login it is asked with.", leak=0.02)
SLOTS = FindingKind(
    "database.sessions_exhausted", says="Sessions hold every slot of the database.", leak=0.01, group="database.slots"
)
NEAR = FindingKind(
    "database.sessions_near_limit",
    says="More than 80 % of the database's slots are taken.",
    leak=0.03,
    group="database.slots",
)
IDLE = FindingKind("database.idle_sessions_hold", says="Most sessions are idle, and hold their slots.", leak=0.2)
SLOW = FindingKind("database.statements_slow", says="Statements run for more than five seconds.", leak=0.03)
LOCKED = FindingKind("database.sessions_wait", says="Sessions wait for locks of others.", leak=0.03)
REACHED = (AWAY, LOGIN, SLOTS, NEAR, IDLE, SLOW, LOCKED)
NEAR_LIMIT = 0.8


@probe(findings=REACHED, seconds=0.4, deadline=20)
def sessions(postgres: Postgres) -> Iterable[Finding]:
    """Connects to the database and counts its sessions against its limit."""
    attempt = postgres.reach()
    words = attempt.detail[:240]
    if attempt.state in ("refused", "timed out", "unresolved", "failed"):
        yield measured(
            AWAY,
            SURE if attempt.state != "failed" else LIKELY,
            says=f"Connecting to the database: {attempt.state}. {words}",
        )
        for kind in REACHED[1:]:
            yield unknown(kind, f"unreachable: {attempt.state}")
        return
    if attempt.state == "slots":
        yield measured(AWAY, -LIKELY, says="The database answers, and refuses for want of a slot.")
        yield unknown(LOGIN, "no data: it was refused before the login was looked at")
        yield measured(SLOTS, SURE, says=f"It refuses sickbay too: {words}")
        yield measured(NEAR, SURE, says="Every slot that sickbay may take is taken.")
        for kind in (IDLE, SLOW, LOCKED):
            yield unknown(kind, "no data: no slot was free to look from; GRANT pg_use_reserved_connections helps")
        return
    yield measured(AWAY, -SURE, says=f"It answered in {attempt.seconds:.2f} s.")
    if attempt.state != "connected":
        yield measured(LOGIN, _login(attempt), says=words)
        for kind in REACHED[2:]:
            yield unknown(kind, f"forbidden: {words}")
        return
    yield measured(LOGIN, -SURE, says="It accepts the login.")
    yield from _counted(postgres.sessions())


def _login(attempt: Attempt) -> float:
    return SURE if attempt.state in ("login", "missing") else -LIKELY


def _counted(seen: Sessions) -> Iterable[Finding]:
    share = seen.used / max(1, seen.ordinary)
    states = Rows(("state", "sessions"), tuple(sorted(seen.by_state.items())), "Sessions by state")
    users = Rows(("role", "sessions"), tuple(sorted(seen.by_user.items(), key=lambda item: -item[1])[:8]), "By role")
    evidence = Evidence(
        {"used": seen.used, "ordinary_slots": seen.ordinary, "max_connections": seen.limit, "limit": 1.0},
        [states, users],
    )
    told = f"{seen.used} of {seen.ordinary} ordinary slots are taken ({share:.0%})."
    full = SURE if share >= 0.99 else LIKELY if share >= 0.95 else -CLEAR if share < NEAR_LIMIT else -0.5
    yield measured(SLOTS, full, statistic=share, says=told, evidence=evidence)
    yield measured(NEAR, CLEAR if share >= NEAR_LIMIT else -CLEAR, statistic=share, says=told, evidence=evidence)
    if not seen.sees_all:
        for kind in (IDLE, SLOW, LOCKED):
            yield unknown(kind, "forbidden: the role does not see what others do; GRANT pg_monitor TO it")
        return
    idle = sum(count for state, count in seen.by_state.items() if state.startswith("idle")) / max(1, seen.used)
    yield measured(
        IDLE, LIKELY if idle > 0.7 and share > NEAR_LIMIT else -LIKELY, statistic=idle,
        says=f"{idle:.0%} of the sessions are idle; the longest idle transaction is "
        f"{seen.longest_idle_transaction:.0f} s old.",
    )  # fmt: skip
    yield measured(
        SLOW, CLEAR if seen.slow >= 3 else LIKELY if seen.slow else -LIKELY, statistic=float(seen.slow),
        says=f"{seen.slow} statements have run for more than 5 s.",
    )  # fmt: skip
    yield measured(
        LOCKED, CLEAR if seen.waiting >= 3 else 0.5 if seen.waiting else -LIKELY, statistic=float(seen.waiting),
        says=f"{seen.waiting} sessions wait for a lock.",
    )  # fmt: skip


FULL = FindingKind("database.disk_full", says="The database has no room left on its disk.", leak=0.003)


@probe(findings=[FULL], seconds=0.5, deadline=20)
def room(postgres: Postgres) -> Iterable[Finding]:
    """Sorts three megabytes on the database's disk, as any large query does, and sees whether there was room."""
    size = postgres.size()
    error = postgres.spill()
    yield measured(
        FULL, SURE if error else -CLEAR, statistic=float(size),
        says=error[:240] or f"A sort of 3 MB found room; the database holds {size / 1e6:.0f} MB.",
        evidence=Evidence({"database_bytes": size}),
    )  # fmt: skip


BEHIND = FindingKind(
    "database.schema_not_of_this_server",
    says="The schema of the database is not the one this server needs.",
    leak=0.005,
)


@probe(findings=[BEHIND], seconds=0.3, deadline=20)
def schema(postgres: Postgres, mlflow: MLflow) -> Iterable[Finding]:
    """Compares the schema's revision in the database with the one that the tracking server's release needs."""
    revision = postgres.revision()
    if revision is None:
        yield unknown(BEHIND, "not applicable: the database has no alembic_version")
        return
    chain, heads = mlflow_revisions()
    reply = mlflow.version()
    release = reply.text.strip() if reply.ok else ""
    wanted = heads.get(".".join(release.split(".")[:2]))
    if wanted is None:
        known = f"the server told no release ({reply.says})" if not release else f"release {release} is not listed"
        newest = chain[-1]
        if revision not in chain:
            yield measured(BEHIND, 0.5, says=f"Revision {revision} is of no MLflow release known here; {known}.")
        elif revision != newest:
            yield measured(BEHIND, 1.0, says=f"Revision {revision} is older than the newest known; {known}.")
        else:
            raise SourceError(f"no data: {known}")
        return
    there = "an older one" if revision in chain and chain.index(revision) < chain.index(wanted) else "another one"
    fits = revision == wanted
    yield measured(
        BEHIND, -CLEAR if fits else SURE,
        says=f"Release {release} needs revision {wanted}; the database has {'it' if fits else f'{there}: {revision}'}.",
        evidence=Evidence({"revision": revision, "wanted": wanted, "release": release}),
    )  # fmt: skip


@cache
def mlflow_revisions() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return MLflow's schema revisions, oldest first, and the newest of each minor release."""
    text = (resources.files("sickbay.probes") / "mlflow_revisions.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    return tuple(found["chain"]), found["head"]
