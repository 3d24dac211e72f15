"""Runs one probe so that nothing it does can sink or stall the rest: each declared finding comes out, come what may."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from sickbay.errors import SourceError, SourceForbidden, SourceGarbled, SourceTimeout, UserError
from sickbay.investigation.connections import Connections
from sickbay.redact import redact, redact_all
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence
from sickbay.terms.finding import CAP, Finding, unknown
from sickbay.terms.probe import Probe


@dataclass(slots=True)
class Run:
    """One probe under way or done. ``findings`` holds every declared finding once the run has ended."""

    probe: Probe
    started: float
    findings: dict[str, Finding] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    seconds: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)


def start(probe: Probe, connections: Connections, options: dict[str, Any], done: Callable[[Run], None]) -> Run:
    """Start a probe in a thread of its own that cannot keep the program alive; ``done`` is called in that thread."""
    run = Run(probe, time.monotonic())

    def work() -> None:
        reason, evidence = _measure(run, connections, options)
        with run.guard:
            if not run.given_up:
                finish(run, reason, evidence)
        done(run)

    threading.Thread(target=work, name=f"probe {probe.name}", daemon=True).start()
    return run


def give_up(run: Run, reason: str) -> None:
    """Stop waiting for a probe: what it has not reported becomes unknown with this reason; later reports are lost."""
    with run.guard:
        if not run.ended.is_set():
            run.given_up = True
            finish(run, reason, Evidence())


def finish(run: Run, reason: str, evidence: Evidence) -> None:
    """Fill in the findings that were declared and not reported, and mark the run as ended."""
    run.seconds = time.monotonic() - run.started
    for kind in run.probe.findings:
        if kind.id not in run.findings:
            run.findings[kind.id] = unknown(kind, redact(reason), evidence=evidence)
    for name, finding in run.findings.items():
        run.findings[name] = replace(finding, probe=run.probe.name, seconds=run.seconds)
    run.ended.set()


def _measure(run: Run, connections: Connections, options: dict[str, Any]) -> tuple[str, Evidence]:
    """Run the probe; return the reason for the findings that it leaves out, and evidence for them."""
    try:
        for item in run.probe.run(**connections.arguments(run.probe), **options):
            problem = _take(run, item)
            if problem:
                return problem, Evidence()
    except SourceTimeout as error:
        return f"timed out: {error}", Evidence()
    except SourceForbidden as error:
        return f"forbidden: {error}", Evidence()
    except SourceGarbled as error:
        return f"garbled: {error}", Evidence()
    except SourceError as error:
        text = str(error)
        return (text if _has_word(text) else f"unreachable: {text}"), Evidence()
    except UserError as error:
        return f"not usable: {error}", Evidence()
    except Exception as error:  # noqa: BLE001 - a crash in a probe is a finding, with its traceback in the record
        trace = redact("".join(traceback.format_exception(error)))
        return f"crashed: {type(error).__name__}: {error}", Evidence({"traceback": trace})
    return "not reported: the probe ended without saying anything about it", Evidence()


def attempt(call: Callable[[], None]) -> str:
    """Make a call into code that is not ours; return what it raised, in one line, or an empty string."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - a stranger's crash must not sink the run; it is put in the record
        return redact(f"{type(error).__name__}: {error}")
    return ""


def _take(run: Run, item: Any) -> str:
    """Take one reported item in; return what is wrong with it, or an empty string."""
    if isinstance(item, Change):
        run.changes.append(redact_all(replace(item, probe=run.probe.name)))
        return ""
    if not isinstance(item, Finding):
        return f"garbage: the probe reported a {type(item).__name__}, not a finding"
    if item.id not in {kind.id for kind in run.probe.findings}:
        return f"garbage: the probe reported {item.id!r}, which it does not declare"
    if not isinstance(item.log_ratio, Real) or item.log_ratio != item.log_ratio:
        return f"garbage: the probe reported {item.id!r} with a log ratio that is no number"
    if item.status not in ("measured", "unknown"):
        return f"garbage: the probe reported {item.id!r} as {item.status!r}, neither measured nor unknown"
    if item.status == "unknown" and (item.log_ratio != 0 or not item.reason):
        return f"garbage: {item.id!r} is unknown, but carries evidence or no reason"
    with run.guard:
        if not run.given_up:
            run.findings[item.id] = redact_all(replace(item, log_ratio=max(-CAP, min(CAP, float(item.log_ratio)))))
    return ""


def _has_word(text: str) -> bool:
    """Return whether a message already begins with its reason word, such as ``too few rows: …``."""
    head, colon, _ = text.partition(":")
    return bool(colon) and head in REASONS


REASONS = ("no data", "too few rows", "not applicable", "unreachable", "forbidden", "timed out", "garbled")
