"""Keeps one server of the lab: starts it, and ends it with everything it started when nobody holds on any more.

Run as ``python keeper.py COMMAND…``. It prints the server's process id, and waits until its own standard input closes
(whoever holds the other end ended, in whatever way) or the server ends by itself. Only processes that descend from the
one it started are touched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil

PATIENCE = 8.0


def main(command: list[str]) -> int:
    """Run the command until the server or the holder ends; return the server's exit code."""
    let_go = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: let_go.set())
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, stderr=2, start_new_session=True)
    print(server.pid, flush=True)
    threading.Thread(target=_hold, args=(let_go,), daemon=True).start()
    seen: dict[int, psutil.Process] = {}
    while server.poll() is None and not let_go.wait(0.5):
        _remember(server.pid, seen)
    _end(server, seen)
    return server.returncode or 0


def _hold(let_go: threading.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        let_go.set()


def _remember(pid: int, seen: dict[int, psutil.Process]) -> None:
    """Note who descends from the server, so that orphans can be told from strangers later."""
    try:
        for child in psutil.Process(pid).children(recursive=True):
            seen.setdefault(child.pid, child)
    except psutil.Error:
        return


def _end(server: subprocess.Popen[bytes], seen: dict[int, psutil.Process]) -> None:
    _remember(server.pid, seen)
    family = [child for child in seen.values() if child.is_running()]  # is_running: same process, not only same id
    for process in family:
        _send(process.pid, signal.SIGCONT)
    if server.poll() is None:
        _send(server.pid, signal.SIGCONT)
        _send(server.pid, signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            _send(server.pid, signal.SIGKILL)
            server.wait()
    for process in family:
        if process.is_running():
            _send(process.pid, signal.SIGKILL)


def _send(pid: int, what: signal.Signals) -> None:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
