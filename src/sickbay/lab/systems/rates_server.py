"""The partner's exchange-rate API: a small server of its own, outside the pipeline's reach. Run as a program.

``python rates_server.py PORT STATE``: ``STATE`` is a JSON file that says how it behaves, read anew for every request.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

CURRENCIES = {"CHF": 0.94, "EUR": 1.0, "GBP": 0.85, "JPY": 162.0, "SEK": 11.4, "USD": 1.08}
LOCK = threading.Lock()


class Rates(BaseHTTPRequestHandler):
    """Answers ``GET /health`` and ``GET /v1/rates?date=YYYY-MM-DD`` with an ``X-API-Key``."""

    protocol_version = "HTTP/1.1"
    server_version = "rates/2.3"
    state = Path("rates.json")
    served: ClassVar[dict[str, int]] = {}
    """Requests for rates since the state was last changed, by the time of that change."""

    def do_GET(self) -> None:
        """Answer a request."""
        state = json.loads(self.state.read_text(encoding="utf-8"))
        path = urlsplit(self.path)
        time.sleep(state["hang"] or state["delay"])
        if state["status"]:
            self._say(state["status"], {"error": "service unavailable, maintenance in progress"})
        elif path.path == "/health":
            self._say(200, {"status": "ok"})
        elif path.path != f"/{state['version']}/rates":
            self._say(404, {"error": f"no such resource: {path.path}"})
        elif self.headers.get("X-API-Key") != state["key"]:
            self._say(state["refusal"], {"error": "the API key is not valid"})
        else:
            self._rates(state, parse_qs(path.query).get("date", ["2026-01-01"])[0])

    def _rates(self, state: dict[str, Any], day: str) -> None:
        with LOCK:
            changed = str(self.state.stat().st_mtime_ns)
            self.served[changed] = self.served.get(changed, 0) + 1
            if state["fail_first"] >= self.served[changed]:
                self._say(503, {"error": "try again"})
                return
        rng = random.Random(day)
        rows = [
            {"currency": name, "rate": round(middle * rng.uniform(0.99, 1.01), 4)}
            for name, middle in CURRENCIES.items()
        ]
        answer: dict[str, Any] = {"date": day, "base": "EUR", "rates": rows}
        match state["schema"]:
            case "renamed":
                answer["rates"] = [{"code": row["currency"], "value": row["rate"]} for row in rows]
            case "retyped":
                answer["rates"] = [{**row, "rate": {"amount": str(row["rate"]), "unit": "EUR"}} for row in rows]
            case "dropped":
                del answer["rates"]
            case "nested":
                answer = {"data": answer, "meta": {"version": 3}}
            case "zero":
                answer["rates"] = [{**row, "rate": 0.0} for row in rows]
        self._say(200, answer)

    def _say(self, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Write a line for each request, as servers do."""
        sys.stderr.write(f"{self.log_date_time_string()} {format % args}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    Rates.state = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Rates).serve_forever()
