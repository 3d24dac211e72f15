"""Logging predictions off the request path: the request appends to a bounded queue, a thread does the rest.

A slow or dead sink never blocks a request. What the queue cannot hold is dropped and counted; what the sink refuses is
tried again, and counted when it is given up.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sickbay.monitor.sinks import Row, Sink
from sickbay.monitor.stream import Stream

F = TypeVar("F", bound=Callable[..., Any])
IDLE_SECONDS = 0.1
LONGEST_WAIT = 30.0
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the predictions offered: ``logged`` + ``dropped`` + ``given_up`` + ``waiting`` = ``offered``."""

    offered: int
    logged: int
    dropped: int
    """Not taken: the queue was full."""
    given_up: int
    """Taken, and refused by the sink every time it was tried."""
    waiting: int
    sink_errors: int
    last_error: str
    stream_errors: int


class PredictionLogger:
    """Takes predictions from any thread without waiting, and feeds a stream and a sink from a thread of its own.

    ``capacity``: predictions held at most. ``batch``: written at once. ``redact`` is applied to every row before it
    leaves, in the thread. After a fork the child starts a thread, a queue and counts of its own.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        *,
        stream: Stream | None = None,
        capacity: int = 10_000,
        batch: int = 500,
        redact: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sink, self.stream = sink, stream
        self.capacity, self.batch = capacity, batch
        self._redact, self._clock = redact, clock
        self._worker: threading.Thread | None = None
        self._closed = False
        self._begin()
        atexit.register(self.close, 2.0)

    def log(
        self, features: Any, prediction: Any, *, latency_ms: float | None = None, status: str = "ok", **more: Any
    ) -> bool:
        """Offer a prediction; return whether it was taken. Never waits, and raises nothing of the sink's."""
        if os.getpid() != self._process:
            self._begin()
        next(self._offered)
        if len(self._queue) >= self.capacity or self._closed:
            next(self._dropped)
            return False
        self._queue.append((self._clock(), features, prediction, latency_ms, status, more))
        if self._worker is None:
            self._start()
        return True

    @property
    def counts(self) -> Counts:
        """What became of everything offered so far."""
        offered, dropped = _value(self._offered), _value(self._dropped)
        waiting = offered - dropped - self._logged - self._given_up
        return Counts(
            offered, self._logged, dropped, self._given_up, waiting, self._sink_errors, self._last_error,
            self._stream_errors,
        )  # fmt: skip

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything taken so far is written or given up; return whether that came about in time."""
        end = time.monotonic() + timeout
        while self.counts.waiting > 0 and time.monotonic() < end:
            if self._worker is None and self._queue:
                self._start()
            time.sleep(0.005)
        return self.counts.waiting <= 0

    def close(self, timeout: float = 5.0) -> None:
        """Take no more, write what is there within ``timeout`` seconds, and count the rest as given up."""
        if self._closed or os.getpid() != self._process:
            return
        self.flush(timeout)
        self._closed = True
        atexit.unregister(self.close)
        if self._worker is not None:
            self._wake.set()
            self._worker.join(0.5)
        self._given_up += self.counts.waiting

    def _begin(self) -> None:
        self._process = os.getpid()
        self._guard, self._wake = threading.Lock(), threading.Event()
        self._queue: deque[tuple[Any, ...]] = deque()
        self._offered, self._dropped = itertools.count(), itertools.count()
        self._logged = self._given_up = self._sink_errors = self._stream_errors = 0
        self._last_error = ""
        self._closed = False
        self._worker = None

    def _start(self) -> None:
        with self._guard:
            if self._worker is None and not self._closed:
                self._worker = threading.Thread(target=self._work, name="sickbay-log", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        while not self._closed:
            taken = self._take()
            if taken:
                self._hand_on(taken)
            else:
                self._wake.wait(IDLE_SECONDS)

    def _take(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while self._queue and len(rows) < self.batch:
            offered = self._queue.popleft()
            try:
                rows.append(self._row(*offered))
            except Exception as error:  # noqa: BLE001  what was logged is the user's: it may refuse to be read
                self._given_up += 1
                self._last_error = f"a prediction cannot be read: {type(error).__name__}: {error}"
        return rows

    def _row(
        self, moment: float, features: Any, prediction: Any, latency_ms: float | None, status: str, more: dict[str, Any]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"timestamp": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        row |= _named(features, self.stream)
        if isinstance(prediction, Mapping):
            row |= prediction
        elif prediction is not None or "prediction" not in row:
            row["prediction"] = _scalar(prediction)
        row |= {"latency_ms": latency_ms, "status": status, **more}
        return row

    def _hand_on(self, rows: list[dict[str, Any]]) -> None:
        wait = IDLE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                kept: Sequence[Row] = [dict(self._redact(row)) for row in rows] if self._redact else rows
                if self.sink is not None:
                    self.sink.write(kept)
                break
            except Exception as error:  # noqa: BLE001  the sink is the user's: whatever it raises is counted, not raised
                self._sink_errors += 1
                self._last_error = f"{type(error).__name__}: {error}"
                if attempt == ATTEMPTS or self._closed:
                    self._given_up += len(rows)
                    self._feed(rows)
                    return
                self._wake.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
        self._feed(rows)
        self._logged += len(rows)

    def _feed(self, rows: list[dict[str, Any]]) -> None:
        from sickbay.errors import SickbayError

        if self.stream is None:
            return
        names = self.stream.names or tuple(k for k in rows[0] if k not in ("timestamp", "status"))
        try:
            self.stream.update({name: [row.get(name) for row in rows] for name in names})
        except SickbayError as error:
            self._stream_errors += 1
            self._last_error = str(error)


def log_predictions(logger: PredictionLogger, *, features: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Return a decorator that logs what a function is called with and what it returns, and changes neither.

    ``features`` picks what to log from the call's arguments; left out, the first argument. Works for plain and async
    functions; an exception is logged with status "error" and goes on unchanged.
    """
    pick = features or _first

    def wrap(function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def asynchronous(*args: Any, **named: Any) -> Any:
                began = time.perf_counter()
                try:
                    answer = await function(*args, **named)
                except BaseException as error:
                    _failed(logger, pick, args, named, began, error)
                    raise
                logger.log(pick(*args, **named), answer, latency_ms=(time.perf_counter() - began) * 1e3)
                return answer

            return asynchronous  # type: ignore[return-value]

        @functools.wraps(function)
        def plain(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                answer = function(*args, **named)
            except BaseException as error:
                _failed(logger, pick, args, named, began, error)
                raise
            logger.log(pick(*args, **named), answer, latency_ms=(time.perf_counter() - began) * 1e3)
            return answer

        return plain  # type: ignore[return-value]

    return wrap


def _failed(
    logger: PredictionLogger, pick: Callable[..., Any], args: Any, named: Any, began: float, error: BaseException
) -> None:
    logger.log(
        pick(*args, **named), None, latency_ms=(time.perf_counter() - began) * 1e3, status="error",
        error=type(error).__name__,
    )  # fmt: skip


def _first(*args: Any, **named: Any) -> Any:
    return args[0] if args else named


def _named(features: Any, stream: Stream | None) -> dict[str, Any]:
    """Return the features of one row by name; unnamed ones are x0, x1, …, or the stream's names where they fit."""
    if isinstance(features, Mapping):
        return {str(k): _scalar(v) for k, v in features.items()}
    if hasattr(features, "_asdict"):
        return dict(features._asdict())
    if hasattr(features, "__dataclass_fields__"):
        return asdict(features)
    values = features.ravel().tolist() if hasattr(features, "ravel") else features
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        names = stream.names if stream is not None and stream.names and len(stream.names) == len(values) else None
        return {names[i] if names else f"x{i}": _scalar(v) for i, v in enumerate(values)}
    return {"features": _scalar(values)}


def _scalar(value: Any) -> Any:
    if getattr(value, "ndim", None) is not None and getattr(value, "size", 0) == 1:
        return value.item()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 1:
        return value[0]
    return value.tolist() if hasattr(value, "tolist") else value


def _value(counter: itertools.count[int]) -> int:
    """Return how often a counter was asked, without asking it; ``next`` of it is atomic, ``+=`` is not."""
    return int(repr(counter).removeprefix("count(").removesuffix(")"))
