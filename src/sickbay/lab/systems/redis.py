"""A Redis server of the lab's own, and a line between two of them whose bytes can be held back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import Server, free_port, launch, wait_until


@dataclass(slots=True)
class Redis:
    """A running Redis, and a client of it."""

    port: int
    server: Server
    client: Any

    @property
    def replication(self) -> dict[str, Any]:
        """What it says of its replication."""
        found: dict[str, Any] = self.client.info("replication")
        return found


def start(directory: Path, name: str, *, of: int = 0) -> Redis:
    """Start a Redis that keeps nothing on disk; ``of``: the port of the primary that it is a replica of."""
    import redis

    port = free_port()
    command: list[str | Path] = [
        environment("feast") / "bin" / "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--dir", str(directory), "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
        "--repl-diskless-load", "swapdb", "--repl-ping-replica-period", "2", "--repl-timeout", "3600",
    ]  # fmt: skip
    if of:
        command += ["--replicaof", "127.0.0.1", str(of)]
    server = launch(f"Redis {name}", command, log=directory / f"redis-{name}.log", cwd=directory)
    client = redis.Redis(port=port, socket_timeout=10, protocol=2)

    def answers() -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    wait_until(answers, 30, f"Redis {name} answering", server)
    return Redis(port, server, client)


class Line:
    """Forwards ``127.0.0.1:port`` to ``target``; what comes back from the target can be held, and let go by mark.

    ``cut``: nobody listens, and open connections are reset.
    """

    def __init__(self, target: int) -> None:
        self.port, self.target = free_port(), target
        self.mark, self.released = 0, 0
        self.holding = False
        self._closed = False
        self._moved = threading.Condition()
        self._ends: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.mend()

    def hold(self) -> None:
        """From now on let only what has a mark up to ``released`` through."""
        self.holding = True

    def release(self, mark: int) -> None:
        """Let go of everything up to this mark."""
        with self._moved:
            self.released = mark
            self._moved.notify_all()

    def flow(self) -> None:
        """Let everything through again."""
        with self._moved:
            self.holding = False
            self._moved.notify_all()

    def cut(self) -> None:
        """Refuse connections and reset open ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for end in list(self._ends):
            self._drop(end)

    def mend(self) -> None:
        """Take connections again."""
        if self._listener is None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(64)
            self._listener = listener
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Stop for good."""
        self._closed = True
        self.flow()
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closed:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                return
            far.settimeout(None)
            self._ends |= {near, far}
            queue: deque[tuple[int, bytes]] = deque()
            for act, given in ((self._up, (near, far)), (self._read, (far, near, queue)), (self._send, (near, queue))):
                threading.Thread(target=act, args=given, daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        self._drop(near)
        self._drop(far)

    def _read(self, far: socket.socket, near: socket.socket, queue: deque[tuple[int, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                with self._moved:
                    queue.append((self.mark, data))
                    self._moved.notify_all()
        self._drop(near)
        with self._moved:
            self._moved.notify_all()

    def _send(self, near: socket.socket, queue: deque[tuple[int, bytes]]) -> None:
        while near in self._ends and not self._closed:
            with self._moved:
                while queue and self.holding and queue[0][0] > self.released and near in self._ends:
                    self._moved.wait(1)
                if not queue:
                    self._moved.wait(1)
                    continue
                _, data = queue.popleft()
            with contextlib.suppress(OSError):
                near.sendall(data)

    def _drop(self, end: socket.socket) -> None:
        self._ends.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            end.close()


def caught_up(primary: Redis, replica: Redis, seconds: float = 15.0, *, behind: int = 0) -> None:
    """Wait until the replica has all that the primary has written (or all but what ``behind`` says in bytes)."""
    wanted = int(primary.replication["master_repl_offset"]) - behind
    reached(replica, wanted, seconds)


def reached(replica: Redis, offset: int, seconds: float = 15.0) -> None:
    """Wait until the replica has come to this offset of the primary's stream."""
    end = time.monotonic() + seconds
    while int(replica.replication.get("slave_repl_offset", -1)) < offset:
        if time.monotonic() > end:
            said = replica.replication
            raise TimeoutError(f"the replica did not come to {offset}: {said}")
        time.sleep(0.0005)
