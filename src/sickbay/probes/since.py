"""Probes of what changed since a pipeline's last good run: code, packages, variables and connections."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sickbay.errors import SourceError
from sickbay.probes import edits, night
from sickbay.probes.edits import Edit, StepCode
from sickbay.probes.night import Night
from sickbay.probes.pipeline import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import Run
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

CODE = FindingKind("since.code_changed", says="The pipeline's code changed since its last good run.", leak=0.05)
CONFIG = FindingKind(
    "since.settings_changed", says="A variable or connection was changed since the last good run.", leak=0.01
)
"""Leak: that what the failing step reads was edited in between by chance; other edits, oftener, are graded lower."""
PACKAGES = FindingKind("since.packages_changed", says="The tasks' packages changed since the last good run.", leak=0.04)
SINCE = (CODE, CONFIG, PACKAGES)
ELSEWHERE = 0.7
"""Log ratio of an edit of what the failing step does not name: helpers that are not seen may read it."""
MOST = 4000


@probe(findings=SINCE, seconds=0.6, deadline=20)
def changes(airflow: Airflow) -> Iterable[Finding | Change]:
    """Compares the code, the packages and the settings with those of the last good run; each change is dated."""
    seen = night.read(airflow)
    focus = seen.focus
    good = focus.good if focus else None
    if focus is None or good is None or good.ended is None:
        raise SourceError("no data: no good run is known to compare with")
    since = good.ended if focus.sick else seen.now - timedelta(hours=24)
    yield from _code(airflow, focus.dag.id, focus.runs[0] if focus.runs else None, good, since, focus.sick)
    yield from _settings(airflow, seen, since)
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


def _settings(airflow: Airflow, seen: Night, since: datetime) -> Iterable[Finding | Change]:
    focus = seen.focus
    assert focus is not None
    found, whole = edits.read(airflow, since, seen.now, focus.dag.id if focus.state in ("paused", "overdue") else "")
    failed = focus.bad[-1].ended if focus.state == "failing" else None
    early = [edit for edit in found if failed is None or edit.at <= failed]
    for edit in early[:10]:
        yield Change("config", edit.at, f"{edit.what} {edit.of}", f"by {edit.by}" if edit.by else "")
    if not early and not whole:
        yield unknown(CONFIG, "no data: the event log since then is too long to be read, and its newest part has none")
    elif not early and found:
        says = f"{found[-1].says} came after the first failure, so that it is not its cause."
        yield measured(CONFIG, -LIKELY, statistic=0.0, says=says)
    elif not early:
        yield measured(CONFIG, -LIKELY, statistic=0.0, says="The event log has no change of a variable or connection.")
    else:
        ratio, edit, more = _nearest(early, edits.step_of(airflow, seen), focus.sick)
        table = Rows(
            ("at", "act", "of", "by"), tuple((e.at, e.what, e.of, e.by) for e in early[:10]), "Changed settings"
        )
        yield measured(
            CONFIG, ratio, statistic=float(len(early)), says=f"{edit.says}{more}.", evidence=Evidence({}, [table])
        )


def _nearest(found: Sequence[Edit], code: StepCode, sick: bool) -> tuple[float, Edit, str]:
    """Return how loudly edits speak, the one nearest to the failure, and what ties it to that, in words."""
    if paused := [edit for edit in found if edit.pause]:
        return SURE if sick else LIKELY, paused[-1], ""
    if used := [edit for edit in found if edit.named_in(code.step)]:
        return SURE if sick else LIKELY, used[-1], f", which {code.task} reads, the step that failed"
    if used := [edit for edit in found if edit.named_in(code.pipeline)]:
        return CLEAR if sick else LIKELY, used[-1], ", which the pipeline's code names"
    if code.step:
        return ELSEWHERE, found[-1], f"; the code of {code.task}, the step that failed, does not name it"
    return LIKELY, found[-1], ""


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
