"""A module of the tests, run below one process with its own network, mounts and process ids; nothing of it stays.

When that process ends, all that it started ends, and its mounts go. Control groups below a group that it was given, and
settings of the one kernel there is that it may have changed, are put back. It needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import platform
import secrets
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services.uml import MARK, ROOT

SETTINGS = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)  # fmt: skip
"""What a kubelet changes."""
GROUPS = Path("/sys/fs/cgroup")
SIOCSIFFLAGS, UP = 0x8914, 0x1


def hindrance() -> str:
    """Return why namespaces cannot be made here, or nothing."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "it needs root on Linux"
    asked = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unshare cannot be run: {error}"
    return f"namespaces may not be made here: {done.stderr.strip()[-200:]}" if done.returncode else ""


def run(module: str, seconds: float, *arguments: str) -> Any:
    """Run ``python -m module GROUP HOME …`` so, and return what it printed behind the mark, as JSON."""
    kept = {name: (Path("/proc/sys") / name).read_text() for name in SETTINGS}
    group = f"sickbay-{secrets.token_hex(4)}"
    # the directory is removed when the namespaces are gone, and what was mounted below it with them
    with tempfile.TemporaryDirectory(prefix="sickbay-namespaces-") as home:
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                   "-m", module, group, home, *arguments]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                check=False,
            )  # fmt: skip
        finally:
            for name, value in kept.items():
                if (Path("/proc/sys") / name).read_text() != value:
                    (Path("/proc/sys") / name).write_text(value)
            _remove_groups(group)
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    raise AssertionError(f"it ended without a result: {done.stdout[-1500:]}\n{done.stderr[-3000:]}")


def enter() -> None:
    """Within: bring up loopback, and cover the directories that engines insist on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:  # as `ip link set lo up`, which not every host has
        fcntl.ioctl(line, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", UP))
    for covered in ("/run", "/var/log"):
        subprocess.run(["mount", "-t", "tmpfs", "none", covered], check=True, capture_output=True)


def trees() -> list[Path]:
    """Return the trees of control groups."""
    if (GROUPS / "cgroup.controllers").exists():
        return [GROUPS]
    return [place for place in GROUPS.iterdir() if place.is_dir() and place.name != "unified"]


def packed(files: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str]) -> bytes:
    """Return a tar archive."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return held.getvalue()


def _remove_groups(name: str) -> None:
    places = [GROUPS / name, *(tree / name for tree in GROUPS.iterdir() if tree.is_dir())]
    end = time.monotonic() + 10
    while (left := [place for place in places if place.exists()]) and time.monotonic() < end:
        for place in left:
            for inner, _, _ in os.walk(place, topdown=False):
                with contextlib.suppress(OSError):  # a process in it is still ending
                    Path(inner).rmdir()
        time.sleep(0.2)
