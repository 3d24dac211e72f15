"""The processes that serve: one alone, or the workers below a master or a wrapper that was named in their place."""

from __future__ import annotations

import psutil

from sickbay.sources import backlog

MOST = 64
"""Workers that are looked at; of more, the same ones each time."""


def below(root: int) -> tuple[int, ...]:
    """Return the processes that answer requests for ``root``; itself where none below it does.

    A worker listens at a port that its master listens at too (gunicorn, uvicorn with workers). Where ``root`` itself
    listens nowhere (a shell, an init of a container, a supervisor), those below it that listen anywhere serve.
    """
    try:
        family = psutil.Process(root).children(recursive=True)
    except psutil.Error:
        return (root,)
    if not family:
        return (root,)
    own = backlog.ports(root)
    serving = [one for one in family if (ports := backlog.ports(one.pid)) and (not own or ports & own)]
    if not serving:
        return (root,)
    chosen = sorted(serving, key=lambda one: one.pid)[:MOST]
    return tuple(one.pid for one in sorted(chosen, key=_cpu, reverse=True))


def above(pid: int, port: int) -> int:
    """Return the process that shares its listening port with ``pid`` and is above all others that do: the master."""
    try:
        while (parent := psutil.Process(pid).parent()) is not None and port in backlog.ports(parent.pid):
            pid = parent.pid
    except psutil.Error:
        return pid
    return pid


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
