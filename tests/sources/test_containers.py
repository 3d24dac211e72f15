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
from sickbay.investigation import run_probe
from sickbay.sources.containers import Containers
from sickbay.sources.context import Context

KILLED = {
    "Id": "4f1c", "Name": "/scorer", "RestartCount": 0, "Config": {"Image": "models/scorer:1", "Labels": {}},
    "HostConfig": {"Memory": 134217728, "NanoCpus": 1500000000, "NetworkMode": "host"},
    "State": {
        "Status": "exited", "ExitCode": 137, "OOMKilled": True, "StartedAt": "2026-11-23T16:34:37.123456789Z",
        "FinishedAt": "2026-11-23T16:35:14.5Z",
    },
}  # fmt: skip
RUNS = KILLED | {
    "RestartCount": 2,
    "State": {
        "Status": "running", "ExitCode": 0, "OOMKilled": True, "StartedAt": "2026-11-23T16:35:20.5Z",
        "FinishedAt": "2026-11-23T16:35:14.5Z",
    },
}  # fmt: skip
"""As Docker 20.10 shows a container that was killed and runs again: the flag stays, the code is gone."""
CRI = {
    "status": {
        "id": "9ab0", "metadata": {"attempt": 2, "name": "server"}, "state": "CONTAINER_EXITED", "exitCode": 137,
        "reason": "OOMKilled", "startedAt": "2026-11-23T16:34:37.1234567Z", "finishedAt": "2026-11-23T16:35:14Z",
        "image": {"image": "models/scorer:1"}, "resources": {"linux": {"memoryLimitInBytes": "134217728"}},
    }
}  # fmt: skip


@contextmanager
def docker(path, answers):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = answers.get(self.path.partition("?")[0], (404, "{}"))
            text = body if isinstance(body, bytes) else body.encode()
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
        yield asked
        server.shutdown()


def reader(tmp_path, **given):
    return Containers.connect(Context(load_site({"source": {"containers": given}}, {}, tmp_path), datetime.now(UTC)))


def listing(*entries):
    return (200, json.dumps([{"Id": one["Id"], "Names": [one["Name"]]} for one in entries]))


def event(action, second, code=None):
    at = int((datetime(2026, 11, 23, 16, 35, tzinfo=UTC).timestamp() + second) * 1e9)
    attributes = {"name": "scorer"} | ({"exitCode": str(code)} if code is not None else {})
    return {"Type": "container", "Action": action, "Actor": {"ID": "4f1c", "Attributes": attributes}, "timeNano": at}


@contextmanager
def engine(tmp_path, one, *events, log=b""):
    answers = {
        "/containers/json": listing(one), "/containers/4f1c/json": (200, json.dumps(one)),
        "/containers/scorer/json": (200, json.dumps(one)), "/containers/scorer/logs": (200, log),
        "/events": (200, "\n".join(json.dumps(e) for e in events)),
    }  # fmt: skip
    socket = tmp_path / f"{len(list(tmp_path.iterdir()))}.sock"
    with docker(socket, answers) as asked:
        yield reader(tmp_path, socket=str(socket)), asked


def test_a_container_that_docker_saw_killed_is_read_over_its_socket(tmp_path):
    with engine(tmp_path, KILLED) as (found, _):
        (pod,) = found.pods()
    (one,) = pod.containers
    assert (pod.name, one.last.exit_code, one.last.out_of_memory, one.waiting) == ("scorer", 137, True, "exited")
    assert (one.resources.memory_limit, one.resources.cpu_limit) == (128 * 2**20, 1.5)
    assert one.last.seconds == pytest.approx(37.38, abs=0.01)


def test_how_a_container_that_runs_again_ended_comes_from_the_events(tmp_path):
    lives = [event("start", 0), event("oom", 13), event("die", 14, 137), event("start", 15)]
    with engine(tmp_path, RUNS, *lives) as (found, _):
        (one,) = found.pods()[0].containers
    assert one.last.out_of_memory
    assert one.last.seconds == pytest.approx(14)
    assert one.id == "docker://4f1c#2"
    assert one.last.id == "docker://4f1c#1"
    assert one.group == "4f1c"


def test_the_flag_of_an_earlier_kill_is_not_taken_for_a_later_end(tmp_path):
    lives = [event("oom", 1), event("die", 2, 137), event("start", 3), event("die", 4, 1), event("start", 5)]
    with engine(tmp_path, RUNS, *lives) as (found, _):
        last = found.pods()[0].containers[0].last
    assert (last.reason, last.exit_code, last.out_of_memory) == ("Error", 1, False)


def test_a_kill_of_a_child_is_no_kill_of_the_container(tmp_path):
    with engine(tmp_path, RUNS, event("start", 0), event("oom", 3), event("die", 9, 0), event("start", 10)) as (
        found,
        _,
    ):
        assert not found.pods()[0].containers[0].last.out_of_memory


def test_without_events_a_kept_flag_counts_and_its_absence_is_not_known(tmp_path):
    with engine(tmp_path, RUNS) as (found, _):
        assert found.pods()[0].containers[0].last.out_of_memory
    calm = RUNS | {"State": RUNS["State"] | {"OOMKilled": False}}
    with engine(tmp_path, calm) as (found, _):
        last = found.pods()[0].containers[0].last
    assert "no longer known" in last.reason
    assert not last.out_of_memory
    assert not last.known


def test_an_end_that_is_forgotten_is_no_evidence_against_a_kill(tmp_path):
    calm = RUNS | {"State": RUNS["State"] | {"OOMKilled": False}}
    with engine(tmp_path, calm):
        site = {"source": {"containers": {"socket": str(next(tmp_path.glob("*.sock")))}}}
        found = {f.id: f for f in run_probe(site, "pods.state")}
    assert "no longer known" in found["pods.oom_killed"].reason


def frame(text, stream=1):
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def test_the_log_of_the_run_before_is_asked_for_by_its_times(tmp_path):
    log = frame(b"2026-11-23T16:35:13Z POST /predict 200\n") + frame(b"2026-11-23T16:35:14Z MemoryError\n", 2)
    lives = [event("start", 0), event("oom", 13), event("die", 14, 137), event("start", 15)]
    with engine(tmp_path, RUNS, *lives, log=log) as (found, asked):
        lines = found.log("scorer", previous=True)
    assert lines == ["2026-11-23T16:35:13Z POST /predict 200", "2026-11-23T16:35:14Z MemoryError"]
    (path,) = [path for path in asked if "/logs" in path]
    assert "since=1795451700.0" in path
    assert "until=1795451720.5" in path
    with engine(tmp_path, KILLED) as (found, _):
        assert found.log("another", previous=True) is None


def test_a_container_whose_labels_say_so_is_scraped(tmp_path):
    labelled = RUNS | {"Config": {"Image": "i", "Labels": {"prometheus.io/scrape": "true", "prometheus.io/port": "9"}}}
    with engine(tmp_path, labelled) as (found, _):
        assert found.pods()[0].scrape == "http://127.0.0.1:9/metrics"
    with engine(tmp_path, RUNS) as (found, _), pytest.raises(SourceError, match=r"no label prometheus\.io/scrape"):
        found.metrics(found.pods()[0])


def test_a_container_that_is_removed_in_between_is_left_out(tmp_path):
    with docker(tmp_path / "d.sock", {"/containers/json": listing(KILLED)}):
        assert reader(tmp_path, socket=str(tmp_path / "d.sock")).pods() == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [((500, "no"), SourceError), ((200, "<html>"), SourceGarbled), ((200, "{}"), SourceGarbled)],
)
def test_a_runtime_that_answers_otherwise_has_not_no_containers(tmp_path, answer, error):
    with docker(tmp_path / "d.sock", {"/containers/json": answer}), pytest.raises(error):
        reader(tmp_path, socket=str(tmp_path / "d.sock")).pods()


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
    again = {"status": CRI["status"] | {"id": "9ab1", "metadata": {"attempt": 3, "name": "server"}}}
    again["status"] |= {"state": "CONTAINER_RUNNING", "finishedAt": "", "startedAt": "2026-11-23T16:35:20Z"}
    runs = [{"id": "9ab1", "metadata": {"name": "server", "attempt": 3}}]
    runs += [{"id": "9ab0", "metadata": {"name": "server", "attempt": 2}}]
    (tmp_path / "ps.json").write_text(json.dumps({"containers": runs}))
    for one in (CRI, again):
        (tmp_path / f"{one['status']['id']}.json").write_text(json.dumps(one))
    tool = crictl(
        tmp_path,
        f'case "$1" in ps) cat {tmp_path}/ps.json;; inspect) cat {tmp_path}/$2.json;; logs) echo "log of $5";; esac',
    )
    (pod,) = tool.pods()
    (one,) = pod.containers
    assert (pod.name, one.ready, one.restarts, one.last.exit_code, one.last.out_of_memory) == (
        "server",
        True,
        3,
        137,
        True,
    )
    assert one.resources.memory_limit == 128 * 2**20
    assert tool.log("server") == ["log of 9ab1"]
    assert tool.log("server", previous=True) == ["log of 9ab0"]
    assert tool.log("other") is None
    for one, pod in zip(runs, ("scorer-b", "scorer-a"), strict=True):
        one["labels"] = {"io.kubernetes.pod.name": pod}
    (tmp_path / "ps.json").write_text(json.dumps({"containers": runs}))
    assert tool.log("scorer-a", "server") == ["log of 9ab0"], "a namesake in another pod is not it"
    assert tool.log("scorer-a", "server", previous=True) is None


def test_a_cri_that_refuses_is_forbidden(tmp_path):
    with pytest.raises(SourceForbidden):
        crictl(tmp_path, "echo 'connect: permission denied' >&2; exit 1").pods()
    with pytest.raises(SourceGarbled):
        crictl(tmp_path, "echo hello").pods()
