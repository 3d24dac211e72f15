"""Probes of the model registry: which versions came when, and which one an alias names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.mlflow import MLflow, rows
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

RECENT = timedelta(days=14)
RELEASED = FindingKind(
    "registry.version_is_recent", says="A version of the model was registered in the last two weeks.", leak=0.25
)


@probe(findings=[RELEASED], seconds=0.4, deadline=20)
def versions(mlflow: MLflow) -> Iterable[Finding | Change]:
    """Reads the model's versions and aliases from the registry; those of the last two weeks are changes."""
    if not mlflow.registered:
        raise SourceError('not applicable: [model.*] names no registered model; registry = { mlflow = "name" } does')
    reply = mlflow.search_versions(mlflow.registered)
    if not reply.ok:
        raise SourceError(f"unreachable: {reply.says}")
    found = sorted(rows(reply, "model_versions"), key=lambda row: -int(row.get("creation_timestamp") or 0))
    if not found:
        yield unknown(RELEASED, f"no data: the registry has no version of {mlflow.registered}")
        return
    aliases = mlflow.aliases(mlflow.registered)
    listed = [
        (str(row.get("version")), created(row), ", ".join(aliases.get(str(row.get("version")), []))) for row in found
    ]
    recent = [(version, at, named) for version, at, named in listed if timedelta(0) <= mlflow.now - at < RECENT]
    for version, at, named in recent:
        yield Change("model-version", at, f"{mlflow.registered} version {version}", f"alias {named}" if named else "")
    newest, at, _ = listed[0]
    table = Rows(
        ("version", "registered", "aliases"),
        tuple((version, f"{when:%Y-%m-%d %H:%MZ}", named) for version, when, named in listed[:12]),
        f"Versions of {mlflow.registered}",
    )
    yield measured(
        RELEASED, 1.5 if recent else -1.5, statistic=float(len(recent)),
        evidence=Evidence({"recent": len(recent)}, [table]),
        says=f"The newest version of {mlflow.registered} is {newest}, registered {at:%Y-%m-%d %H:%MZ}; "
        f"{len(recent)} came in the last two weeks.",
    )  # fmt: skip


def created(row: dict[str, object]) -> datetime:
    """Return when a version was registered."""
    return datetime.fromtimestamp(int(str(row.get("creation_timestamp") or 0)) / 1000, UTC)
