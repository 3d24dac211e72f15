"""The lab's model server: a Starlette service under uvicorn with a scikit-learn model, released and released again.

Its code lies in ``lab/programs/serving``; a release is a copy of it, with the files of a change over it, in a directory
whose name is a number. So a bad release is what it is elsewhere: other code or other settings, and no word of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import LabError, Server, free_port, launch, wait_until

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
KEPT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def python() -> Path:
    """Return the interpreter of the environment that the services run in."""
    return environment("serving") / "bin" / "python"


@dataclass(slots=True)
class Service:
    """A service under its supervisor. ``change``: what the current release has over the code it started with."""

    name: str
    directory: Path
    port: int
    environ: dict[str, str]
    app: str = "app:app"
    change: str = ""
    server: Server | None = None
    releases: int = 0
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid_file(self) -> Path:
        """Where its worker notes its process id."""
        return self.directory / "worker.pid"

    def worker(self) -> psutil.Process:
        """Return the process that serves now; LabError when there is none."""
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            return psutil.Process(int(self.pid_file.read_text(encoding="utf-8")))
        raise LabError(f"{self.name} has no worker now")

    def release(self, change: str = "", environ: Mapping[str, str] | None = None) -> Path:
        """Lay the next release down and make it the current one; it takes effect with the next worker."""
        self.releases += 1
        place = self.directory / "releases" / str(self.releases)
        shutil.copytree(PROGRAMS / "serving", place, ignore=shutil.ignore_patterns("__pycache__"))
        if change:
            shutil.copytree(
                PROGRAMS / "serving_changes" / change, place, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )  # fmt: skip
        self.change, self.extra = change, dict(environ or {})
        given = KEPT | self.environ | self.extra | {"PID_FILE": str(self.pid_file), "APP": self.app}
        settings = self.directory / "service.env"
        with os.fdopen(os.open(settings, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write("".join(f"{key}={value}\n" for key, value in given.items()))
        current = self.directory / "current.new"
        current.unlink(missing_ok=True)
        current.symlink_to(place)
        current.replace(self.directory / "current")
        return place

    def start(self, seconds: float = 60, before: Sequence[str | Path] = ()) -> None:
        """Start it and wait until it answers; ``before`` is put before the command, such as a wrapper."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.releases:
            self.release()
        command = [*before, python(), PROGRAMS / "serving" / "supervise.py", str(self.port), self.directory]
        self.server = launch(self.name, command, log=self.directory / f"{self.name}.log", cwd=self.directory)
        wait_until(self.answers, seconds, f"{self.name} answering", self.server)

    def deploy(self, change: str = "", environ: Mapping[str, str] | None = None, *, seconds: float = 60) -> None:
        """Release, end the worker so that the next one runs it, and wait until that answers."""
        self.release(change, environ)
        self.restart(seconds)

    def restart(self, seconds: float = 60) -> None:
        """Start the worker anew and wait until it answers."""
        if self.server is None:
            raise LabError(f"{self.name} is stopped")
        old: int | None = None
        with contextlib.suppress(LabError):
            old = self.worker().pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.server.pid, signal.SIGHUP)
        end = time.monotonic() + 5
        while old is not None and psutil.pid_exists(old) and time.monotonic() < end:
            time.sleep(0.05)
        if old is not None and psutil.pid_exists(old):  # busy workers end when their requests do, some of them never
            with contextlib.suppress(ProcessLookupError):
                os.kill(old, signal.SIGKILL)
        wait_until(self.answers, seconds, f"{self.name} answering after a restart", self.server)

    def answers(self, path: str = "/health", seconds: float = 2.0) -> bool:
        """Return whether a GET is answered in time."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=seconds) as answer:
                return int(answer.status) == 200
        except OSError:
            return False

    def predict(self, rows: int = 40, customer: int = 1, seconds: float = 60) -> float:
        """Send one request and return the seconds until its answer; LabError when none comes."""
        import httpx

        body = {"customer": customer, "events": [[12.5, 20.0 + k, k % 200, 3.0] for k in range(rows)]}
        began = time.monotonic()
        try:
            httpx.post(f"{self.url}/predict", json=body, timeout=seconds, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            raise LabError(f"{self.name} does not answer a prediction: {error}") from None
        return time.monotonic() - began

    def stop(self) -> None:
        """Stop it."""
        if self.server is not None:
            self.server.stop()
            self.server = None


def train(directory: Path, *, seed: int = 0, trees: int = 40) -> None:
    """Train the model and write the histories into a directory; some seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [python(), PROGRAMS / "serving" / "train.py", directory, str(seed), str(trees)],
        env=os.environ | KEPT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"the model cannot be trained: {done.stderr.strip()[-400:]}")


class Load:
    """Clients of a service, in a process of their own; the rate may change at any time."""

    def __init__(self, directory: Path, url: str, *, rate: float, rows: int, seed: int = 0) -> None:
        self.rate, self.rows, self._file = rate, rows, directory / "load.json"
        self.set(rate=rate, rows=rows)
        command: list[str | Path] = [
            python(), PROGRAMS / "serving" / "load.py", f"{url}/predict", self._file, str(seed),
        ]  # fmt: skip
        self.server = launch("load", command, log=directory / "load.out", cwd=directory)

    def set(self, *, rate: float | None = None, rows: int | None = None) -> None:
        """Change requests a second, or rows of a request; None is what it began with."""
        text = json.dumps({"rate": rate or self.rate, "rows": rows or self.rows})
        half = self._file.with_suffix(".new")
        half.write_text(text, encoding="utf-8")
        half.replace(self._file)

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()


def free_service(name: str, directory: Path, environ: Mapping[str, str], *, app: str = "app:app") -> Service:
    """Return a service that is not started yet, on a free port."""
    return Service(name, directory, free_port(), dict(environ), app)
