"""Predictions kept with a registered model: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` of MLflow.

The table of predictions is an artifact of the version (``predictions.parquet`` unless ``#other.parquet`` is written
after the name). It is fetched through the tracking server; no code of the model is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sickbay.config import Site
from sickbay.errors import UserError
from sickbay.sources.context import Context
from sickbay.sources.mlflow import MLflow

ADDRESS = re.compile(r"^models:/(?P<name>[^/@#]+)(?:@(?P<alias>[^/@#]+)|/(?P<version>\d+))(?:#(?P<artifact>.+))?$")
USUAL = "predictions.parquet"


def is_registered(given: Any) -> bool:
    """Return whether an address names a registered model."""
    return isinstance(given, str) and given.startswith("models:")


def fetch(given: str, site: Site | None, environ: Mapping[str, str], folder: Path, key: str) -> tuple[Path, str]:
    """Fetch the predictions of a registered version into ``folder``; return the file and the version in words.

    Raises UserError that names what is missing: the address, the site's ``[source.mlflow]``, the alias, the artifact.
    """
    match = ADDRESS.match(given)
    if match is None:
        raise UserError(
            f"{key}: {given!r} names no registered model", hint="models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    if site is None or "mlflow" not in site.source:
        raise UserError(
            f"{key}: {given} needs the registry's address", hint='a site file with [source.mlflow] url = "…"'
        )
    server = MLflow.connect(Context(site, datetime.now(UTC), environ=environ))
    try:
        version = match["version"] or _version_of(server, match["name"], match["alias"], key)
        source = _source_of(server, match["name"], version, key)
        artifact = match["artifact"] or USUAL
        found = server.artifact(f"{source}/{artifact}")
        if isinstance(found, str):
            raise UserError(
                f"{key}: version {version} of {match['name']} has no artifact {artifact}: {found}",
                hint="log the table of its predictions with the model, or name it: models:/NAME@ALIAS#FILE",
            )
        path = folder / f"{key.strip('-')}-{Path(artifact).name}"
        path.write_bytes(found)
        return path, f"{match['name']} version {version}" + (f" ({match['alias']})" if match["alias"] else "")
    finally:
        server.close()


def _version_of(server: MLflow, name: str, alias: str, key: str) -> str:
    for version, aliases in server.aliases(name).items():
        if alias in aliases:
            return version
    raise UserError(f"{key}: the registry has no {name}@{alias}", hint="`sickbay doctor` says whether it can be read")


def _source_of(server: MLflow, name: str, version: str, key: str) -> str:
    """Return where the artifacts of a version lie, as a path of the server's artifact proxy."""
    source = server.artifact_root(name, version)
    if source is None:
        raise UserError(f"{key}: the registry has no version {version} of {name}")
    if not source.startswith("mlflow-artifacts:/"):
        raise UserError(
            f"{key}: the artifacts of {name} version {version} do not go through the tracking server ({source})",
            hint="fetch the table and name the file",
        )
    return re.sub(r"^mlflow-artifacts:/+", "", source)
