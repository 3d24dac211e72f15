"""The risk service: rates customers, after a look into something of its own that takes a few milliseconds."""

import asyncio
import time

import telemetry
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def risk(request):
    """Rate a customer or a merchant."""
    telemetry.SPAN.set(telemetry.root(request.headers, "risk"))
    began = time.perf_counter()
    with telemetry.span("GET /risk", 2):
        await asyncio.sleep(0.004)
        key = int(request.path_params["key"])
    telemetry.DURATION.labels("/risk", "GET", "200").observe(time.perf_counter() - began)
    return JSONResponse({"rating": (key * 2654435761 % 1000) / 1000})


async def health(request):
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def metrics(request):
    """Return the metrics for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


app = Starlette(routes=[Route("/risk/{key}", risk), Route("/health", health), Route("/metrics", metrics)])
