"""Version 2 of control groups on any Linux, without root: Debian's user-mode-linux, a kernel as an ordinary process.

Its root is the host's file tree, read-only; /proc, /sys and /dev/shm are its own. Limits and kills are the kernel's.
Time is not: a system call costs it fifty times as much as the host.
"""

from __future__ import annotations

import fcntl
import json
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sickbay.lab.systems.environments import cache
from sickbay.lab.systems.processes import LabError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "user-mode-linux"
MARK = "result-of-the-test: "
INIT = """#!/bin/sh
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /dev/shm
mount -t cgroup2 none /sys/fs/cgroup
echo '+memory +cpu +pids' > /sys/fs/cgroup/cgroup.subtree_control
export PATH=/usr/local/bin:/usr/bin:/bin HOME=/dev/shm TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1
cd {root}
{command}
echo o > /proc/sysrq-trigger
sleep 10
"""


def hindrance() -> str:
    """Return why no such kernel can be had here, or nothing; the package is fetched where apt can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"{PACKAGE} is for Linux on x86_64"
    try:
        kernel()
    except LabError as error:
        return str(error)
    return ""


def kernel() -> Path:
    """Return the program: on the PATH, else of the package, fetched once into the lab's cache (41 MB)."""
    if found := shutil.which("linux.uml"):
        return Path(found)
    place = cache() / PACKAGE
    program = place / "usr" / "bin" / "linux.uml"
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{PACKAGE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(place)
    return program


def _fetch(place: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise LabError(f"there is no linux.uml, and no apt to fetch Debian's package {PACKAGE} with")
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        # lists of its own: an ordinary user may fetch them too, and the machine's own stay as they are
        (Path(folder) / "lists" / "partial").mkdir(parents=True)
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}",
               "-o", "APT::Sandbox::User=root"]  # fmt: skip
        for command in ([*apt, "update"], [*apt, "download", PACKAGE]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                raise LabError(f"apt-get {command[-1]} failed for {PACKAGE}: {done.stderr.strip()[-200:]}")
        package = next(Path(folder).glob(f"{PACKAGE}*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, Path(folder) / "x"], check=True, timeout=120)
        shutil.rmtree(place, ignore_errors=True)
        (Path(folder) / "x").rename(place)


def run(module: str, seconds: float) -> Any:
    """Run a module of the tests within such a kernel, and return what it printed behind the mark, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        init = Path(folder) / "init"
        command = shlex.join([sys.executable, "-m", module])
        init.write_text(INIT.format(command=command, root=shlex.quote(str(ROOT))), encoding="utf-8")
        init.chmod(0o755)
        booted = subprocess.run(
            [
                kernel(), "mem=512M", "rootfstype=hostfs", "ro", "root=/dev/root", "hostfs=/", f"init={init}",
                "con=null", "con0=fd:0,fd:1", "quiet",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds,
            check=False, errors="replace",
        )  # fmt: skip
    for line in booted.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    raise AssertionError(f"the kernel ended without a result: {booted.stdout[-1500:]}")
