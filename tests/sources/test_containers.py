"""Containers of this host: Docker's API over a socket, a CRI through crictl, and what stands in the way of either."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest

from sickbay.config import load_site
from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled
from sickbay.sources.containers import Containers
from sickbay.sources.context import Context

KILLED = {
    "Id": "4f1c", "Name": "/scorer", "RestartCount": 3, "Config": {"Image": "models/scorer:1"},
    "HostConfig": {"Memory": 134217728},
    "State": {
        "Status": "exited", "ExitCode": 137, "OOMKilled": True, "StartedAt": "2026-11-23T16:34:37.123456789Z",
        "FinishedAt": "2026-11-23T16:35:14.5Z",
    },
}  # fmt: skip
"""The fields of Docker's API 1.43 that are read; no Docker was at hand to record from."""
CRI = {
    "status": {
        "id": "9ab0", "metadata": {"attempt": 2, "name": "server"}, "state": "CONTAINER_EXITED", "exitCode": 137,
        "reason": "OOMKilled", "startedAt": "2026-11-23T16:34:37.1234567Z", "finishedAt": "2026-11-23T16:35:14Z",
        "image": {"image": "models/scorer:1"}, "resources": {"linux": {"memoryLimitInBytes": "134217728"}},
    }
}  # fmt: skip


@contextmanager
def docker(path, answers):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path, (404, "{}"))
            text = body.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def address_string(self):
            return "socket"

        def log_message(self, format, *args):
            return

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def reader(tmp_path, **given):
    return Containers.connect(Context(load_site({"source": {"containers": given}}, {}, tmp_path), datetime.now(UTC)))


def listing(*entries):
    return (200, json.dumps([{"Id": one["Id"], "Names": [one["Name"]]} for one in entries]))


def test_a_container_that_docker_saw_killed_is_read_over_its_socket(tmp_path):
    answers = {"/containers/json?all=1": listing(KILLED), "/containers/4f1c/json": (200, json.dumps(KILLED))}
    with docker(tmp_path / "d.sock", answers):
        (one,) = reader(tmp_path, socket=str(tmp_path / "d.sock")).all()
    assert (one.name, one.exit_code, one.out_of_memory, one.restarts) == ("scorer", 137, True, 3)
    assert one.memory_limit == 128 * 2**20
    assert (one.finished - one.started).total_seconds() == pytest.approx(37.38, abs=0.01)


def test_a_container_that_is_removed_in_between_is_left_out(tmp_path):
    with docker(tmp_path / "d.sock", {"/containers/json?all=1": listing(KILLED)}):
        assert reader(tmp_path, socket=str(tmp_path / "d.sock")).all() == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [((500, "no"), SourceError), ((200, "<html>"), SourceGarbled), ((200, "{}"), SourceGarbled)],
)
def test_a_runtime_that_answers_otherwise_has_not_no_containers(tmp_path, answer, error):
    with docker(tmp_path / "d.sock", {"/containers/json?all=1": answer}), pytest.raises(error):
        reader(tmp_path, socket=str(tmp_path / "d.sock")).all()


def test_a_socket_that_is_not_there_and_a_runtime_that_is_not_known_are_said(tmp_path):
    with pytest.raises(SourceError, match="no socket"):
        reader(tmp_path, socket=str(tmp_path / "none.sock"))
    with pytest.raises(SiteFileError, match="rkt"):
        reader(tmp_path, runtime="rkt")
    with pytest.raises(SourceError, match="no-such-crictl"):
        reader(tmp_path, runtime="cri", crictl="no-such-crictl")


def crictl(tmp_path, script):
    tool = tmp_path / "crictl"
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    tool.chmod(0o755)
    return reader(tmp_path, runtime="cri", crictl=str(tool))


def test_a_container_of_a_cri_is_read_through_crictl(tmp_path):
    (tmp_path / "ps.json").write_text(json.dumps({"containers": [{"id": "9ab0", "metadata": {"name": "server"}}]}))
    (tmp_path / "one.json").write_text(json.dumps(CRI))
    tool = crictl(tmp_path, f'if [ "$1" = ps ]; then cat {tmp_path}/ps.json; else cat {tmp_path}/one.json; fi')
    (one,) = tool.all()
    assert (one.name, one.state, one.exit_code, one.out_of_memory, one.restarts) == ("server", "exited", 137, True, 2)
    assert one.memory_limit == 128 * 2**20


def test_a_cri_that_refuses_is_forbidden(tmp_path):
    with pytest.raises(SourceForbidden):
        crictl(tmp_path, "echo 'connect: permission denied' >&2; exit 1").all()
    with pytest.raises(SourceGarbled):
        crictl(tmp_path, "echo hello").all()
