"""Scores on their way to the audit service: sent five times a second, kept while it does not answer."""

import asyncio
import threading
from urllib.parse import urlsplit

import numpy as np
import settings

WAITING = []
LOCK = threading.Lock()
TRAIL_BYTES = 3_000_000
"""What the audit wants of each fifth of a second: inputs, features and scores of a sample."""


def note(payments, scores):
    """Remember a request until it has been sent."""
    with LOCK:
        WAITING.append(np.concatenate([payments[:20].ravel(), scores[:20]]))


async def send():
    """Send what waits, as long as the service runs."""
    place = urlsplit(settings.SINK)
    backlog = []
    while True:
        await asyncio.sleep(0.2)
        with LOCK:
            taken, WAITING[:] = list(WAITING), []
        backlog.append(np.resize(np.concatenate([np.zeros(1), *taken]), TRAIL_BYTES // 8))
        if not place.hostname:
            backlog.clear()
            continue
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(place.hostname, place.port), 1)
            for entry in backlog:
                writer.write(entry.tobytes())
            await asyncio.wait_for(writer.drain(), 2)
            writer.close()
            backlog.clear()
        except (OSError, TimeoutError):
            continue
