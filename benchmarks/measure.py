"""What the benchmarks share: a process timed by the system, and the versions in a line."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Mapping

from sickbay.stats.skew.interval import wilson


def timed(command: list[str], environ: Mapping[str, str] | None = None) -> tuple[float, float, float]:
    """Run a command; return wall seconds, CPU seconds and peak memory in MB. A failing command is an error."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed with {process.returncode}: {said.decode()[-800:]}")
    scale = 1024 if platform.system() == "Linux" else 1024 * 1024
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale


def versions(*packages: str) -> str:
    """Return Python, cores and the versions of packages in one line."""
    named = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores; {named}"


def rate(hits: int, n: int) -> str:
    """Return a share with its counts and its 95 % interval (Wilson)."""
    low, high = wilson(hits, n)
    return f"{hits / max(n, 1):.3f} ({hits} of {n}; 95 % {low:.3f}…{high:.3f})"
