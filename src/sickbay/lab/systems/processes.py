"""Servers of the lab as processes: on loopback, on a free port, with a log of their own, gone with their starter."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from sickbay.errors import SickbayError
from sickbay.lab import keeper

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")


class LabError(SickbayError):
    """A lab system could not be started, broken or healed."""


@dataclass(slots=True)
class Server:
    """A running server: its process, and the keeper that ends it when this process is gone."""

    name: str
    pid: int
    log: Path
    keeper: subprocess.Popen[str]

    def running(self) -> bool:
        """Return whether the server has not ended."""
        return self.keeper.poll() is None

    def family(self) -> list[psutil.Process]:
        """Return the server's process and all that descend from it."""
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def freeze(self) -> None:
        """Stop it and its children in their tracks (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it the hard way (SIGKILL)."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End it in an orderly way, and all that it started."""
        if self.keeper.stdin is not None:
            with contextlib.suppress(OSError):
                self.keeper.stdin.close()
        self._wait()

    def _signal(self, what: signal.Signals) -> None:
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(what)

    def _wait(self) -> None:
        try:
            self.keeper.wait(keeper.PATIENCE + 10)
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait()


def launch(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Server:
    """Start a server; its output goes to ``log``. ``user``: run as this user (root only). Raises LabError."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(environ or {})
    kept = [sys.executable, str(Path(keeper.__file__)), *(str(part) for part in command)]
    as_user = {"user": user, "group": "nogroup", "extra_groups": []} if user else {}
    try:
        with log.open("ab") as sink:
            process = subprocess.Popen(
                kept, cwd=cwd, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, text=True,
                start_new_session=True, **as_user,
            )  # type: ignore[call-overload]  # fmt: skip
    except OSError as error:
        raise LabError(f"{name} cannot be started: {error}", hint=f"command: {' '.join(map(str, command))}") from None
    with process.stdout:
        first = process.stdout.readline().strip()
    if not first.isdigit():
        process.wait()
        raise LabError(f"{name} did not start: {tail(log)}", hint=f"its log is {log}")
    return Server(name, int(first), log, process)


def wait_until(ready: Callable[[], bool], seconds: float, what: str, server: Server | None = None) -> None:
    """Wait until ``ready`` says so; LabError with the end of the server's log when it ended or the time is over."""
    end = time.monotonic() + seconds
    while not ready():
        if server is not None and not server.running():
            raise LabError(f"{server.name} ended while starting: {tail(server.log)}", hint=f"its log is {server.log}")
        if time.monotonic() > end:
            said = f": {tail(server.log)}" if server is not None else ""
            raise LabError(f"{what} did not happen within {seconds:.0f} s{said}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether something takes connections on this port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


def tail(log: Path, lines: int = 6) -> str:
    """Return the last lines of a log in one."""
    with contextlib.suppress(OSError):
        return " / ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:])
    return "no log"


@contextlib.contextmanager
def stopping(servers: Sequence[Server]) -> Iterator[None]:
    """Stop servers at the end, in the reverse order, whatever happens."""
    try:
        yield
    finally:
        for server in reversed(servers):
            server.stop()
