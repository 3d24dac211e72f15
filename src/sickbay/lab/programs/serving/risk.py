"""The risk service: what others know of a customer, over HTTP."""

import time

import httpx
import settings
import telemetry


def client():
    """Return the client of the risk service."""
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=20)
    return httpx.AsyncClient(base_url=settings.RISK, timeout=30, limits=limits, trust_env=False)


async def close(line):
    """Close the client."""
    await line.aclose()


async def rating(line, customer, events):
    """Return the rating of a customer."""
    began = time.perf_counter()
    with telemetry.span("GET /risk", 3, **{"peer.service": "risk"}) as parent:
        answer = await line.get(f"/risk/{customer}", headers={"traceparent": parent})
    telemetry.CLIENT.labels("risk").observe(time.perf_counter() - began)
    return float(answer.json()["rating"])
