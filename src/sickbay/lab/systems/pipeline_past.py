"""A week of nights of the lab's pipeline: run once for real, kept in the cache, copied by every later start."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from sickbay.lab.systems import airflow_past, environments
from sickbay.lab.systems.nightly import DAGS, NIGHTLY, NIGHTS, RETRAIN, Pipeline, last, loaded
from sickbay.lab.systems.processes import wait_until

EDITION = "1"
"""Changes when the kept past has to be made anew for another reason than its files or packages."""


def place() -> Path:
    """Return where the past is kept that fits these DAG files, packages and this Python."""
    return environments.cache() / f"airflow-past-{_mark()}"


def record(kept: Path, begin: Callable[[Path], Pipeline]) -> None:
    """Run a week of nights for real, and keep what they left behind."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "airflow-past.lock").open("w") as lock, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (kept / "ready").exists():
            return
        made = begin(Path(folder).resolve() / "first")
        try:
            _run_week(made)
            made.flow.stop()
            _keep(made, kept)
        finally:
            made.stop()


def _run_week(made: Pipeline) -> None:
    """Run the last night as scheduled, the nights before it as a backfill; the same for the retraining."""
    flow = made.flow
    for dag, hour, end in ((NIGHTLY, 3, made.tonight), (RETRAIN, 6, last(6, made.zone, datetime.now(UTC)))):
        del hour
        flow.ask(f"/dags/{dag}", {"is_paused": False}, method="PATCH")
        first = end - timedelta(days=NIGHTS if dag == NIGHTLY else NIGHTS - 1)
        flow.ask("/backfills", {
            "dag_id": dag, "from_date": first.isoformat(), "to_date": (end - timedelta(days=1)).isoformat(),
            "max_active_runs": 2,
        })  # fmt: skip
        count = NIGHTS + (dag == NIGHTLY)
        wait_until(
            lambda dag=dag, count=count: list(airflow_past.runs(flow.home, dag).values()) == ["success"] * count,  # type: ignore[misc]
            400, f"a week of {dag}", flow.servers["scheduler"],
        )  # fmt: skip
    flow.ask(f"/dags/{DAGS[2]}", {"is_paused": False}, method="PATCH")


def _keep(made: Pipeline, kept: Path) -> None:
    half = kept.with_name(f"{kept.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    with airflow_past.opened(made.flow.home) as con:
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(made.flow.home / "airflow.db", half)
    shutil.copytree(
        made.flow.home / "logs", half / "logs", ignore=shutil.ignore_patterns("dag_processor*", "scheduler*")
    )
    shutil.copytree(made.worker.outside(made.warehouse), half / "warehouse")
    shutil.copytree(made.directory / "models", half / "models")
    past = {
        "zone": made.zone, "tonight": made.tonight.isoformat(), "directory": str(made.directory),
        "ports": [made.to_api.port, made.to_database.port],
    }  # fmt: skip
    (half / "past.json").write_text(json.dumps(past), encoding="utf-8")
    (half / "ready").touch()
    shutil.rmtree(kept, ignore_errors=True)
    half.rename(kept)


def restore(made: Pipeline, kept: Path) -> None:
    """Copy the kept past, moved to the nights before this one."""
    home, past = made.flow.home, json.loads((kept / "past.json").read_text(encoding="utf-8"))
    shutil.copy(kept / "airflow.db", home)
    shutil.copytree(kept / "logs", home / "logs")
    tonight, zone = datetime.fromisoformat(past["tonight"]), past["zone"]
    moved, days, coming = [], {}, {}
    for dag, hour in ((NIGHTLY, 3), (RETRAIN, 6)):
        planned = last(hour, made.zone, datetime.now(UTC))
        names = list(airflow_past.runs(home, dag))
        for back, name in enumerate(reversed(names)):
            at = planned - timedelta(days=back)
            old = tonight - timedelta(days=back + (dag == RETRAIN))
            days[name] = f"{loaded(old, zone)}>{loaded(at, made.zone)}"
            moved.append(airflow_past.Moved(dag, name, at))
            if dag == NIGHTLY:
                _move_partition(kept, made, (loaded(old, zone), loaded(at, made.zone)), at)
        coming[dag] = planned + timedelta(days=1)
    words = {past["directory"]: str(made.directory)}
    for old_port, port in zip(past["ports"], (made.to_api.port, made.to_database.port), strict=True):
        words[f":{old_port}/"] = f":{port}/"
    airflow_past.move(home, moved, words, days)
    for dag, at in coming.items():  # what the kept past planned next may be due by now
        airflow_past.plan(home, dag, at)
    with airflow_past.opened(home) as con:
        con.execute("DELETE FROM variable")
        con.execute("DELETE FROM connection")
        con.execute("DELETE FROM slot_pool WHERE pool = 'warehouse'")


def _move_partition(kept: Path, made: Pipeline, days: tuple[str, str], at: datetime) -> None:
    old, new = days
    source = kept / "warehouse" / "orders" / f"date={old}"
    target = made.worker.outside(made.warehouse) / "orders" / f"date={new}"
    target.mkdir()
    for file in source.iterdir():
        text = file.read_text(encoding="utf-8").replace(old, new).replace(old.replace("-", ""), new.replace("-", ""))
        (target / file.name).write_text(text, encoding="utf-8")
    age(target, at + timedelta(seconds=15))
    if (model := kept / "models" / f"fraud-{old}.json").exists():
        copied = made.directory / "models" / f"fraud-{new}.json"
        copied.write_text(model.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        age(copied, at + timedelta(hours=3, seconds=15))


def age(place: Path, at: datetime) -> None:
    """Let everything below a place be last changed at a time."""
    for path in [*place.rglob("*"), place]:
        if not path.is_symlink():
            os.utime(path, (at.timestamp(), at.timestamp()))


def _mark() -> str:
    folder = resources.files("sickbay.lab.systems")
    files = [folder / "requirements" / f"{name}.txt" for name in ("airflow", "etl")]
    files += sorted((folder / "pipeline_repo" / "dags").iterdir(), key=str)
    text = [file.read_text(encoding="utf-8") for file in files if file.name.endswith((".py", ".txt"))]
    return hashlib.sha256(f"{text}{sys.version_info[:2]}{EDITION}".encode()).hexdigest()[:12]
