"""A TCP proxy between two servers of the lab, which can cut the line, hang it, or slow it down."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import Literal

Mode = Literal["pass", "hang", "refuse", "slow", "drop"]
CHUNK = 64 * 1024


class Proxy:
    """Forwards ``127.0.0.1:port`` to ``target``. ``mode`` may change at any time, and concerns open connections too.

    ``hang``: connections are taken and kept, nothing is forwarded. ``refuse``: nobody listens, and open connections are
    reset. ``slow``: every chunk waits ``delay`` seconds. ``drop``: no attempt to connect is answered, as where no route
    leads (the listener's queue is full and nobody takes from it), and open connections are reset.
    """

    def __init__(self, port: int, target: int, *, delay: float = 0.0) -> None:
        self.port, self.target, self.delay = port, target, delay
        self._mode: Mode = "pass"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._closed = False
        self._queue: list[socket.socket] = []
        self._listen()

    @property
    def mode(self) -> Mode:
        """What the line does now."""
        return self._mode

    def set(self, mode: Mode, *, delay: float = 0.0) -> None:
        """Change what the line does."""
        self._mode, self.delay = mode, delay
        for held in self._queue:
            held.close()
        self._queue.clear()
        if mode in ("refuse", "drop"):
            self._stop_listening()
            self._reset()
            if mode == "drop":
                self._fill_queue()
        elif self._listener is None:
            self._listen()
        if mode == "pass":
            self._reset()  # what hung is not carried on: both ends notice at once

    def close(self) -> None:
        """Stop for good."""
        self._closed = True
        for held in self._queue:
            held.close()
        self._stop_listening()
        self._reset()

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _fill_queue(self) -> None:
        """Listen with the shortest queue there is, and fill it: Linux then drops what asks to connect."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._queue.append(listener)
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(("127.0.0.1", self.port))
            self._queue.append(caller)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closed:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """Carry one connection until either end closes it."""
        far: socket.socket | None = None
        with self._lock:
            self._open.add(near)
        try:
            while self._mode == "hang" and not self._closed:
                time.sleep(0.05)
                if near.fileno() < 0:
                    return
            far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            far.settimeout(None)
            for side in (near, far):  # small messages are not held back: the line itself adds no time
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(far)
            self._pump(near, far)
        except (OSError, ValueError):
            return
        finally:
            for end in (near, far):
                if end is not None:
                    self._drop(end)

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as chooser:
            chooser.register(near, selectors.EVENT_READ, far)
            chooser.register(far, selectors.EVENT_READ, near)
            while True:
                if self._mode == "hang":
                    time.sleep(0.05)
                    if near.fileno() < 0 or far.fileno() < 0:
                        return
                    continue
                for key, _ in chooser.select(timeout=0.5):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    if self._mode == "slow":
                        time.sleep(self.delay)
                    key.data.sendall(data)

    def _reset(self) -> None:
        with self._lock:
            ends, self._open = list(self._open), set()
        for end in ends:
            self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        with self._lock:
            self._open.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            end.close()
