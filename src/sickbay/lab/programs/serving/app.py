"""A fraud model behind HTTP: database, risk service, history, features, model."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import customers
import features
import history
import model
import risk
import settings
import telemetry
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@contextlib.asynccontextmanager
async def lifespan(app):
    """Open what the service needs, and close it at the end."""
    app.state.threads = ThreadPoolExecutor(settings.THREADS, thread_name_prefix="worker")
    app.state.model = model.load()
    app.state.history = history.open_file()
    app.state.pool = customers.pool()
    await app.state.pool.open()
    app.state.risk = risk.client()
    watch = asyncio.create_task(telemetry.watch_loop(app.state.pool))
    yield
    watch.cancel()
    await risk.close(app.state.risk)
    await app.state.pool.close(1)


async def predict(request):
    """Score the events of a customer."""
    body = await request.json()
    state, loop = request.app.state, asyncio.get_running_loop()
    customer, events = int(body["customer"]), body["events"]
    with telemetry.stage("customer"):
        profile = await customers.profile(state.pool, customer)
    with telemetry.stage("risk"):
        rating = await risk.rating(state.risk, customer, events)
    with telemetry.stage("history"):
        past = await loop.run_in_executor(state.threads, history.summary, state.history, customer)
    with telemetry.stage("features"):
        rows = await loop.run_in_executor(state.threads, features.build, events, profile, past, rating)
    with telemetry.stage("inference"):
        scores = await loop.run_in_executor(state.threads, model.score, state.model, rows)
    telemetry.ROWS.inc(len(scores))
    return JSONResponse({"scores": [round(float(score), 6) for score in scores]})


async def health(request):
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def metrics(request):
    """Return the metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class Observed:
    """Times each request: histogram, requests under way, access log, server span."""

    def __init__(self, inner):
        self._inner = inner

    async def __call__(self, scope, receive, send):
        """Serve one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        path, status = scope["path"], [500]

        async def sending(message):
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        telemetry.SPAN.set(telemetry.root(headers, "model-server"))
        began = time.perf_counter()
        telemetry.RUNNING.labels(path).inc()
        try:
            with telemetry.span(f"{scope['method']} {path}", 2):
                await self._inner(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - began
            telemetry.RUNNING.labels(path).dec()
            telemetry.DURATION.labels(path, scope["method"], str(status[0])).observe(seconds)
            telemetry.access(path, status[0], seconds, int(headers.get("content-length", 0)))


app = Observed(
    Starlette(
        routes=[Route("/predict", predict, methods=["POST"]), Route("/health", health), Route("/metrics", metrics)],
        lifespan=lifespan,
    )
)
