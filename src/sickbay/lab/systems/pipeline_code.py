"""The code and the packages of the lab's nightly pipeline, changed as a team changes them, and put back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sickbay.lab.systems import airflow_past, environments, pipeline_past
from sickbay.lab.systems.nightly import LONG_AGO, NIGHTLY, Pipeline
from sickbay.lab.systems.pipeline import committed, git, parsed, source_of_dags
from sickbay.lab.systems.processes import LabError, wait_until


def commit(system: Pipeline, file: str, change: tuple[str, str], message: str) -> None:
    """Replace a text in a DAG file, and commit it now; LabError when the text is not there."""
    path = system.dags / file
    text = path.read_text(encoding="utf-8")
    if change[0] not in text:
        raise LabError(f"{path} has no {change[0]!r}")
    path.write_text(text.replace(change[0], change[1], 1), encoding="utf-8")
    if shutil.which("git"):
        now = datetime.now(UTC)
        git(system.dags.parent, "commit", "-q", "-a", "-m", message, at=now)


def wait_read(system: Pipeline, since: datetime) -> None:
    """Wait until Airflow has read the DAG files since a time, and found them good."""
    wait_until(lambda: parsed(system.flow, since), 90, "Airflow reading the changed DAG files")


def unreadable(system: Pipeline) -> bool:
    """Return whether Airflow knows that it cannot import the nightly pipeline: from then on it begins no run of it."""
    with airflow_past.opened(system.flow.home) as con:
        found = con.execute("SELECT has_import_errors FROM dag WHERE dag_id = ?", (NIGHTLY,)).fetchone()
    return bool(found and found[0])


def restore_code(system: Pipeline) -> None:
    """Put the DAG files back as they were, and let Airflow know no other version."""
    source = source_of_dags()
    for file in source.glob("*.py"):
        shutil.copy(file, system.dags)
    began = datetime.now(UTC)
    committed(system.dags.parent, began - LONG_AGO)
    wait_read(system, began)
    wait_read(system, datetime.now(UTC))  # the first reading may have begun before, and known the files as they were
    airflow_past.settle(system.flow.home, began - LONG_AGO)


def replace(system: Pipeline, old: Sequence[str], new: Sequence[str]) -> None:
    """Replace packages of the task's environment with those of another one, as an installation does."""
    source = next(environments.environment("etl-conflict").glob("lib/python*/site-packages"))
    remove(system, old)
    for name in new:
        for found in _of(source, name):
            target = system.packages / found.name
            if found.is_dir():
                shutil.copytree(found, target)
            else:
                shutil.copy(found, target)
            pipeline_past.age(target, datetime.now(UTC))


def remove(system: Pipeline, names: Sequence[str]) -> None:
    """Remove packages from the task's environment."""
    for name in names:
        for found in _of(system.packages, name):
            shutil.rmtree(found)


def restore_packages(system: Pipeline) -> Callable[[], None]:
    """Return the act that puts the task's environment back as it is now."""
    kept, packages = system.directory / ".lab" / "packages", system.packages
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(packages, kept, symlinks=True)

    def undo() -> None:
        shutil.rmtree(packages)
        shutil.copytree(kept, packages, symlinks=True)
        pipeline_past.age(packages, datetime.now(UTC) - LONG_AGO)

    return undo


def _of(packages: Path, name: str) -> list[Path]:
    """Return the directory of a package and that of its metadata."""
    return [path for path in (packages / name, *packages.glob(f"{name}-*.dist-info")) if path.exists()]
