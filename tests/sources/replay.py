"""Serves answers that an Airflow gave, on a real port; a test may change them first, keeping their shape."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

from tests.sources import loopback

RECORDED = Path(__file__).parent / "recorded"


def answers(name):
    """Return path → answer as ``airflow-2.11`` or ``airflow-3.3`` gave it to a viewer."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def served(recorded):
    """Return a context with the address of a server that answers so; a path that was not recorded is 404."""

    def get(asked):
        path = re.sub(r"&after=.*?(?=&offset=|$)", "", unquote(asked))  # the filters of the event log
        answer = recorded.get(path, {"_status": 404, "body": "not recorded"})
        body = answer["body"].encode() if "_status" in answer else json.dumps(answer).encode()
        return answer.get("_status", 200), body

    return loopback.serving(get, lambda _: (201, b'{"access_token": "replayed-token"}'))
