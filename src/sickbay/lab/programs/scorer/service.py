"""Scores card payments over HTTP. One line of log per request, metrics at /metrics."""

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import audit
import features
import model
import numpy as np
import settings
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

REQUESTS = Counter("http_requests", "Requests answered", ["status"])
RUNNING = Gauge("http_requests_in_progress", "Requests under way")
RECEIVED = Counter("http_request_size_bytes_sum", "Bytes of requests")
WORK_BYTES = 12_000_000
"""What a request holds while it waits for the feature store: its history window."""
PROFILE_BYTES = 250_000
PROFILES = OrderedDict()


def say(text):
    """Write a line of log with its time."""
    print(datetime.now(UTC).isoformat(timespec="milliseconds"), text, flush=True)


@contextlib.asynccontextmanager
async def lifespan(app):
    """Load the model, and send scores to the audit in the background."""
    began = time.perf_counter()
    app.state.model = model.Model(settings.MODEL)
    say(f"model {settings.MODEL.rpartition('/')[2]} loaded in {time.perf_counter() - began:.2f} s")
    app.state.threads = ThreadPoolExecutor(4)
    await warm_up(app.state)
    task = asyncio.create_task(audit.send())
    yield
    task.cancel()


async def warm_up(state):
    """Serve a few made-up requests at once, so that the first real ones do not pay for what is set up on first use."""
    loop, window = asyncio.get_running_loop(), np.ones(WORK_BYTES // 8)
    for number in range(40):
        profile(number)
    payments = np.ones((700, 4))
    await asyncio.gather(*(loop.run_in_executor(state.threads, work, state.model, n, payments) for n in range(2)))
    for _ in range(4):
        json.loads(json.dumps(payments.tolist()))
    del window


def profile(number):
    """Return a customer's profile, from the least recently used that are kept up to a bound."""
    found = PROFILES.pop(number, None)
    if found is None:
        found = np.full(PROFILE_BYTES, number % 251, dtype=np.uint8)
    PROFILES[number] = found
    while len(PROFILES) * PROFILE_BYTES > settings.PROFILES * 1_000_000:
        PROFILES.popitem(last=False)
    return found


def work(scorer, customer, payments):
    """Score the payments of a customer."""
    profile(customer)
    return features.score(scorer, payments)


async def predict(request):
    """Score a batch of payments."""
    RUNNING.inc()
    began, status, size = time.perf_counter(), 500, 0
    try:
        raw = await request.body()
        size = len(raw)
        body = json.loads(raw)
        payments = np.asarray(body["payments"], dtype=np.float64).reshape(-1, 4)
        del raw, body["payments"]
        window = np.ones(WORK_BYTES // 8)
        await asyncio.sleep(settings.FEATURE_STORE_SECONDS)
        state, loop = request.app.state, asyncio.get_running_loop()
        scores = await loop.run_in_executor(state.threads, work, state.model, int(body["customer"]), payments)
        audit.note(payments, scores)
        del window
        status = 200
        return JSONResponse({"scores": [round(float(score), 6) for score in scores[:100]], "rows": len(scores)})
    finally:
        RUNNING.dec()
        RECEIVED.inc(size)
        REQUESTS.labels(str(status)).inc()
        say(f"POST /predict {status} {size} bytes {1000 * (time.perf_counter() - began):.0f} ms")


async def health(request):
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def metrics(request):
    """Return the metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


app = Starlette(
    routes=[Route("/predict", predict, methods=["POST"]), Route("/health", health), Route("/metrics", metrics)],
    lifespan=lifespan,
)
