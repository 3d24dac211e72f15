"""Sends requests at a rate that a file says: ``python load.py URL FILE SEED``.

The file holds JSON: ``{"rate": 5, "rows": 40}``. The rate does not wait for answers (an open loop), up to a bound of
requests under way. Only an address of the loopback is taken.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx

MOST = 60


def events(rng, rows):
    """Return the events of one request."""
    return [
        [
            round(rng.random() * 24, 2),
            round(rng.lognormvariate(3, 1), 2),
            rng.randrange(200),
            round(rng.random() * 50, 1),
        ]
        for _ in range(rows)
    ]


async def ask(client, url, body, busy):
    """Send one request and forget its answer."""
    try:
        await client.post(url, json=body)
    except httpx.HTTPError:
        await asyncio.sleep(0)
    finally:
        busy.discard(asyncio.current_task())


async def main(url, file, seed):
    """Send requests until ended."""
    rng, busy = random.Random(seed), set()
    limits = httpx.Limits(max_connections=MOST, max_keepalive_connections=10)
    async with httpx.AsyncClient(timeout=30, limits=limits, trust_env=False) as client:
        while True:
            try:
                wanted = json.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                wanted = {"rate": 1, "rows": 40}
            rate = min(float(wanted["rate"]), 60.0)
            await asyncio.sleep(rng.expovariate(rate))
            if len(busy) < MOST:
                rows = max(4, min(400, round(wanted["rows"] * rng.lognormvariate(0, 0.4))))
                body = {"customer": rng.randrange(1000), "events": events(rng, rows)}
                busy.add(asyncio.create_task(ask(client, url, body, busy)))


if __name__ == "__main__":
    if urlsplit(sys.argv[1]).hostname != "127.0.0.1":
        raise SystemExit("load is sent to this machine alone")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
