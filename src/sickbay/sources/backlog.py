"""Requests that nobody has read yet: connections not accepted, and bytes unread, at the ports a process listens on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

LISTENING, ESTABLISHED = "0A", "01"
LARGEST = 300_000
"""Bytes of the kernel's table that are read, two thousand connections: with more it is left unknown."""


def ports(pid: int) -> frozenset[int]:
    """Return the TCP ports that a process listens on; empty where this user may not see them."""
    with contextlib.suppress(psutil.Error, OSError):
        found = psutil.Process(pid).net_connections("tcp")
        return frozenset(line.laddr[1] for line in found if line.status == psutil.CONN_LISTEN and line.laddr)
    return frozenset()


def unread(pid: int, of: frozenset[int], proc: Path = Path("/proc")) -> float:
    """Return how many requests wait at these ports in the kernel; NaN where there are none or this host does not say.

    A connection that is not accepted counts as one, and so does an accepted one with bytes that nobody has read.
    """
    if not of:
        return float("nan")
    wanted, count, read = tuple(f":{port:04X}" for port in of), 0, False
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            with (proc / str(pid) / "net" / name).open(encoding="ascii") as file:
                text = file.read(LARGEST)
            if len(text) >= LARGEST:
                return float("nan")
            for line in text.splitlines()[1:]:
                if not any(mark in line for mark in wanted):
                    continue
                fields = line.split()
                if fields[1].endswith(wanted):
                    waiting = int(fields[4].partition(":")[2], 16)
                    count += waiting if fields[3] == LISTENING else waiting > 0 if fields[3] == ESTABLISHED else 0
            read = True
    return float(count) if read else float("nan")
