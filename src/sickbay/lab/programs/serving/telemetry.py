"""What this service tells of itself: Prometheus metrics, spans in OTLP's JSON, an access log."""

import asyncio
import gc
import json
import os
import random
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

import settings
from prometheus_client import Counter, Gauge, Histogram

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30)
DURATION = Histogram("http_request_duration_seconds", "Requests", ["handler", "method", "status"], buckets=BUCKETS)
RUNNING = Gauge("http_requests_in_progress", "Requests under way", ["handler"])
STAGE = Histogram("request_stage_duration_seconds", "Parts of a request", ["stage"], buckets=BUCKETS)
CLIENT = Histogram("http_client_request_duration_seconds", "Calls of others", ["peer"], buckets=BUCKETS)
LAG = Histogram("event_loop_lag_seconds", "How late the event loop runs a timer", buckets=BUCKETS)
PAUSE = Counter("python_gc_pause_seconds", "Seconds in the garbage collector")
ROWS = Counter("model_rows", "Rows that were scored")
LOADED = Gauge("model_load_duration_seconds", "Seconds that loading the model took")
POOL = {
    name: Gauge(f"db_pool_{name}", says)
    for name, says in {
        "size": "Connections of the pool", "max": "Most connections of the pool", "available": "Idle connections",
        "requests_waiting": "Requests that wait for a connection",
    }.items()
}  # fmt: skip
POOL_WAIT = Histogram("db_pool_wait_seconds", "Waiting for a connection of the pool", buckets=BUCKETS)
SAMPLED = 0.25
SPAN: ContextVar[dict] = ContextVar("span", default={})  # noqa: B039 - never changed in place
_started = [0.0]


def _collected(phase, _info):
    if phase == "start":
        _started[0] = time.perf_counter()
    else:
        PAUSE.inc(time.perf_counter() - _started[0])


gc.callbacks.append(_collected)


async def watch_loop(pool):
    """Measure how late timers run, and read the pool, for as long as the service runs."""
    POOL["max"].set(settings.POOL)
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.1)
        LAG.observe(max(0.0, time.perf_counter() - began - 0.1))
        stats = pool.get_stats()
        for name in ("size", "available"):
            POOL[name].set(stats.get(f"pool_{name}", 0))
        POOL["requests_waiting"].set(stats.get("requests_waiting", 0))


class _Lines:
    """A file of JSON lines that is opened anew when someone moved or emptied it."""

    def __init__(self, path):
        self._path = path

    def write(self, entry):
        if self._path:
            with open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write(json.dumps(entry, separators=(",", ":")) + "\n")


_access, _spans = _Lines(settings.ACCESS_LOG), _Lines(settings.SPANS)


def access(path, status, seconds, size):
    """Write one line of the access log."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _access.write({"time": now, "path": path, "status": status, "ms": round(seconds * 1000, 2), "bytes": size})


def root(headers, service):
    """Begin or continue a trace; return its context."""
    parent = headers.get("traceparent", "").split("-")
    if len(parent) == 4:
        return {"trace": parent[1], "id": parent[2], "on": parent[3] == "01", "service": service}
    return {"trace": os.urandom(16).hex(), "id": "", "on": random.random() < SAMPLED, "service": service}


@contextmanager
def span(name, kind=1, **attributes):
    """Time a part of a request as a span below the present one; kind 1 internal, 2 server, 3 client."""
    outer = SPAN.get()
    mine = {**outer, "id": os.urandom(8).hex()}
    token = SPAN.set(mine)
    began, clock = time.time_ns(), time.perf_counter()
    try:
        yield f"00-{mine.get('trace', '0' * 32)}-{mine['id']}-{'01' if mine.get('on') else '00'}"
    finally:
        SPAN.reset(token)
        if outer.get("on"):
            ended = began + int((time.perf_counter() - clock) * 1e9)
            keys = [{"key": k, "value": {"stringValue": str(v)}} for k, v in attributes.items()]
            made = {
                "traceId": mine["trace"], "spanId": mine["id"], "parentSpanId": outer.get("id", ""), "name": name,
                "kind": kind, "startTimeUnixNano": str(began), "endTimeUnixNano": str(ended), "attributes": keys,
            }  # fmt: skip
            _spans.write(
                {
                    "resourceSpans": [
                        {
                            "resource": {
                                "attributes": [{"key": "service.name", "value": {"stringValue": mine["service"]}}]
                            },
                            "scopeSpans": [{"scope": {"name": "telemetry"}, "spans": [made]}],
                        }
                    ]
                }
            )


@contextmanager
def stage(name):
    """Time a stage of a request, as a metric and as a span."""
    began = time.perf_counter()
    try:
        with span(name):
            yield
    finally:
        STAGE.labels(name).observe(time.perf_counter() - began)
