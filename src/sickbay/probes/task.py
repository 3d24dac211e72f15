"""Probes of the task that failed: what its error says, and how its process ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sickbay.errors import SourceError
from sickbay.probes import edits, failures, night, templates
from sickbay.probes.failures import Match
from sickbay.probes.pipeline import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import LogLine, Raised, Task
from sickbay.terms.evidence import Evidence, LogLines, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown


def _kind(name: str, says: str) -> FindingKind:
    return FindingKind(f"task.{name}", says=says, leak=0.01)


SAID: dict[str, FindingKind] = {
    "http_failed": _kind("http_failed", "The task got no good answer from an HTTP service."),
    "database_failed": _kind("database_failed", "The task could not connect to a database."),
    "access_denied": _kind("access_denied", "The task was refused: a key, a password or a right is wrong."),
    "input_schema": _kind("input_schema", "The task missed a column or field in its input."),
    "input_invalid": _kind("input_invalid", "The task's checks refused its input."),
    "name_unresolved": _kind("name_unresolved", "The task could not resolve a name or found no route."),
    "volume_failed": _kind("volume_failed", "The task could not use a volume: read-only, missing or not permitted."),
    "no_space": _kind("no_space", "The task found no room left to write."),
    "no_memory": _kind("no_memory", "The task got no more memory."),
    "import_failed": _kind("import_failed", "The task could not import a package, or packages do not fit together."),
    "code_failed": _kind("code_failed", "The task's own code is wrong."),
    "setting_missing": _kind("setting_missing", "A variable, connection or setting of the task is not there or wrong."),
    "connect_timed_out": _kind("connect_timed_out", "The task's attempts to connect got no answer at all."),
    "timed_out": _kind("timed_out", "The task was ended because it took too long."),
}
"""What a signature speaks for → the finding."""
WELL_KNOWN = frozenset({
    "http_failed", "database_failed", "access_denied", "name_unresolved", "connect_timed_out", "volume_failed",
    "no_space", "no_memory", "import_failed",
})  # fmt: skip
"""What shows itself in few kinds of exceptions, so that an unknown one speaks against it."""

OF_VALUES = frozenset({"input_schema", "input_invalid", "code_failed", "answer-not-json"})
"""What a signature speaks for, or its id, where the value may be one of the input as well as one of a setting."""


@probe(findings=tuple(SAID.values()), seconds=0.5, deadline=20)
def error(airflow: Airflow) -> Iterable[Finding]:
    """Reads the log of the failed try and classifies its error: by the chain of exceptions, text as a fall-back."""
    seen = night.read(airflow)
    if seen.culprit is None:
        yield from _nothing_failed(seen)
        return
    lines = night.log(airflow)
    if not lines:
        raise SourceError(f"no data: try {seen.attempt} of {seen.culprit.id} left no log")
    before = night.good_lines(airflow, seen)
    match = failures.of_log(lines, frozenset(before))
    evidence = Evidence({"task": seen.culprit.id, "try": seen.attempt}, _exhibits(before, lines, match))
    chain = _chain(lines)
    at = failures.place(chain)
    where = f" ({seen.culprit.id}, {at})" if at else f" ({seen.culprit.id})"
    setting = _setting(airflow, seen, chain, match)
    if setting:
        told = f"{failures.said(chain[-1])}, where the code reads the setting {setting}{where}"
        yield from _one(SAID["setting_missing"], CLEAR, told, evidence)
        return
    if match is None or match.signature.speaks_for not in SAID:
        yield from _unclassified(lines, match, evidence)
        return
    yield from _one(SAID[match.signature.speaks_for], match.signature.weight, f"{match.said}{where}", evidence)


def _one(so: FindingKind, weight: float, told: str, evidence: Evidence) -> Iterable[Finding]:
    """Report one kind of error, and the others as not being it."""
    for kind in SAID.values():
        if kind is so:
            yield measured(kind, weight, says=f"{told}.", evidence=evidence)
        else:
            yield measured(kind, -min(CLEAR, weight), says=f"Its error is another: {told[:120]}.")


def _setting(airflow: Airflow, seen: night.Night, chain: Sequence[Raised], match: Match | None) -> str:
    """Return the setting whose value an error is about; empty for none.

    An error that tells of a wrong value tells not whose. The line that raised it does, where it works on nothing else.
    """
    telling = match is None or match.signature.speaks_for in OF_VALUES or match.signature.id in OF_VALUES
    frame = failures.own(chain) if telling else None
    return edits.setting_at(airflow, seen, frame) if frame else ""


def _nothing_failed(seen: night.Night) -> Iterable[Finding]:
    ended = seen.focus is None or seen.focus.state in ("well", "never ran")
    for kind in SAID.values():
        if not ended:
            yield unknown(kind, "no data: no task failed by itself, so that there is no error to read")
        else:
            yield measured(kind, -LIKELY, says="No task failed.")


def _unclassified(lines: Sequence[LogLine], match: Match | None, evidence: Evidence) -> Iterable[Finding]:
    chain = _chain(lines)
    told = f"it says {failures.said(chain[-1])[:160]}" if chain else "its log names no error"
    if match is not None:
        told = f"its process ended: {match.said[:160]}"
    for topic, kind in SAID.items():
        if chain and topic in WELL_KNOWN:
            yield measured(kind, -1.0, says=f"No signature of this fits its error; {told}.", evidence=evidence)
        elif chain:
            yield unknown(kind, f"no data: no signature knows its error; {told}", evidence=evidence)
        else:  # killed, or cut off: an error of any of these kinds would have left its words
            yield measured(kind, -CLEAR, says=f"No such error stands in its log; {told}.")


def _chain(lines: Sequence[LogLine]) -> Sequence[Raised]:
    return next((line.raised for line in reversed(lines) if line.raised), ())


def _exhibits(before: Sequence[str], lines: Sequence[LogLine], match: Match | None) -> list[Rows | LogLines]:
    found: list[Rows | LogLines] = []
    chain = _chain(lines)
    if chain:
        rows = tuple((link.type, " ".join(link.value.split())[:160]) for link in chain)
        found.append(Rows(("exception", "says"), rows, "The chain, its root cause last"))
    loud = [f"{line.level.upper()} {line.text}" for line in lines if line.level in ("warning", "error", "critical")]
    if loud:
        found.append(LogLines(tuple(loud[-6:]), f"{match.signature.id}" if match else "its loudest lines"))
    news = templates.news(before, [line.text for line in lines])
    if news:
        found.append(LogLines(tuple(news), "lines of a kind that its last good run did not have"))
    return found


KILLED = FindingKind("task.killed", says="The task's process was killed from outside.", leak=0.01)
HEARTBEAT = FindingKind("task.heartbeat_lost", says="The task's process vanished without a word.", leak=0.01)
NEVER_STARTED = FindingKind("task.never_started", says="The task was handed out, and no worker took it up.", leak=0.01)
ENDED = (KILLED, HEARTBEAT, NEVER_STARTED)


@probe(findings=ENDED, seconds=0.5, deadline=20)
def process(airflow: Airflow) -> Iterable[Finding]:
    """Reads how the failed task's process ended: killed, vanished, or never started, by log, event log and states."""
    seen = night.read(airflow)
    culprit = seen.culprit
    if culprit is None:
        ended = seen.focus is None or seen.focus.state in ("well", "never ran")
        why = "" if ended else "no data: no task failed by itself so far"
        for kind in ENDED:
            yield unknown(kind, why) if why else measured(kind, -LIKELY, says="No task failed.")
        return
    events = [e for e in airflow.events(limit=60, dag_id=culprit.dag) if e.run == culprit.run and e.task == culprit.id]
    told = [event.what for event in events]
    lines = night.log(airflow)
    tells = [line for line in lines if line.signal or line.exit_code is not None]
    text = failures.of_log([line for line in lines if not line.raised], frozenset(night.good_lines(airflow, seen)))
    killed = [line for line in tells if line.signal in ("SIGKILL", "SIGTERM") or line.exit_code in (137, -9, 143)]
    by_text = text is not None and text.signature.speaks_for == "killed"
    says = killed[-1].text if killed else text.said if text and by_text else ""
    table = Rows(
        ("at", "event", "says"), tuple((e.at, e.what, e.extra[:160]) for e in events[:12]), "Event log of the task"
    )
    evidence = Evidence({"tries": culprit.tries, "host": culprit.host}, [table])
    yield measured(
        KILLED, SURE if killed or by_text else -CLEAR, evidence=evidence,
        says=f"{culprit.id} on {culprit.host or 'no host'}: {says[:160]}" if says else "No signal ended its process.",
    )  # fmt: skip
    yield from _other_ends(culprit, told, text, bool(killed) or by_text, evidence)


def _other_ends(
    culprit: Task, told: list[str], text: Match | None, killed: bool, evidence: Evidence
) -> Iterable[Finding]:
    """Report the ends that shut each other out: what was killed did not vanish, and what vanished had started."""
    lost = "heartbeat timeout" in told or (text is not None and text.signature.speaks_for == "heartbeat_lost")
    unborn = culprit.state == "failed" and culprit.started is None and culprit.pid is None
    for kind, so, yes, no in (
        (
            HEARTBEAT,
            lost,
            f"{culprit.id} stopped giving heartbeats; its log just ends.",
            "Its heartbeats did not stop.",
        ),
        (
            NEVER_STARTED,
            unborn,
            f"{culprit.id} failed with neither start, process nor host.",
            f"It ran on {culprit.host}.",
        ),
    ):
        if so:
            yield measured(kind, SURE, says=yes, evidence=evidence)
        elif killed or lost or unborn:
            yield unknown(kind, "not applicable: its process ended in another way")
        else:
            yield measured(kind, -CLEAR, says=no)
