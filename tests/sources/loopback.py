"""An HTTP server for a test, on a free port of loopback, gone with the test."""

from __future__ import annotations

import contextlib
import http.server
import threading


@contextlib.contextmanager
def serving(get, post=None):
    """Give the address of a server; ``get`` and ``post`` take a path and return status, body and media type."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self._reply(*get(self.path))

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self._reply(*post(self.path))

        def _reply(self, status, body, media=""):
            self.send_response(status)
            if media:
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
