"""The worker machine of a lab system: a mount namespace with disks of limited size and a hosts file of its own.

What runs in it sees small real file systems (tmpfs) at chosen places and its own ``/etc/hosts``; the rest of the
computer does not. Where there are no mount namespaces the same places are plain directories: ``limited`` says which.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sickbay.lab.systems.processes import LabError, Server, launch

ENTER = 'cd "$1" && shift && exec "$@"'


@dataclass(slots=True)
class Machine:
    """The machine. ``disks``: directory → megabytes; ``names``: host names it knows, all on the loopback."""

    directory: Path
    disks: Mapping[Path, int]
    names: Sequence[str]
    holder: Server | None = None
    known: list[str] = field(default_factory=list)

    @property
    def limited(self) -> bool:
        """Whether its disks and names are its own."""
        return self.holder is not None

    def command(self, command: Sequence[str | Path], cwd: Path) -> list[str]:
        """Return the command that runs another on this machine."""
        given = [str(part) for part in command]
        return [*self._enter(), "sh", "-c", ENTER, "sh", str(cwd), *given] if self.holder else given

    def outside(self, path: Path) -> Path:
        """Return a path of this machine as everybody else can read it."""
        return Path(f"/proc/{self.holder.pid}/root{path}") if self.holder else path

    def do(self, script: str) -> None:
        """Run a shell script on the machine, as its root; LabError when it fails."""
        done = subprocess.run([*self._enter(), "sh", "-ec", script], capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"the machine of the lab could not do it: {done.stderr.strip()}", hint=script)

    def host(self, name: str) -> str:
        """Return the name that a server has on this machine, or the loopback's address where names cannot be given."""
        return name if self.holder else "127.0.0.1"

    def know(self, *names: str) -> None:
        """Let the machine resolve these names alone."""
        self.known = list(names)
        lines = ["127.0.0.1 localhost", *(f"127.0.0.1 {name}" for name in names)]
        self._hosts.write_text("\n".join(lines) + "\n", encoding="utf-8")  # in place: the mount holds on to the file

    def stop(self) -> None:
        """Let go of its disks."""
        if self.holder is not None:
            self.holder.stop()

    def look_up(self, *services: str) -> None:
        """Let the machine look names up in these services (``files``, ``dns``); its name server never answers."""
        (self.directory / "nsswitch.conf").write_text(f"passwd: files\ngroup: files\nhosts: {' '.join(services)}\n")

    @property
    def _hosts(self) -> Path:
        return self.directory / "etc-hosts"

    def _enter(self) -> list[str]:
        if self.holder is None:
            return []
        if os.geteuid() == 0:
            return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        return ["nsenter", "--target", str(self.holder.pid), "--user", "--mount", "--preserve-credentials"]


def start(directory: Path, disks: Mapping[Path, int], names: Sequence[str]) -> Machine:
    """Start a machine; without mount namespaces its disks are plain directories and it has no names of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    for disk in disks:
        shutil.rmtree(disk, ignore_errors=True)
        disk.mkdir(parents=True)
    machine = Machine(directory, disks, names)
    machine.know(*names)
    machine.look_up("files", "dns")
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    if not _namespaces():
        return machine
    mounts = [f"mount -t tmpfs -o size={size}m,mode=0755 tmpfs {shlex.quote(str(at))}" for at, size in disks.items()]
    ready = directory / "machine-ready"
    ready.unlink(missing_ok=True)
    own = {"etc-hosts": "hosts", "resolv.conf": "resolv.conf", "nsswitch.conf": "nsswitch.conf"}
    mounts += [f"mount --bind {shlex.quote(str(directory / file))} /etc/{name}" for file, name in own.items()]
    script = "\n".join(["set -e", *mounts, f"touch {shlex.quote(str(ready))}", "exec sleep 2147483647"])
    command = [*_unshare(), "sh", "-c", script]
    holder = launch("the worker machine", command, log=directory / "machine.log", cwd=directory)
    from sickbay.lab.systems.processes import wait_until

    wait_until(ready.exists, 20, "the worker machine's disks", holder)
    machine.holder = holder
    return machine


def _unshare() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def _namespaces() -> bool:
    """Return whether mount namespaces can be had here."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return False
    tried = subprocess.run([*_unshare(), "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False)
    return tried.returncode == 0
