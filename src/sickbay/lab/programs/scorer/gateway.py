"""The clients and the gateway in front of the pods: ``python gateway.py DIRECTORY SEED``.

``DIRECTORY/endpoints.json`` lists the ready pods, each with a port of this machine or ``ADDRESS:PORT``;
``DIRECTORY/clients.json`` says what the clients do: ``{"rate": 8, "rows": 60, "large_share": 0.04, "large_rows": 900,
"customers": 60}``. An open loop: the rate does not wait for answers. Each request is a line of
``DIRECTORY/access.log``.
"""

import asyncio
import json
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

MOST = 80
PATIENCE = 12.0


class Gateway:
    """Sends each request to the next ready pod, and writes what came of it."""

    def __init__(self, place, seed):
        self.place, self.rng, self.turn, self.busy = place, random.Random(seed), 0, set()
        self.bodies = {}

    def body(self, rows, customer):
        """Return a request; the payments of one size are drawn once."""
        if rows not in self.bodies:
            draw = self.rng
            payments = [
                [draw.randrange(1500), round(draw.lognormvariate(3, 1), 1), draw.randrange(24), draw.randrange(50)]
                for _ in range(rows)
            ]
            self.bodies[rows] = json.dumps(payments, separators=(",", ":"))
        return f'{{"customer":{customer},"payments":{self.bodies[rows]}}}'.encode()

    async def send(self, body):
        """Send one request and log it."""
        began, status = time.perf_counter(), 503
        ready = json.loads((self.place / "endpoints.json").read_text(encoding="utf-8"))
        if ready:
            self.turn += 1
            pod, where = ready[self.turn % len(ready)]
            try:
                status = await asyncio.wait_for(exchange(str(where), body), PATIENCE)
            except TimeoutError:
                status = 504
            except (OSError, ValueError, IndexError, asyncio.IncompleteReadError):
                status = 502
        else:
            pod = "-"
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "path": "/predict", "status": status,
            "ms": round(1000 * (time.perf_counter() - began), 1), "bytes": len(body), "upstream": pod,
        }  # fmt: skip
        with (self.place / "access.log").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")

    async def run(self):
        """Send requests until ended."""
        while True:
            wish = json.loads((self.place / "clients.json").read_text(encoding="utf-8"))
            await asyncio.sleep(self.rng.expovariate(min(float(wish["rate"]), 80.0)))
            if len(self.busy) >= MOST:
                continue
            large = self.rng.random() < wish["large_share"]
            rows = wish["large_rows"] if large else wish["rows"]
            rows = max(1, round(rows * self.rng.choice((0.7, 0.85, 1.0, 1.15, 1.3))))
            task = asyncio.create_task(self.send(self.body(rows, self.rng.randrange(wish["customers"]))))
            self.busy.add(task)
            task.add_done_callback(self.busy.discard)


async def exchange(where, body):
    """Send a request over a connection of its own and return the status."""
    host, _, port = where.rpartition(":")
    reader, writer = await asyncio.open_connection(host or "127.0.0.1", int(port))
    try:
        head = f"POST /predict HTTP/1.1\r\nHost: scorer\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        first = await reader.readline()
        await reader.read()
        return int(first.split()[1])
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(Gateway(Path(sys.argv[1]), int(sys.argv[2])).run())
