"""Holds a live system for the commands of ``sickbay lab``: ``python -m sickbay.lab.daemon SYSTEM DIRECTORY``.

It listens on the loopback for whoever knows the token of ``.lab/live.json`` (readable by its owner alone). When it
ends, in whatever way, the system's servers end too: their keepers wait on it.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from sickbay.errors import SickbayError
from sickbay.lab import live


def main(name: str, directory: Path) -> int:
    """Start the system, serve until told to stop, stop the system."""
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    lab = live.start(name, directory, say=lambda text: print(text, flush=True))
    try:
        token = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.5)
            _publish(directory, {"system": name, "port": listener.getsockname()[1], "token": token, "pid": os.getpid()})
            while not ended.is_set():
                try:
                    line, _ = listener.accept()
                except TimeoutError:
                    continue
                with line:
                    line.settimeout(5)
                    _serve(line, lab, token, ended)
    finally:
        (directory / live.STATE).unlink(missing_ok=True)
        lab.close()
    return 0


def _serve(line: socket.socket, lab: live.Live, token: str, ended: threading.Event) -> None:
    try:
        asked = json.loads(line.makefile("r", encoding="utf-8").readline() or "{}")
        if not hmac.compare_digest(str(asked.get("token", "")), token):
            return
        answer = _do(asked, lab, ended)
    except (SickbayError, OSError, ValueError, KeyError) as error:
        answer = {"error": f"{error}"}
    try:
        line.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        return


def _do(asked: dict[str, Any], lab: live.Live, ended: threading.Event) -> dict[str, Any]:
    match asked.get("do"):
        case "break":
            lab.break_(asked["fault"], seed=asked["seed"], strength=asked["strength"])
        case "heal":
            lab.heal()
        case "stop":
            ended.set()
        case "status":
            return lab.status()
        case other:
            raise ValueError(f"it does not know {other!r}")
    return {"done": True}


def _publish(directory: Path, state: dict[str, Any]) -> None:
    path = directory / live.STATE
    half = path.with_suffix(".new")
    with os.fdopen(os.open(half, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(state, file)
    half.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
