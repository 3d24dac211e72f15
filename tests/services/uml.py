"""Version 2 of control groups on any Linux, without root: Debian's user-mode-linux, a kernel as an ordinary process.

Its root is the host's file tree, read-only; /proc, /sys and /dev/shm are its own. Limits and kills are the kernel's.
Time is not: a system call costs it fifty times as much as the host.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.services import debian

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


def kernel() -> Path:
    """Return the program: on the PATH, else of the package (41 MB)."""
    return debian.program("linux.uml", PACKAGE)


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
