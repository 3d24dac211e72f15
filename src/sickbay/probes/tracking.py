"""Probes of experiment tracking from its front: what its users get, what it says of its parts, its log, its process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sickbay.errors import SourceError
from sickbay.probes.signatures import counted, meanings
from sickbay.registry import probe
from sickbay.sources.logs import Line, Logs
from sickbay.sources.mlflow import MLflow
from sickbay.sources.replies import Reply
from sickbay.terms.evidence import Evidence, LogLines, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SURE, CLEAR, LIKELY = 4.2, 3.0, 1.8
"""Log ratios of what was seen plainly, of what is hardly anything else, and of what is likelier than not."""
PATIENCE = 3.0
"""Seconds after which an answer counts as not coming, in the first look."""
BUSY_SECONDS = 1.5
RECENT = timedelta(minutes=3)
STARTING_SECONDS = 120.0

UNAVAILABLE = FindingKind(
    "tracking.unavailable", says="Users of experiment tracking get errors or no answer.", leak=0.02
)
SILENT = FindingKind("tracking.server_silent", says="The tracking server does not answer at all.", leak=0.02)
READS_FAIL = FindingKind(
    "tracking.reads_fail",
    says="The tracking server answers, but cannot read its database.",
    leak=0.02,
    group="tracking.reads",
)
READS_HANG = FindingKind(
    "tracking.reads_hang",
    says="Searches get no answer in time although the server is alive.",
    leak=0.03,
    group="tracking.hang",
)
SAYS_AWAY = FindingKind(
    "tracking.says_database_away",
    says="The server says that it cannot reach its database.",
    leak=0.02,
    group="told.away",
)
SAYS_SLOTS = FindingKind(
    "tracking.says_no_slots",
    says="The server says that its database takes no more sessions.",
    leak=0.01,
    group="told.slots",
)
SAYS_SCHEMA = FindingKind(
    "tracking.says_schema", says="The server misses tables or columns in its database.", leak=0.01, group="told.schema"
)
BUSY = FindingKind(
    "tracking.workers_busy", says="The process is alive, but its worker threads are all taken.", leak=0.02
)
ARTIFACTS_FAIL = FindingKind(
    "tracking.artifacts_fail", says="Artifacts cannot be listed through the server.", leak=0.02
)
ARTIFACTS_DENIED = FindingKind(
    "tracking.artifacts_denied", says="The object store refuses the tracking server.", leak=0.01, group="told.denied"
)
AWAY_TOPIC, SLOTS_TOPIC, SCHEMA_TOPIC = (
    "a database out of reach", "a database without free sessions", "a schema that does not fit",
)  # fmt: skip
FRONT = (
    UNAVAILABLE, SILENT, READS_FAIL, READS_HANG, SAYS_AWAY, SAYS_SLOTS, SAYS_SCHEMA, BUSY, ARTIFACTS_FAIL,
    ARTIFACTS_DENIED,
)  # fmt: skip


@probe(findings=FRONT, seconds=1.0, deadline=20)
def front(mlflow: MLflow) -> Iterable[Finding]:
    """Asks the tracking server for health, version, experiments, models and artifacts at once, as its users would."""
    calls: dict[str, Callable[[float], Reply]] = {
        "health": mlflow.health, "version": mlflow.version, "experiments": mlflow.search_experiments,
        "models": lambda seconds: mlflow.search_models(seconds=seconds), "artifacts": mlflow.list_artifacts,
    }  # fmt: skip
    with ThreadPoolExecutor(len(calls)) as pool:
        replies = dict(zip(calls, pool.map(lambda call: call(PATIENCE), calls.values()), strict=True))
    strange = _not_mlflow(replies)
    if strange:
        for kind in FRONT:
            yield unknown(kind, strange)
        return
    evidence = Evidence(
        {f"{name}_status": reply.status for name, reply in replies.items()},
        [Rows(("asked", "answer"), tuple((name, reply.says) for name, reply in replies.items()), "What it answered")],
    )
    silent = _silent(replies["health"])
    age = _starting(mlflow, replies["health"])
    bad = [name for name in ("health", "experiments", "models", "artifacts") if not replies[name].ok]
    if age is not None:
        why = f"not applicable: its process started {age:.0f} s ago and does not listen yet; look again in a minute"
        for kind in FRONT:
            yield unknown(kind, why, evidence=evidence)
        return
    told = f"Of health, experiments, models and artifacts failed: {', '.join(bad)}."
    yield measured(
        UNAVAILABLE, SURE if bad else -CLEAR, statistic=float(len(bad)), evidence=evidence,
        says=told if bad else "Health, experiments, models and artifacts all answer.",
    )  # fmt: skip
    yield measured(
        SILENT, SURE if silent else -SURE, says=f"The server on {replies['health'].says}.", evidence=evidence
    )
    if silent:
        for kind in FRONT[2:]:
            yield unknown(kind, f"no data: the server is silent ({replies['health'].state})")
        return
    yield from _reads(replies)
    yield from _artifacts(replies["artifacts"])


def _reads(replies: dict[str, Reply]) -> Iterable[Finding]:
    reads = [replies[name] for name in ("experiments", "models")]
    failed = [reply for reply in reads if not reply.ok]
    hung = [reply for reply in reads if reply.state == "timed out"]
    told_of = failed[:1] or reads  # both say the same where both fail
    yield measured(READS_FAIL, SURE if failed else -SURE, says=f"{'; '.join(reply.says for reply in told_of)}.")
    yield measured(READS_HANG, CLEAR if hung else -CLEAR, says=f"{len(hung)} of {len(reads)} searches got no answer.")
    told = {name for reply in failed for name in meanings(reply.message)}
    for kind, topic, signatures in (
        (SAYS_AWAY, AWAY_TOPIC, {"database-refused", "database-closed", "database-login"}),
        (SAYS_SLOTS, SLOTS_TOPIC, {"database-slots"}),
        (SAYS_SCHEMA, SCHEMA_TOPIC, {"schema-mismatch", "schema-refused"}),
    ):
        heard = sorted(told & signatures)
        if heard:
            words = next(reply.message for reply in failed if set(meanings(reply.message)) & signatures)
            yield measured(kind, SURE, says=f"It says: {words[:240]}", evidence=Evidence({"signatures": heard}))
        elif failed and len(hung) == len(failed):
            yield unknown(kind, "no data: it gave no answer in which it could have said so")
        else:
            yield measured(kind, -CLEAR, says=f"It says nothing of {topic}.")
    version, health = replies["version"], replies["health"]
    pool = "client-pool" in told
    slow = version.state == "timed out" or version.seconds > max(BUSY_SECONDS, 8 * health.seconds)
    yield measured(
        BUSY, SURE if pool else CLEAR if slow else -CLEAR, statistic=version.seconds,
        says=f"Health, which needs no worker, took {health.seconds:.2f} s; version, which needs one, "
        + ("did not come." if version.state == "timed out" else f"took {version.seconds:.2f} s."),
    )  # fmt: skip


def _artifacts(reply: Reply) -> Iterable[Finding]:
    denied = reply.status in (401, 403)
    yield measured(ARTIFACTS_FAIL, -SURE if reply.ok else SURE, says=f"Listing artifacts: {reply.says}.")
    if reply.state != "answered":
        yield unknown(ARTIFACTS_DENIED, f"no data: the listing was {reply.state}")
    else:
        yield measured(ARTIFACTS_DENIED, SURE if denied else -CLEAR, says=f"Listing answered {reply.status}.")


def _starting(mlflow: MLflow, health: Reply) -> float | None:
    """Return the age in seconds of a server that does not listen yet; None when it listens, is old, or elsewhere."""
    if health.state != "refused" or not mlflow.is_here:
        return None
    ages = [one.age for one in mlflow.processes()]
    return max(ages) if ages and max(ages) < STARTING_SECONDS else None


def _silent(health: Reply) -> bool:
    """Return whether nothing of the server is there: no connection, no answer, or a gateway's word for it."""
    return health.state in ("refused", "timed out", "closed", "unresolved", "unreachable") or health.status >= 500


def _not_mlflow(replies: dict[str, Reply]) -> str:
    """Return why the answers are not those of an MLflow server that may be read; empty when they are."""
    health, reads = replies["health"], replies["experiments"]
    if health.state == "certificate":
        return f"forbidden: the server's certificate is not accepted ({health.detail[:120]})"
    if 300 <= health.status < 400:
        return f"forbidden: it sends to another page ({health.location[:120] or 'no address'}), perhaps a login"
    if health.status in (401, 403) or (reads.status == 401):
        return "forbidden: it wants a login; set username and password, or token, in [source.mlflow]"
    if reads.status == 403 and "Host header" in reads.text:
        return "forbidden: it does not accept this host name in the address; ask it under the name its users use"
    if health.ok and health.text.strip() != "OK":
        return f"garbled: /health does not answer as MLflow does ({health.text.strip()[:60]!r})"
    return ""


LOG_AWAY = FindingKind(
    "tracking.log_database_away",
    says="The server's log says that the database cannot be reached.",
    leak=0.03,
    group="told.away",
)
LOG_SLOTS = FindingKind(
    "tracking.log_no_slots",
    says="The server's log says that the database takes no more sessions.",
    leak=0.02,
    group="told.slots",
)
LOG_SCHEMA = FindingKind(
    "tracking.log_schema", says="The server's log complains of the database's schema.", leak=0.01, group="told.schema"
)
LOG_DATABASE_FULL = FindingKind(
    "tracking.log_database_full",
    says="The server's log says that the database's disk is full.",
    leak=0.01,
    group="told.full",
)
LOG_STORE_AWAY = FindingKind(
    "tracking.log_store_away", says="The server's log says that the object store cannot be reached.", leak=0.02
)
LOG_STORE_DENIED = FindingKind(
    "tracking.log_store_denied",
    says="The server's log says that the object store refuses it.",
    leak=0.02,
    group="told.denied",
)
LOG_STORE_FULL = FindingKind(
    "tracking.log_store_full", says="The server's log says that the object store takes no more.", leak=0.01
)
LOG_POOL = FindingKind(
    "tracking.log_pool", says="The server's log says that its own connections or workers are all taken.", leak=0.02
)
LOG_STOPPED = FindingKind("tracking.log_stopped", says="The server's log ends with an orderly stop.", leak=0.02)
LOGGED: dict[FindingKind, tuple[str, frozenset[str]]] = {
    LOG_AWAY: (AWAY_TOPIC, frozenset({"database-refused", "database-closed", "database-login"})),
    LOG_SLOTS: (SLOTS_TOPIC, frozenset({"database-slots"})),
    LOG_SCHEMA: (SCHEMA_TOPIC, frozenset({"schema-mismatch", "schema-refused"})),
    LOG_DATABASE_FULL: ("a full disk of its database", frozenset({"database-disk-full"})),
    LOG_STORE_AWAY: ("an object store out of reach", frozenset({"store-unreachable"})),
    LOG_STORE_DENIED: ("a refusal by the object store", frozenset({"store-denied", "store-login"})),
    LOG_STORE_FULL: ("a full object store", frozenset({"store-full", "local-disk-full"})),
    LOG_POOL: ("connections or workers of its own that ran out", frozenset({"client-pool", "worker-timeout"})),
}
"""Finding → what it is about, and the signatures that tell it."""


@probe(findings=[*LOGGED, LOG_STOPPED], seconds=0.2)
def log(logs: Logs) -> Iterable[Finding]:
    """Reads the last minutes of the tracking server's log and says which known failures stand there."""
    if not logs.has("mlflow"):
        raise SourceError('no data: [source.logs] files names no "mlflow"')
    lines = logs.tail("mlflow", RECENT)
    found = counted(line.text for line in lines)
    for kind, (topic, signatures) in LOGGED.items():
        hits = {name: found[name] for name in sorted(signatures) if found[name]}
        total = sum(hits.values())
        if total:
            shown = [line.text for line in lines if set(meanings(line.text)) & signatures]
            yield measured(
                kind, min(SURE, LIKELY + 0.6 * total), statistic=float(total),
                says=f"{total} lines of the last {RECENT.seconds // 60} minutes: {shown[-1].strip()[:200]}",
                evidence=Evidence({"lines": total}, [LogLines(tuple(shown[-5:]), "mlflow")]),
            )  # fmt: skip
        elif not lines:
            yield unknown(kind, "no data: the log has no line of the last minutes")
        else:
            yield measured(kind, -1.0, statistic=0.0, says=f"Its log of the last minutes has no word of {topic}.")
    yield _stopped(logs, lines)


def _stopped(logs: Logs, lines: list[Line]) -> Finding:
    if not lines:
        older = logs.tail("mlflow", timedelta(days=1))
        if not older:
            return unknown(LOG_STOPPED, "no data: the log has no dated line of the last day")
        stopped = any("server-stopping" in meanings(line.text) for line in older[-1:])
        return measured(LOG_STOPPED, CLEAR if stopped else -0.4, says=f"Its last line: {older[-1].text.strip()[:160]}")
    stopped = any("server-stopping" in meanings(line.text) for line in lines[-1:])
    return measured(LOG_STOPPED, CLEAR if stopped else -1.0, says=f"Its last line: {lines[-1].text.strip()[:160]}")


MISSING = FindingKind(
    "tracking.process_missing",
    says="No process of the tracking server runs on its host.",
    leak=0.02,
    group="tracking.process",
)
FROZEN = FindingKind(
    "tracking.process_stopped", says="The tracking server's process is stopped in its tracks.", leak=0.01
)
STARTING = FindingKind(
    "tracking.starting", says="The tracking server's process started moments ago and is not up yet.", leak=0.05
)


@probe(findings=[MISSING, FROZEN, STARTING], seconds=0.2)
def process(mlflow: MLflow) -> Iterable[Finding]:
    """Looks for the tracking server's process on this host: whether it runs, is stopped, or has just started."""
    if not mlflow.is_here:
        raise SourceError(f"not applicable: the tracking server runs on {mlflow.host}, not on this host")
    found = mlflow.processes()
    if not found:
        yield measured(MISSING, CLEAR, statistic=0.0, says="No process with its port in the command line.")
        yield unknown(FROZEN, "no data: there is no such process")
        yield measured(STARTING, -LIKELY, says="There is no such process.")
        return
    oldest = max(found, key=lambda one: one.age)
    yield measured(MISSING, -SURE, statistic=float(len(found)), says=f"{len(found)} processes of it run.")
    stopped = [one for one in found if one.stopped]
    yield measured(
        FROZEN, SURE if stopped else -SURE, statistic=float(len(stopped)), says=f"{len(stopped)} of them are stopped."
    )
    young = _starting(mlflow, mlflow.health(1.0)) is not None
    yield measured(
        STARTING, SURE if young else -CLEAR, statistic=oldest.age, says=f"The oldest is {oldest.age:.0f} s old."
    )
