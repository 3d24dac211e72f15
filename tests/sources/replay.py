"""Serves answers that an Airflow gave, on a real port; a test may change them first, keeping their shape."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
from pathlib import Path
from urllib.parse import unquote

RECORDED = Path(__file__).parent / "recorded"


def answers(name):
    """Return path → answer as ``airflow-2.11`` or ``airflow-3.3`` gave it to a viewer."""
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def served(recorded):
    """Give the address of a server that answers so; a path that was not recorded is 404."""

    class Replay(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = re.sub(r"&after=.*?(?=&offset=|$)", "", unquote(self.path))  # the filters of the event log
            answer = recorded.get(path, {"_status": 404, "body": "not recorded"})
            body = answer["body"].encode() if "_status" in answer else json.dumps(answer).encode()
            self._reply(answer.get("_status", 200), body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self._reply(201, b'{"access_token": "replayed-token"}')

        def _reply(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
