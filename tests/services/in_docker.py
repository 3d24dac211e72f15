"""Runs within namespaces of its own: a real Docker engine, the lab's scorer in two containers, broken, investigated.

``python -m tests.services.in_docker GROUP HOME`` prints one line of JSON: what the product said at each step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sickbay.investigation import doctor, investigate
from sickbay.lab.systems.environments import cache
from tests.services import scorer
from tests.services.namespaces import enter, packed
from tests.services.uml import MARK

IMAGE, PORTS = "sickbay/python:1", (8081, 8082)
SITE = """[system]
name = "scorer"

[source.containers]
socket = "{socket}"
name = "scorer"

[source.logs]
files = {{ gateway = "traffic/access.log" }}

[source.cgroups]
"""


class Stage:
    """The engine, the scorer on it, its clients, and the site file of its user."""

    def __init__(self, group: str, home: Path) -> None:
        self.group, self.home, self.socket = group, home, home / "docker.sock"
        unpacked = cache() / "debian-docker"
        path = os.pathsep.join([str(unpacked / "usr" / "sbin"), str(unpacked / "usr" / "bin"), os.environ["PATH"]])
        library = os.pathsep.join(str(unpacked / part / "x86_64-linux-gnu") for part in ("usr/lib", "lib"))
        self.environ = os.environ | {"PATH": path, "LD_LIBRARY_PATH": library}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the engine, and give it an image that holds only places to mount at."""
        enter()
        # no network of its own making, no address tables: containers share the namespace's loopback
        self.launch(
            "dockerd", "--data-root", self.home / "data", "--exec-root", self.home / "exec", "-p", self.home / "pid",
            "-H", f"unix://{self.socket}", "--iptables=false", "--ip6tables=false", "--bridge=none",
            "--storage-driver", "vfs", "--oom-score-adjust", "0", "--cgroup-parent", self.group,
        )  # fmt: skip
        self.wait("the engine", lambda: self.docker("version", check=False).returncode == 0, 60)
        image = self.home / "image.tar"
        image.write_bytes(packed({}, scorer.IMAGE_LINKS, scorer.IMAGE_FOLDERS))
        self.docker("import", image, IMAGE)
        self.model = scorer.prepare(self.home)
        endpoints = [(f"scorer-{n}", port) for n, port in enumerate(PORTS)]
        (self.home / "traffic" / "endpoints.json").write_text(json.dumps(endpoints), encoding="utf-8")
        (self.home / "sickbay.toml").write_text(SITE.format(socket=self.socket), encoding="utf-8")

    def launch(self, *command: str | Path) -> None:
        """Start a program that stays."""
        with (self.home / f"{Path(command[0]).name}.log").open("ab") as log:
            self.running.append(
                subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, env=self.environ)
            )

    def docker(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the client."""
        command = ["docker", "-H", f"unix://{self.socket}", *map(str, words)]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=60, check=check)

    def wait(self, what: str, well: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not well():
            if time.monotonic() > end:
                said = (self.home / "dockerd.log").read_text(errors="replace")[-1500:]
                raise AssertionError(f"{what}: not within {seconds:.0f} s; {said}")
            time.sleep(0.2)

    def serve(self, version: str, *changes: str, limit: int = 288) -> None:
        """Run two containers of a version in place of those that run; ``new:old`` replaces a file of its code."""
        place = scorer.code(self.home, version, *changes)
        self.docker("rm", "-f", *(f"scorer-{n}" for n in range(len(PORTS))), check=False)
        for n, port in enumerate(PORTS):
            words = ["run", "-d", "--name", f"scorer-{n}", "--restart", "always", "--network", "host"]
            words += ["--memory", f"{limit}m", "--workdir", str(place), "--label", "prometheus.io/scrape=true"]
            words += ["--label", f"prometheus.io/port={port}"]
            for mount in scorer.mounts(self.home):
                words += ["--volume", f"{mount}:{mount}:ro"]
            settings = scorer.SETTINGS | {"PORT": port, "MODEL_URI": self.model}
            for name, value in settings.items():
                words += ["--env", f"{name}={value}"]
            self.docker(*words, IMAGE, scorer.python(), "server.py")

    def clients(self) -> None:
        """Let the clients come."""
        self.launch(*scorer.clients(self.home))

    def killed(self) -> bool:
        """Return whether the engine saw a kill at the limit."""
        found = self.docker("inspect", "--format", "{{.State.OOMKilled}}", *(f"scorer-{n}" for n in range(len(PORTS))))
        return "true" in found.stdout

    def look(self) -> dict[str, Any]:
        """Investigate, and return what a test wants to know of it."""
        return scorer.told(investigate(self.home / "sickbay.toml", "serving-oom"))

    def stop(self) -> None:
        """End everything; what is left of the containers ends with the namespaces."""
        for process in self.running:
            process.terminate()


def steps(stage: Stage) -> Iterator[tuple[str, Any]]:
    """Do one thing after the other, and yield what the product said of each."""
    stage.start()
    stage.serve("1.4.1")
    time.sleep(6)
    stage.clients()
    time.sleep(6)
    (stage.home / "traffic" / "access.log").write_bytes(b"")
    time.sleep(6)
    yield "doctor", {check.what: [check.ok, check.detail] for check in doctor(stage.home / "sickbay.toml")}
    yield "healthy", stage.look()
    stage.serve("1.5.0", "audit_trail:audit")
    stage.wait("a kill", stage.killed, 60)
    time.sleep(2)
    yield "leak", stage.look()


def main() -> None:
    """Do the steps, and print what came of them."""
    stage = Stage(sys.argv[1], Path(sys.argv[2]))
    try:
        said = dict(steps(stage))
    finally:
        stage.stop()
    print(f"{MARK}{json.dumps(said)}", flush=True)


if __name__ == "__main__":
    main()
