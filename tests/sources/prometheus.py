"""A Prometheus for tests: answers that 2.42 gave (``recorded/prometheus-2.42.json``), or series that a test gives.

Series are laid out as Prometheus does: a point per step, none where there is no value, numbers as text, more than
11,000 points refused. A real one is started by ``tests/services/test_prometheus.py``.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.sources import loopback

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


def served(queries=None, *, whatever=None, asked=None, slow=0.0, warnings=()):
    """Return a context with a server's address; ``queries``: text → series, or a whole recorded answer by its name.

    ``whatever`` is the recorded answer to every query. ``asked`` takes the parameters of each request in.
    """

    def reply(status, text, media="application/json"):
        return status, text.encode(), media

    def get(path):
        given = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        if asked is not None:
            asked.append(given)
        time.sleep(slow)
        known = whatever if whatever is not None else (queries or {}).get(given.get("query"), [])
        if isinstance(known, str):
            return reply(RECORDED[known]["status"], RECORDED[known]["body"], RECORDED[known]["media"])
        if isinstance(known, dict):
            return reply(known.get("_status", 200), json.dumps({k: v for k, v in known.items() if k != "_status"}))
        if (float(given["end"]) - float(given["start"])) / float(given["step"]) + 1 > 11_000:
            return reply(400, TOO_MANY)
        spans = (float(given[name]) for name in ("start", "end", "step"))
        return reply(200, json.dumps(matrix(known, *spans) | ({"warnings": warnings} if warnings else {})))

    return loopback.serving(get)
