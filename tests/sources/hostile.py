"""A server that misbehaves in one chosen way, on a real port: what sick systems and wrong addresses look like."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import subprocess
import threading

WAYS = (
    "hang", "half an answer", "error 500", "web page", "redirection", "close", "refuse", "bad certificate", "login",
    "drip", "noise",
)  # fmt: skip
PAGE = b"<html><body>Welcome to the gateway</body></html>"
ANSWERS = {
    "half an answer": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"half": ',
    "error 500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    "web page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE),
    "redirection": b"HTTP/1.1 302 Found\r\nLocation: https://login.example.invalid/\r\nContent-Length: 0\r\n\r\n",
    "login": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "noise": bytes(range(256)) * 20,
}


@contextlib.contextmanager
def server(way, directory):
    """Give the port of a server that misbehaves in this way."""
    if way == "refuse":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            yield probe.getsockname()[1]
        return
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=_serve, args=(listener, way, ended, directory), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def _serve(listener, way, ended, directory):
    context = _certificate(directory) if way == "bad certificate" else None
    lines = []
    while not ended.is_set():
        try:
            line, _ = listener.accept()
        except TimeoutError:
            continue
        thread = threading.Thread(target=_answer, args=(line, way, ended, context), daemon=True)
        thread.start()
        lines.append(thread)
    for thread in lines:
        thread.join()


def _answer(line, way, ended, context):
    with line, contextlib.suppress(OSError):
        if way == "close":
            return
        if context is not None:
            with context.wrap_socket(line, server_side=True) as wrapped:
                wrapped.recv(10)
            return
        line.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            line.recv(65536)
        if way == "hang":
            ended.wait()
        elif way == "drip":
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not ended.wait(0.3):
                line.sendall(b"x")
        else:
            line.sendall(ANSWERS[way])


def _certificate(directory):
    """Return a context with a certificate that nobody vouches for."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    if not cert.exists():
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert)]
        subprocess.run([*command, "-days", "2", "-subj", "/CN=other.example"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


NOW = datetime.datetime(2026, 1, 5, 3, tzinfo=datetime.UTC)
