"""Starts the nightly pipeline of the lab: with a week of nights behind it, run once and kept in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from sickbay.lab.systems import airflow, airflow_past, environments, machine, pipeline_past, postgres
from sickbay.lab.systems.nightly import (
    DAGS,
    DATABASE,
    KEY,
    LONG_AGO,
    MIN_ROWS,
    NIGHTLY,
    NIGHTS,
    ORDERS_HOST,
    PASSWORD,
    RATES_HOST,
    RETRAIN,
    ROLE,
    WATCHER,
    WATCHER_PASSWORD,
    Pipeline,
    loaded,
)  # fmt: skip
from sickbay.lab.systems.processes import free_port, wait_until
from sickbay.lab.systems.proxy import Proxy
from sickbay.registry import system

WAREHOUSE_MB, STAGING_MB = 16, 96


@system("pipeline", scenario="pipeline-failure")
def start(directory: Path, *, say: Callable[[str], None] = lambda _: None) -> Pipeline:
    """Start the system in a directory, with a week of nights behind it; LabError when it cannot."""
    for name in ("postgres", "etl", "etl-conflict", "airflow"):
        say(f"packages of {name}")
        environments.environment(name)
    kept = pipeline_past.place()
    if not (kept / "ready").exists():
        say("the first time: a week of nights is run, which later starts copy")
        pipeline_past.record(kept, lambda place: _begin(place, None))
    say("PostgreSQL, the partner's API, Airflow with its past")
    return _begin(directory, kept)


def _begin(directory: Path, kept: Path | None) -> Pipeline:
    """Start everything, on a kept past or (None) on none."""
    with ExitStack() as undo:
        zone = night_zone(datetime.now(UTC))
        made = _servers(directory, zone, undo)
        flow = made.flow
        flow.prepare()
        if kept is None:
            flow.migrate()
        else:
            pipeline_past.restore(made, kept)
        began = datetime.now(UTC)
        flow.launch()
        flow.wait()
        _configure(made)
        wait_until(lambda: parsed(flow, began), 120, "Airflow reading the DAG files", flow.servers["dag-processor"])
        airflow_past.settle(flow.home, began - LONG_AGO)
        airflow_past.forget_audit(flow.home, began)
        _site(made)
        undo.pop_all()
    return made


def night_zone(now: datetime) -> str:
    """Return a time zone in which it is past three now, and before four."""
    ahead = (3 - now.hour) % 24  # hours ahead of UTC; zones go from -12 to +14, and Etc/GMT turns the sign round
    return f"Etc/GMT-{ahead}" if ahead <= 12 else f"Etc/GMT+{24 - ahead}"


def _servers(directory: Path, zone: str, undo: ExitStack) -> Pipeline:
    directory.mkdir(parents=True, exist_ok=True)
    for old in ("airflow", "repo", "task-env", "models"):
        shutil.rmtree(directory / old, ignore_errors=True)
    for log in directory.glob("*.log"):
        log.unlink()
    disks = {directory / "warehouse": WAREHOUSE_MB, directory / "staging": STAGING_MB}
    worker = machine.start(directory / ".lab", disks, (RATES_HOST, ORDERS_HOST))
    undo.callback(worker.stop)
    database = postgres.start(directory)
    undo.callback(database.stop)
    to_database, api_port = Proxy(free_port(), database.port), free_port()
    undo.callback(to_database.close)
    to_api = Proxy(free_port(), api_port)
    undo.callback(to_api.close)
    flow = airflow.Airflow(directory, free_port(), directory / "repo" / "dags", zone, worker.command)
    undo.callback(flow.stop)
    made = Pipeline(directory, zone, worker, database, to_database, to_api, api_port, flow)
    made.behave()
    made.start_api()
    assert made.api is not None
    undo.callback(made.api.stop)
    (directory / "models").mkdir()
    (worker.outside(made.warehouse) / "orders").mkdir()
    _shop(made)
    _repository(made)
    _task_environment(made)
    return made


def _shop(made: Pipeline) -> None:
    made.database.execute(
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {DATABASE}",
        f"CREATE ROLE {WATCHER} LOGIN PASSWORD '{WATCHER_PASSWORD}'",
        f"GRANT pg_monitor TO {WATCHER}",
    )
    made.database.execute(
        "CREATE TABLE orders (order_id bigint, customer_id bigint, amount numeric(12, 2), currency text, "
        "ordered_at timestamp)",
        "CREATE INDEX ON orders (ordered_at)",
        f"GRANT SELECT ON orders TO {ROLE}",
        f"GRANT SELECT ON orders TO {WATCHER}",
        database=DATABASE,
    )
    for back in range(NIGHTS + 1):
        made.fill_orders(loaded(made.tonight - timedelta(days=back), made.zone))


def source_of_dags() -> Path:
    """Return the directory of the DAG files as they should be."""
    return Path(str(resources.files("sickbay.lab.systems") / "pipeline_repo" / "dags"))


def _repository(made: Pipeline) -> None:
    """Put the DAG files there as a team would."""
    shutil.copytree(source_of_dags(), made.dags, ignore=shutil.ignore_patterns("__pycache__"))
    repo = made.dags.parent
    listed = (resources.files("sickbay.lab.systems") / "requirements" / "etl.txt").read_text(encoding="utf-8")
    (repo / "requirements.txt").write_text(listed, encoding="utf-8")
    (repo / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    committed(repo, datetime.now(UTC) - LONG_AGO)


def committed(repo: Path, at: datetime) -> None:
    """Make the directory a git work tree, where there is git, of one commit at a time; its files are as old."""
    shutil.rmtree(repo / ".git", ignore_errors=True)
    for cached in repo.rglob("__pycache__"):
        shutil.rmtree(cached, ignore_errors=True)
    pipeline_past.age(repo, at)
    if shutil.which("git"):
        git(repo, "init", "-q", "-b", "main", at=at)
        git(repo, "add", ".", at=at)
        git(repo, "commit", "-q", "-m", "nightly load: rates of the partner", at=at)


def git(repo: Path, *command: str, at: datetime) -> None:
    """Run git in a work tree, as a colleague, at a time."""
    when = at.isoformat()
    who = {"NAME": "Kim Data", "EMAIL": "kim@shop.example", "DATE": when}
    environ = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *command], cwd=repo, env=os.environ | environ, check=True, capture_output=True)


def _task_environment(made: Pipeline) -> None:
    """Make the environment that a task runs in: one of its own, with packages that may be replaced."""
    at = datetime.now(UTC) - LONG_AGO
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.directory / "task-env"], check=True)
    source = next(environments.environment("etl").glob("lib/python*/site-packages"))
    shutil.copytree(source, made.packages, dirs_exist_ok=True, ignore=shutil.ignore_patterns("pip*", "setuptools*"))
    pipeline_past.age(made.packages, at)


def _configure(made: Pipeline) -> None:
    """Give Airflow its variables, connections and pool, as an administrator does, and let its DAGs run."""
    flow = made.flow
    for key, value in {
        "warehouse": str(made.warehouse), "staging": str(made.staging), "models": str(made.directory / "models"),
        "min_rows": str(MIN_ROWS), "task_python": str(made.directory / "task-env" / "bin" / "python"),
    }.items():  # fmt: skip
        flow.ask("/variables", {"key": key, "value": value})
    flow.ask("/connections", rates_connection(made))
    flow.ask("/connections", orders_connection(made))
    flow.ask("/pools", {"name": "warehouse", "slots": 2})


def rates_connection(made: Pipeline) -> dict[str, Any]:
    """Return the connection of the partner's API as it should be."""
    return {
        "connection_id": "rates_api", "conn_type": "http", "host": made.worker.host(RATES_HOST),
        "port": made.to_api.port, "password": KEY, "schema": "http",
    }  # fmt: skip


def orders_connection(made: Pipeline) -> dict[str, Any]:
    """Return the connection of the shop's database as it should be."""
    return {
        "connection_id": "orders_db", "conn_type": "postgres", "host": made.worker.host(ORDERS_HOST),
        "port": made.to_database.port, "login": ROLE, "password": PASSWORD, "schema": DATABASE,
    }  # fmt: skip


def parsed(flow: airflow.Airflow, since: datetime) -> bool:
    """Return whether Airflow has read every DAG since a time, and found it good."""
    with airflow_past.opened(flow.home) as con:
        found = con.execute(
            "SELECT count(*) FROM dag WHERE last_parsed_time > ? AND NOT is_stale AND NOT has_import_errors",
            [airflow_past.stored(since)],
        ).fetchone()
    return bool(found[0] == len(DAGS))


def _site(made: Pipeline) -> None:
    secrets = made.directory / ".secrets"
    secrets.mkdir(exist_ok=True)
    secrets.chmod(0o700)
    dsn = f"postgresql://{WATCHER}:{WATCHER_PASSWORD}@127.0.0.1:{made.to_database.port}/{DATABASE}"
    (secrets / "postgres").write_text(dsn, encoding="utf-8")
    (secrets / "airflow").write_text(airflow.VIEWER[1], encoding="utf-8")
    made.site_file.write_text(
        f"""[system]
name = "nightly-pipeline"

[source.airflow]
url = "{made.flow.url}"
username = "{airflow.VIEWER[0]}"
password = "file:.secrets/airflow"
dags = ["{NIGHTLY}", "{RETRAIN}"]
deadline = "06:00 {made.zone}"
code = "repo/dags"
packages = "{made.packages.relative_to(made.directory)}"

[source.postgres]
dsn = "file:.secrets/postgres"

[source.http]
endpoints = {{ rates = "http://127.0.0.1:{made.to_api.port}/health" }}

[source.network]
targets = {{ rates = "tcp://127.0.0.1:{made.to_api.port}", orders = "tcp://127.0.0.1:{made.to_database.port}" }}

[source.files]
data = {{ warehouse = {{ path = "{made.worker.outside(made.warehouse)}/orders", fresh_within = "26h" }} }}

[source.host]
paths = {{ warehouse = "{made.worker.outside(made.warehouse)}", staging = "{made.worker.outside(made.staging)}" }}

[source.logs]
files = {{ scheduler = "airflow-scheduler.log", dag_processor = "airflow-dag-processor.log" }}
""",
        encoding="utf-8",
    )
