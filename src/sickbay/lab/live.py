"""Live systems of the lab: servers that really run, broken and healed while they do.

Held by the process that started them (``Live``), or by a keeper of their own behind the commands of ``sickbay lab``
(``Remote``, see ``daemon.py``). Either way they are gone when their holder is.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sickbay.errors import UserError
from sickbay.lab.systems.processes import LabError, tail
from sickbay.registry import FAULTS, SYSTEMS, Fault

STATE = Path(".lab") / "live.json"
PATIENCE = 900.0
"""Seconds that a system may take to start the first time, its environments being made."""


class System(Protocol):
    """What a live system offers: its site file, whether it is well, and an end."""

    directory: Path

    @property
    def site_file(self) -> Path:
        """The site file of its user."""
        ...

    def wait_healthy(self, seconds: float = ...) -> None:
        """Wait until everything answers."""
        ...

    def stop(self) -> None:
        """Stop everything."""
        ...


@dataclass(slots=True)
class Live:
    """A live system held by this process, with the faults in force."""

    name: str
    system: System
    _acts: list[tuple[str, Iterator[None]]] = field(default_factory=list)

    @property
    def site_file(self) -> Path:
        """The site file that investigates this system."""
        return self.system.site_file

    @property
    def broken(self) -> list[str]:
        """Names of the faults in force."""
        return [name for name, _ in self._acts]

    def break_(self, fault: str, *, seed: int = 0, strength: float = 0.7) -> None:
        """Put a fault in force; UserError when it breaks another system."""
        registered = fitting(fault, self.name, strength)
        act = registered.run(self.system, seed=seed, strength=strength)
        next(act)
        self._acts.append((fault, act))

    def heal(self) -> None:
        """Take every fault out, the latest first, and wait until the system answers."""
        with contextlib.ExitStack() as stack:  # runs each, also when one of them fails
            for name, act in self._acts:
                stack.callback(_finish, name, act)
            self._acts.clear()
        self.system.wait_healthy()

    def status(self) -> dict[str, Any]:
        """Return what runs and what is broken."""
        return {"system": self.name, "site": str(self.site_file), "broken": self.broken}

    def close(self) -> None:
        """Stop everything; faults in force end with it."""
        self.system.stop()
        self._acts.clear()


@dataclass(frozen=True, slots=True)
class Remote:
    """A live system held by a daemon of the lab, reached over the loopback with a token."""

    name: str
    directory: Path
    port: int
    token: str

    @property
    def site_file(self) -> Path:
        """The site file that investigates this system."""
        return self.directory / "sickbay.toml"

    def break_(self, fault: str, *, seed: int = 0, strength: float = 0.7) -> None:
        """Put a fault in force."""
        fitting(fault, self.name, strength)
        self._ask({"do": "break", "fault": fault, "seed": seed, "strength": strength})

    def heal(self) -> None:
        """Take every fault out."""
        self._ask({"do": "heal"})

    def status(self) -> dict[str, Any]:
        """Return what runs and what is broken."""
        return self._ask({"do": "status"})

    def stop(self) -> None:
        """Stop everything; the daemon ends."""
        self._ask({"do": "stop"})
        (self.directory / STATE).unlink(missing_ok=True)

    def close(self) -> None:
        """Let it run: other commands will come."""

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line:
                line.sendall(json.dumps({**asked, "token": self.token}).encode() + b"\n")
                text = line.makefile("r", encoding="utf-8").readline()
        except OSError as error:
            raise UserError(
                f"the lab system of {self.directory} does not run any more ({error})",
                hint="`sickbay lab start` starts it again",
            ) from None
        answer: dict[str, Any] = json.loads(text) if text else {"error": "it ended while it answered"}
        if "error" in answer:
            raise LabError(f"the lab could not do it: {answer['error']}")
        return answer


def fitting(fault: str, system: str, strength: float) -> Fault:
    """Return the fault, if it breaks this system with this strength; UserError otherwise."""
    registered = FAULTS.get(fault)
    if registered.system != system:
        raise UserError(f"the fault {fault} breaks the system {registered.system}, not {system}")
    if not 0 < strength <= 1:
        raise UserError(f"strength {strength:g} of the fault {fault} must lie above 0 and at most 1")
    return registered


def start(name: str, directory: Path, *, say: Callable[[str], None] = lambda _: None) -> Live:
    """Start a live system, held by this process: ``close`` it, or it ends when the process does."""
    directory = _prepare(directory)
    return Live(name, SYSTEMS.get(name).start(directory, say=say))


def start_daemon(name: str, directory: Path) -> Remote:
    """Start a live system held by a daemon, and return when it answers."""
    directory = _prepare(directory)
    log = directory / ".lab" / "daemon.log"
    with log.open("wb") as sink:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "sickbay.lab.daemon", name, str(directory)],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip
    end = time.monotonic() + PATIENCE
    while not (directory / STATE).exists():
        if daemon.poll() is not None or time.monotonic() > end:
            raise LabError(f"the system {name} could not be started: {tail(log)}", hint=f"its log is {log}")
        time.sleep(0.1)
    daemon.returncode = 0  # it goes on without this process, which is not to wait for it
    return open_remote(directory)


def open_remote(directory: Path) -> Remote:
    """Return the live system of a directory."""
    given = json.loads((directory / STATE).read_text(encoding="utf-8"))
    return Remote(given["system"], directory, given["port"], given["token"])


def _finish(name: str, act: Iterator[None]) -> None:
    """Resume a fault behind its yield: that is where it heals."""
    for _ in act:
        raise RuntimeError(f"the fault {name} yields more than once")


def _listens(remote: Remote) -> bool:
    try:
        socket.create_connection(("127.0.0.1", remote.port), timeout=1).close()
    except OSError:
        return False
    return True


def _prepare(directory: Path) -> Path:
    """Return the directory as an absolute path, there and marked as the lab's; UserError when it is something else.

    Servers run in directories of their own, where a relative path would be another place.
    """
    directory = directory.resolve()
    if (directory / STATE).exists():
        if _listens(open_remote(directory)):
            raise UserError(f"a lab system runs in {directory} already", hint="`sickbay lab stop` ends it")
        (directory / STATE).unlink()  # its daemon was killed, and the servers with it
    known = (directory / ".lab").exists()
    if directory.exists() and any(directory.iterdir()) and not known:
        raise UserError(f"{directory} is not empty and holds no lab system", hint="choose another directory")
    (directory / ".lab").mkdir(parents=True, exist_ok=True)
    return directory
