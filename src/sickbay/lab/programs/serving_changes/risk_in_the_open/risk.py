"""The risk service: what others know of a customer and of the merchants, over HTTP."""

import time

import httpx
import settings
import telemetry

MERCHANTS = settings.number("RISK_MERCHANTS", 20)


def client():
    """Return the client of the risk service."""
    return httpx.Client(base_url=settings.RISK, timeout=30, trust_env=False)


async def close(line):
    """Close the client."""
    line.close()


async def rating(line, customer, events):
    """Return the rating of a customer, over those of the merchants."""
    with telemetry.span("GET /risk", 3, **{"peer.service": "risk"}) as parent:
        total = 0.0
        for merchant in [customer, *(int(event[2]) for event in events)][:MERCHANTS]:
            began = time.perf_counter()
            answer = line.get(f"/risk/{merchant}", headers={"traceparent": parent})
            telemetry.CLIENT.labels("risk").observe(time.perf_counter() - began)
            total += answer.json()["rating"]
    return total / MERCHANTS
