"""Probes of what changed since a pipeline's last good run: code, packages, variables and connections."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sickbay.errors import SourceError
from sickbay.probes import night
from sickbay.probes.pipeline import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import Event, Run
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

CODE = FindingKind("since.code_changed", says="The pipeline's code changed since its last good run.", leak=0.05)
CONFIG = FindingKind(
    "since.settings_changed", says="A variable or connection was changed since the last good run.", leak=0.05
)
PACKAGES = FindingKind("since.packages_changed", says="The tasks' packages changed since the last good run.", leak=0.04)
SINCE = (CODE, CONFIG, PACKAGES)
SETTING = re.compile(r"variable|connection|^(patch_dags?|paused)$", re.I)
READING = re.compile(r"^(get|list|test|export)", re.I)
MOST = 4000


@probe(findings=SINCE, seconds=0.6, deadline=20)
def changes(airflow: Airflow) -> Iterable[Finding | Change]:
    """Compares the code, the packages and the settings with those of the last good run; each change is dated."""
    seen = night.read(airflow)
    focus = seen.focus
    good = focus.good if focus else None
    if focus is None or good is None or good.ended is None:
        raise SourceError("no data: no good run is known to compare with")
    if not focus.sick:
        since, until = seen.now - timedelta(hours=24), seen.now
    else:
        since, until = good.ended, seen.now
    yield from _code(airflow, focus.dag.id, focus.runs[0] if focus.runs else None, good, since, focus.sick)
    yield from _settings(airflow, focus.dag.id, good, since, until)
    yield from _packages(airflow, since)


def _code(
    airflow: Airflow, dag: str, run: Run | None, good: Run, since: datetime, sick: bool
) -> Iterable[Finding | Change]:
    versions = [(number, at) for number, at in airflow.code_versions(dag) if at is not None]
    newer = [(n, at) for n, at in versions if at > since and n != good.version] if sick else []
    if run is not None and run.version and good.version and run.version != good.version and not newer:
        newer = [(run.version, run.started or since)]
    files = _newer(airflow.code, since) if airflow.code else []
    for number, at in newer[:3]:
        yield Change("dag-code", at, f"{dag} version {number}", "a new version of its structure")
    for path, at in files[:5]:
        yield Change("dag-code", at, str(path.name), _commit(path))
    rows = [(f"version {n}", at) for n, at in newer] + [(path.name, at) for path, at in files]
    evidence = Evidence(
        {"versions": len(newer), "files": len(files)},
        [Rows(("what", "at"), tuple(rows[:12]), "New code")] if rows else (),
    )
    if rows:
        when = f"at {rows[0][1]:%m-%d %H:%M} UTC"
        yield measured(
            CODE,
            SURE if files or newer else LIKELY,
            statistic=float(len(rows)),
            says=f"{rows[0][0]} came {when}, after the last good run.",
            evidence=evidence,
        )
    elif airflow.code:
        yield measured(
            CODE, -CLEAR, statistic=0.0, says="No file of the pipelines' code is newer than the last good run."
        )
    elif versions:
        says = "Its structure has no new version; code inside tasks is not seen without [source.airflow] code."
        yield measured(CODE, -0.4, statistic=0.0, says=says)
    else:
        yield unknown(CODE, "no data: this Airflow keeps no versions, and [source.airflow] names no code")


def _settings(airflow: Airflow, dag: str, good: Run, since: datetime, until: datetime) -> Iterable[Finding | Change]:
    edits = [
        event
        for event in airflow.events()
        if event.at is not None
        and since < event.at <= until
        and SETTING.search(event.what)
        and not READING.search(event.what)
    ]
    for event in edits[:10]:
        if event.at is not None:
            yield Change(
                "config", event.at, f"{event.what} {_subject(event)}", f"by {event.owner}" if event.owner else ""
            )
    if not edits:
        yield measured(CONFIG, -LIKELY, statistic=0.0, says="The event log has no change of a variable or connection.")
        return
    code = airflow.code_of(dag, good.version) if good.version else ""
    used = [event for event in edits if event.dag == dag or (_subject(event) and _names(code, _subject(event)))]
    first = (used or edits)[-1]
    table = Rows(
        ("at", "act", "of", "by"), tuple((e.at, e.what, _subject(e), e.owner) for e in edits[:10]), "Changed settings"
    )
    when = f"{first.at:%m-%d %H:%M} UTC" if first.at else ""
    says = f"{first.what} of {_subject(first) or 'an unnamed one'} at {when} by {first.owner or 'somebody'}"
    says += ", which the pipeline's code names." if used else "."
    yield measured(
        CONFIG, SURE if used else LIKELY, statistic=float(len(edits)), says=says, evidence=Evidence({}, [table])
    )


def _names(code: str, subject: str) -> bool:
    """Return whether code names a variable or connection: as a literal, or in a template."""
    name = re.escape(subject)
    return re.search(rf"""["']{name}["']|\b(?:var\.(?:value|json)|conn)\.{name}\b""", code) is not None


def _subject(event: Event) -> str:
    found = re.search(r'"(?:key|variable_key|connection_id|conn_id|id)"\s*:\s*"([^"]+)"', event.extra)
    return found[1] if found else event.dag


def _packages(airflow: Airflow, since: datetime) -> Iterable[Finding | Change]:
    place = airflow.packages
    if place is None:
        yield unknown(PACKAGES, 'no data: [source.airflow] names no packages; packages = "…/site-packages" does')
        return
    if not place.exists():
        yield unknown(PACKAGES, f"unreachable: {place} is not there or may not be read")
        return
    if place.is_dir():
        kept = list(place.glob("*.dist-info")) or sorted(place.rglob("*.dist-info"))[:MOST]
        dated = [(path.name.removesuffix(".dist-info"), _at(path)) for path in kept]
        touched = [(path.name, _at(path)) for path in {path.parent for path in kept}]
    else:
        dated, touched = [(place.name, _at(place))], []
    newer = sorted([(name, at) for name, at in dated if at > since], key=lambda pair: pair[1])
    for name, at in newer[:10]:
        yield Change("deploy", at, f"package {name}")
    evidence = Evidence(
        {"packages": len(newer)}, [Rows(("package", "installed"), tuple(newer[:12]), "New packages")] if newer else ()
    )
    if newer:
        says = f"{', '.join(name for name, _ in newer[:5])} came after the last good run."
        yield measured(PACKAGES, SURE, statistic=float(len(newer)), says=says, evidence=evidence)
    elif gone := [at for _, at in touched if at > since]:
        says = f"Packages were added or taken away at {max(gone):%m-%d %H:%M} UTC, after the last good run."
        yield Change("deploy", max(gone), "packages added or taken away")
        yield measured(PACKAGES, LIKELY, statistic=1.0, says=says)
    else:
        yield measured(
            PACKAGES, -CLEAR, statistic=0.0, says=f"None of {len(dated)} packages is newer than the last good run."
        )


def _newer(place: Path, since: datetime) -> list[tuple[Path, datetime]]:
    """Return the Python files and configuration below a place that are newer than an instant, newest first."""
    if not place.exists():
        return []
    files = (
        [place] if place.is_file() else [p for p in place.rglob("*") if p.suffix in (".py", ".sql", ".yaml", ".yml")]
    )
    dated = [(path, _at(path)) for path in files[:MOST]]
    return sorted([(p, at) for p, at in dated if at > since], key=lambda pair: pair[1], reverse=True)


def _at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _commit(path: Path) -> str:
    """Return the last commit of a file in words; empty where it lies in no git work tree or git is not there."""
    command = ["git", "-C", str(path.parent), "log", "-1", "--format=%h %an: %s", "--", path.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()[:160]
