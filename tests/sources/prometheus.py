"""A Prometheus for tests: answers that 2.42 gave (``recorded/prometheus-2.42.json``), or series that a test gives.

Series are laid out as Prometheus does: a point per step, none where there is no value, numbers as text, more than
11,000 points refused. A real one is started by ``tests/services/test_prometheus.py``.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import math
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

RECORDED = json.loads((Path(__file__).parent / "recorded" / "prometheus-2.42.json").read_text(encoding="utf-8"))
TOO_MANY = RECORDED["too many points"]["body"]


def matrix(series, start, end, step):
    """Return an answer; ``series`` is a list of (labels, function of the time, which gives a number or None)."""
    result = []
    times = [start + k * step for k in range(math.floor((end - start) / step + 1e-9) + 1)]
    for labels, value in series:
        values = [[at, _text(value(at))] for at in times if value(at) is not None]
        if values:
            result.append({"metric": labels, "values": values})
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def _text(value):
    special = {math.inf: "+Inf", -math.inf: "-Inf"}
    return "NaN" if math.isnan(value) else special.get(value, repr(float(value)))


@contextlib.contextmanager
def served(queries=None, *, whatever=None, asked=None, slow=0.0, warnings=()):
    """Give the address of a server; ``queries``: text → series, or a whole recorded answer by its name.

    ``whatever`` is the recorded answer to every query. ``asked`` takes the parameters of each request in.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            given = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if asked is not None:
                asked.append(given)
            time.sleep(slow)
            known = whatever if whatever is not None else (queries or {}).get(given.get("query"), [])
            if isinstance(known, str):
                self._reply(RECORDED[known]["status"], RECORDED[known]["body"], RECORDED[known]["media"])
            elif isinstance(known, dict):
                self._reply(known.get("_status", 200), json.dumps({k: v for k, v in known.items() if k != "_status"}))
            elif (float(given["end"]) - float(given["start"])) / float(given["step"]) + 1 > 11_000:
                self._reply(400, TOO_MANY)
            else:
                spans = (float(given[name]) for name in ("start", "end", "step"))
                self._reply(200, json.dumps(matrix(known, *spans) | ({"warnings": warnings} if warnings else {})))

        def _reply(self, status, text, media="application/json"):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
