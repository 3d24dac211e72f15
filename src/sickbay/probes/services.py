"""Probes of the services of this host: units of systemd that failed, were killed, or start over and over."""

from __future__ import annotations

from collections.abc import Iterable

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.services import Services
from sickbay.terms.evidence import Evidence, LogLines, Rows
from sickbay.terms.finding import Finding, FindingKind, measured

FAILED = FindingKind("services.unit_down", says="A service of the host is not running.", leak=0.02)
OOM = FindingKind("services.killed_for_memory", says="The kernel killed a service for want of memory.", leak=0.005)
RESTARTS = FindingKind("services.restarts", says="A service starts over and over.", leak=0.03)


@probe(findings=[FAILED, OOM, RESTARTS], seconds=0.3, deadline=20)
def units(services: Services) -> Iterable[Finding]:
    """Asks systemd for the state of the site's units, and the journal for their last loud lines."""
    found = services.states()
    if not found:
        raise SourceError("no data: [source.services] names no units")
    missing = [unit.name for unit in found if not unit.loaded]
    known = [unit for unit in found if unit.loaded]
    if not known:
        raise SourceError(f"no data: systemd knows none of {', '.join(missing)}")
    table = Rows(
        ("unit", "state", "result", "status", "restarts"),
        tuple((u.name, f"{u.active} ({u.sub})", u.result, u.status, u.restarts) for u in found), "Units",
    )  # fmt: skip
    try:
        loud = [f"{entry.at:%H:%M:%S} {entry.text}" for entry in services.journal() if entry.priority <= 4]
    except SourceError:
        loud = []
    evidence = Evidence({"units": len(found)}, [table, *([LogLines(tuple(loud[-6:]), "journal")] if loud else [])])
    down = [u for u in known if u.active in ("failed", "inactive", "deactivating")]
    says = "; ".join(f"{u.name} is {u.active} ({u.result})" for u in down) or f"All {len(known)} units run"
    yield measured(FAILED, 4.2 if down else -3.0, statistic=float(len(down)), says=f"{says}.", evidence=evidence)
    oom = [u.name for u in known if u.result == "oom-kill"]
    told = f"{', '.join(oom)} ended by oom-kill." if oom else "No unit ended by oom-kill."
    yield measured(OOM, 4.2 if oom else -2.0, statistic=float(len(oom)), says=told, evidence=evidence)
    most = max(known, key=lambda u: u.restarts)
    ratio = 3.0 if most.restarts > 5 else 0.5 if most.restarts > 1 else -2.0
    yield measured(
        RESTARTS, ratio, statistic=float(most.restarts), says=f"{most.name} was restarted {most.restarts} times."
    )
