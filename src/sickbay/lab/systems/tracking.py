"""Experiment tracking as teams run it: MLflow on PostgreSQL with an S3 artifact store, all real, all on loopback."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.lab.systems import mlflow, postgres, swift
from sickbay.lab.systems.processes import free_port, wait_until
from sickbay.lab.systems.proxy import Proxy
from sickbay.registry import system

BUCKET = "mlflow-artifacts"
DATABASE, ROLE, PASSWORD = "mlflow", "mlflow", "lab-mlflow-password"
WATCHER, WATCHER_PASSWORD = "sickbay", "lab-sickbay-password"
STORE_USER, STORE_SECRET = "mlflow", "lab-store-secret"
SESSIONS = 50
DISK_MB = 160
RUNS = 40


@dataclass(slots=True)
class Tracking:
    """The running system. Clients reach database and store through proxies, which is where a line can be cut."""

    directory: Path
    database: postgres.Postgres
    store: swift.Swift
    server: mlflow.MLflow
    to_database: Proxy
    to_store: Proxy
    limited: bool
    team: Team | None = None

    @property
    def site_file(self) -> Path:
        """The site file of its user."""
        return self.directory / "sickbay.toml"

    def healthy(self) -> bool:
        """Return whether everything answers."""
        return self.server.answers() and self.server.ask("/api/2.0/mlflow-artifacts/artifacts?path=") == 200

    def wait_healthy(self, seconds: float = 180) -> None:
        """Wait until everything answers; a tracking server that is down is started again."""
        if self.server.server is None or not self.server.server.running():
            self.server.restart()
        wait_until(self.healthy, seconds, "the tracking system answering", self.server.server)

    def stop(self) -> None:
        """Stop everything."""
        if self.team is not None:
            self.team.stop()
        self.server.stop()
        for proxy in (self.to_database, self.to_store):
            proxy.close()
        for server in reversed(self.store.all):
            server.stop()
        self.database.stop()


@system("tracking", scenario="tracking-down")
def start(directory: Path, *, say: Callable[[str], None] = lambda _: None, disk: bool = True) -> Tracking:
    """Start the system in a directory and fill it with a few runs, a model and artifacts; LabError when it cannot."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("postgres.log", "object-store.log", "mlflow.log"):
        (directory / name).unlink(missing_ok=True)
    limited = disk and shutil.which("unshare") is not None
    say("PostgreSQL and the object store")
    with ThreadPoolExecutor(2) as pool:
        settings = {
            "max_connections": str(SESSIONS), "superuser_reserved_connections": "3", "reserved_connections": "2",
            "log_min_duration_statement": "2000",
        }  # fmt: skip
        first = pool.submit(postgres.start, directory, settings=settings, disk_mb=DISK_MB if limited else 0)
        second = pool.submit(swift.start, directory, {STORE_USER: (STORE_SECRET, True)})
        try:
            store = second.result()
        except BaseException:
            if first.exception() is None:
                first.result().stop()
            raise
        try:
            database = first.result()
        except BaseException:
            for daemon in store.all:
                daemon.stop()
            raise
    to_database, to_store = Proxy(free_port(), database.port), Proxy(free_port(), store.port)
    address = f"postgresql+psycopg://{ROLE}:{PASSWORD}@127.0.0.1:{to_database.port}/{DATABASE}"
    environ = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{to_store.port}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": f"{swift.ACCOUNT}:{STORE_USER}", "AWS_SECRET_ACCESS_KEY": STORE_SECRET,
        "HOME": str(directory), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    server = mlflow.MLflow(directory, free_port(), environ, address, f"s3://{BUCKET}/prod")
    system = Tracking(directory, database, store, server, to_database, to_store, limited)
    try:
        store.client().create_bucket(Bucket=BUCKET)
        _roles(database)
        say("MLflow, which makes its schema")
        server.start()
        _grant(database)
        say("runs, a registered model, artifacts")
        _fill(system)
        _site(system)
    except BaseException:
        system.stop()
        raise
    return system


def _roles(database: postgres.Postgres) -> None:
    database.execute(
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        f"CREATE ROLE {WATCHER} LOGIN PASSWORD '{WATCHER_PASSWORD}'",
        f"GRANT pg_monitor, pg_use_reserved_connections TO {WATCHER}",
    )


def _grant(database: postgres.Postgres) -> None:
    database.execute(f"GRANT SELECT ON alembic_version TO {WATCHER}", database=DATABASE)


def post(url: str, body: Mapping[str, Any], seconds: float = 20.0) -> dict[str, Any]:
    """Return the JSON that a POST answers with."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _fill(system: Tracking) -> None:
    api = f"{system.server.url}/api/2.0/mlflow"
    experiment = post(f"{api}/experiments/create", {"name": "fraud"})["experiment_id"]
    now = int(time.time() * 1000)
    for k in range(RUNS):
        made = post(f"{api}/runs/create", {"experiment_id": experiment, "start_time": now - k * 3_600_000})
        run = made["run"]["info"]["run_id"]
        post(f"{api}/runs/log-parameter", {"run_id": run, "key": "depth", "value": str(k % 7)})
        post(f"{api}/runs/log-metric", {"run_id": run, "key": "auc", "value": 0.9 + k / 1000, "timestamp": now})
    post(f"{api}/registered-models/create", {"name": "fraud"})
    url = f"{system.server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/model.bin"
    request = urllib.request.Request(url, b"m" * 2000, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    source = f"mlflow-artifacts:/{experiment}/{run}/artifacts"
    post(f"{api}/model-versions/create", {"name": "fraud", "source": source, "run_id": run})
    post(f"{api}/registered-models/alias", {"name": "fraud", "alias": "champion", "version": "1"})
    system.team = Team(system, run, experiment)


def _site(system: Tracking) -> None:
    secrets = system.directory / ".secrets"
    secrets.mkdir(exist_ok=True)
    secrets.chmod(0o700)
    dsn = f"postgresql://{WATCHER}:{WATCHER_PASSWORD}@127.0.0.1:{system.to_database.port}/{DATABASE}"
    (secrets / "postgres").write_text(dsn, encoding="utf-8")
    (secrets / "store").write_text(STORE_SECRET, encoding="utf-8")
    system.site_file.write_text(
        f"""[system]
name = "ml-platform"

[source.mlflow]
url = "{system.server.url}"

[source.postgres]
dsn = "file:.secrets/postgres"

[source.s3]
endpoint = "http://127.0.0.1:{system.to_store.port}"
bucket = "{BUCKET}"
prefix = "prod"
access_key = "{swift.ACCOUNT}:{STORE_USER}"
secret_key = "file:.secrets/store"
write_canary = true

[source.host]

[source.logs]
files = {{ mlflow = "mlflow.log", postgres = "postgres.log", object_store = "object-store.log" }}
""",
        encoding="utf-8",
    )


class Team:
    """People at work: every second someone searches runs, logs the metrics of an epoch, at times an artifact."""

    def __init__(self, system: Tracking, run: str, experiment: str) -> None:
        self._url, self._run_id, self._experiment = system.server.url, run, experiment
        self._stop = threading.Event()
        for act, pause in ((self._search, 1.0), (self._log, 1.0), (self._upload, 2.0)):
            threading.Thread(target=self._work, args=(act, pause), daemon=True).start()

    def stop(self) -> None:
        """Go home."""
        self._stop.set()

    def _work(self, act: Callable[[], None], pause: float) -> None:
        while not self._stop.wait(pause):
            with contextlib.suppress(OSError, ValueError):
                act()

    def _search(self) -> None:
        post(f"{self._url}/api/2.0/mlflow/runs/search", {"experiment_ids": [self._experiment], "max_results": 5}, 10)

    def _log(self) -> None:
        now = int(time.time() * 1000)
        metrics = [{"key": "loss", "value": k / 80, "timestamp": now, "step": now % 10**9 + k} for k in range(80)]
        post(f"{self._url}/api/2.0/mlflow/runs/log-batch", {"run_id": self._run_id, "metrics": metrics}, 10)

    def _upload(self) -> None:
        place = f"{self._experiment}/{self._run_id}/artifacts/notes.txt"
        url = f"{self._url}/api/2.0/mlflow-artifacts/artifacts/{place}"
        urllib.request.urlopen(urllib.request.Request(url, b"n" * 500, method="PUT"), timeout=10).close()


class Hammer:
    """Clients that ask the tracking server something over and over, from threads, until stopped."""

    def __init__(self, url: str, body: Mapping[str, Any], clients: int) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(url, body), daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more; requests under way are left to end."""
        self._stop.set()

    def busy(self) -> bool:
        """Return whether a client still waits for an answer."""
        return any(thread.is_alive() for thread in self._threads)

    def _run(self, url: str, body: Mapping[str, Any]) -> None:
        while not self._stop.is_set():
            try:
                post(url, body, 120)
            except OSError:
                time.sleep(0.2)
