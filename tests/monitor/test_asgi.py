"""The middleware on a real server: every byte goes through, and what passed is logged."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import httpx
import pytest

from sickbay.monitor import Middleware, PredictionLogger

uvicorn = pytest.importorskip("uvicorn")


class Memory:
    def __init__(self):
        self.rows = []

    def write(self, rows):
        self.rows += rows


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if b"crash" in body:
        raise RuntimeError("the model failed")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"prediction": 1, ', "more_body": True})
    await send({"type": "http.response.body", "body": f'"size": {len(body)}}}'.encode()})


@contextlib.contextmanager
def serving(logger):
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(Middleware(application, logger, largest=1000), log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_requests_pass_untouched_and_are_logged():
    sink = Memory()
    logger = PredictionLogger(sink)
    with serving(logger) as address, httpx.Client(base_url=address) as client:
        answers = [client.post("/predict", json={"amount": i, "country": "DE"}) for i in range(5)]
        assert [a.status_code for a in answers] == [200] * 5
        assert answers[3].json() == {"prediction": 1, "size": len(answers[3].request.content)}
        assert client.post("/other", content=b"x").status_code == 200
        assert client.post("/predict", content=b"not json").status_code == 200
        assert client.post("/predict", content=json.dumps({"a": "x" * 5000}).encode()).status_code == 200
        assert client.post("/predict", content=b"crash").status_code == 500
    assert logger.flush()
    assert [row.get("amount") for row in sink.rows[:5]] == [0, 1, 2, 3, 4]
    assert all(row["prediction"] == 1 and row["status_code"] == 200 for row in sink.rows[:5])
    assert [row.get("request_body") for row in sink.rows[5:]] == ["not JSON", "larger than 1000 bytes", "not JSON"]
    assert sink.rows[-1]["status"] == "error"
    logger.close()
