"""An Airflow of the lab's own: api-server, scheduler and dag-processor, in an environment and a home of its own.

Never ``standalone``: that opens log servers on every interface. What makes a night short here (heartbeats, retries, how
often files are parsed) is Airflow's own configuration; the program is as it comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import LabError, Server, launch, wait_until

ADMIN, VIEWER = ("admin", "lab-admin-password"), ("sickbay", "lab-viewer-password")
PARTS: Mapping[str, Sequence[str]] = {
    "api-server": ("api-server", "--workers", "1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}


@dataclass(slots=True)
class Airflow:
    """The running Airflow. ``run_as`` turns a command into the one that runs on the worker machine."""

    directory: Path
    port: int
    dags: Path
    timezone: str
    run_as: Callable[[Sequence[str | Path], Path], list[str]]
    more: Mapping[str, str] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    token: str = ""

    @property
    def url(self) -> str:
        """Address of its interface."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.directory / "airflow"

    @property
    def environ(self) -> dict[str, str]:
        """Its configuration, as environment variables."""
        return {
            "AIRFLOW_HOME": str(self.home), "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DEFAULT_TIMEZONE": self.timezone, "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "15",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN[0]}:admin,{VIEWER[0]}:viewer",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": "c2lja2JheS1sYWItZmVybmV0LWtleS0zMi1ieXRlcyE=",
            "AIRFLOW__API__HOST": "127.0.0.1", "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url, "AIRFLOW__API_AUTH__JWT_SECRET": "lab-" * 20,
            "AIRFLOW__API__SECRET_KEY": "lab-" * 10,
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2", "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2", "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}?timeout=30",
            "PATH": f"{environment('airflow') / 'bin'}:{os.environ.get('PATH', '')}", "PYTHONUNBUFFERED": "1",
            "HOME": str(self.directory),
        } | dict(self.more)  # fmt: skip

    def prepare(self) -> None:
        """Make a home with the passwords of its two users; the schema has to be there already or be migrated."""
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "simple_auth_manager_passwords.json.generated"
        passwords.write_text(json.dumps(dict([ADMIN, VIEWER])), encoding="utf-8")
        passwords.chmod(0o600)

    def migrate(self) -> None:
        """Make the schema of an empty database."""
        program = environment("airflow") / "bin" / "airflow"
        log = self.directory / "airflow-migrate.txt"
        server = launch("airflow db migrate", [program, "db", "migrate"], log=log, cwd=self.home, environ=self.environ)
        wait_until(lambda: not server.running(), 300, "the migration of Airflow's database")
        if not (self.home / "airflow.db").exists():
            raise LabError("airflow db migrate made no database", hint=f"its log is {log}")

    def launch(self, *parts: str) -> None:
        """Start parts, all when none is named, and do not wait for them."""
        program = environment("airflow") / "bin" / "airflow"
        for part in parts or PARTS:
            if part in self.servers:
                self.servers[part].stop()  # also one that ended: what held on to it is let go
            self.servers[part] = launch(
                f"airflow {part}", self.run_as([program, *PARTS[part]], self.home),
                log=self.directory / f"airflow-{part}.log", cwd=self.home, environ=self.environ,
            )  # fmt: skip

    def wait(self, seconds: float = 240) -> None:
        """Wait until all three parts say that they are well."""
        wait_until(self.well, seconds, "Airflow being well", self.servers["api-server"])

    def well(self) -> bool:
        """Return whether the API, the scheduler and the dag-processor are well."""
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
            return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))
        return False

    def stop(self) -> None:
        """Stop all parts, at once."""
        with ThreadPoolExecutor(len(PARTS)) as pool:
            list(pool.map(Server.stop, self.servers.values()))
        self.servers.clear()

    def ask(self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "") -> Any:
        """Return the answer of the REST interface to its administrator; LabError when it refuses."""
        if not self.token:
            name, password = ADMIN
            self.token = self._send("/auth/token", {"username": name, "password": password}, "POST")["access_token"]
        return self._send(f"/api/v2{path}", body, method or ("POST" if body is not None else "GET"))

    def _send(self, path: str, body: Mapping[str, Any] | None, method: str) -> Any:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer) if answer.status != 204 else {}
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise LabError(f"Airflow answered {error.code} to {method} {path}: {said}") from None
        except OSError as error:
            raise LabError(f"Airflow did not answer {method} {path}: {error}") from None
