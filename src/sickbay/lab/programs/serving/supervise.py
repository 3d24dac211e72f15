"""Holds the listening socket, and keeps a worker running in the release that is current; SIGHUP starts it anew.

``python supervise.py PORT DIRECTORY``: ``DIRECTORY/current`` is a link to the release, ``DIRECTORY/service.env`` its
environment. While no worker runs, connections wait in the socket's queue.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def environment(place):
    """Return the environment of the service: what stands in its file, over what was inherited."""
    lines = (place / "service.env").read_text(encoding="utf-8").splitlines()
    return os.environ | dict(line.split("=", 1) for line in lines if "=" in line)


def main(port, place):
    """Start workers, one after the other, until told to end."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    worker, ending = None, False

    def renew(*_):
        if worker is not None:
            worker.terminate()

    def end(*_):
        nonlocal ending
        ending = True
        renew()

    signal.signal(signal.SIGHUP, renew)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while not ending:
        release = (place / "current").resolve()
        given = environment(place) | {"LISTEN_FD": str(listener.fileno())}
        worker = subprocess.Popen(
            [sys.executable, "worker.py"],
            cwd=release,
            env=given,
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        began = time.monotonic()
        worker.wait()
        if time.monotonic() - began < 1 and not ending:
            time.sleep(1)  # one that fails at once is not started over and over


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
