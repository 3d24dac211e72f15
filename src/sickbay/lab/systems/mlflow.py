"""An MLflow tracking server of the lab's own, in an environment of its own."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import LabError, Server, launch, wait_until


@dataclass(slots=True)
class MLflow:
    """A tracking server: where it listens, and what it was started with. ``server`` is None while it is stopped."""

    directory: Path
    port: int
    environ: Mapping[str, str]
    database: str
    artifacts: str
    server: Server | None = None

    @property
    def url(self) -> str:
        """Address of the REST interface."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Its log."""
        return self.directory / "mlflow.log"

    def launch(self) -> None:
        """Start it, and do not wait until it answers."""
        command: list[str | Path] = [
            environment("mlflow") / "bin" / "mlflow", "server", "--workers", "1", "--host", "127.0.0.1",
            "--port", str(self.port), "--backend-store-uri", self.database, "--artifacts-destination", self.artifacts,
        ]  # fmt: skip
        self.server = launch("MLflow", command, log=self.log, cwd=self.directory, environ=self.environ)

    def start(self, seconds: float = 180) -> None:
        """Start it and wait until it answers; LabError with the end of its log when it does not."""
        self.launch()
        wait_until(self.answers, seconds, "MLflow answering", self.server)

    def stop(self) -> None:
        """Stop it."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def running(self) -> Server:
        """Return the process; LabError while it is stopped."""
        if self.server is None:
            raise LabError("MLflow is stopped")
        return self.server

    def answers(self) -> bool:
        """Return whether it answers with what it reads from its database."""
        return self.ask("/api/2.0/mlflow/experiments/search?max_results=1") == 200

    def ask(self, path: str, seconds: float = 5.0) -> int:
        """Return the status of a GET, 0 when nothing comes."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=seconds) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def upgrade(database: str, directory: Path) -> None:
    """Bring a database to the schema of this MLflow; takes some seconds."""
    server = launch(
        "mlflow db upgrade", [environment("mlflow") / "bin" / "mlflow", "db", "upgrade", database],
        log=directory / "mlflow-upgrade.log", cwd=directory,
    )  # fmt: skip
    wait_until(lambda: not server.running(), 180, "the upgrade of the schema")
