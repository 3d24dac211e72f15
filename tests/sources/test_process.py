"""A process of this host: requests that nobody reads are counted, and what is not told is not zero."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sickbay.sources import backlog
from sickbay.sources.process import Process, _Settings
from sickbay.sources.workers import below

MASTER = """
import os, socket, sys, time
if not os.fork():
    time.sleep(600)
server = socket.socket()
server.bind(("127.0.0.1", 0))
listens = sys.argv[1] == "master"
if listens:
    server.listen()
def worker(busy):
    if not os.fork():
        server.listen()
        if os.environ.get("ENDS") and not busy:
            time.sleep(1.2)
            os._exit(0)
        while True:
            sum(range(50_000)) if busy else time.sleep(0.05)
worker(True)
worker(False)
if not listens:
    server.close()
while True:
    os.wait()
    worker(False)
"""
"""Two workers, of which one is busy, and a helper that serves nobody; a worker that ended is replaced."""


@contextlib.contextmanager
def master(kind, **environ):
    command = [sys.executable, "-c", MASTER, kind]
    process = subprocess.Popen(command, env=os.environ | environ, start_new_session=True)
    try:
        end = time.monotonic() + 10
        while len(below(process.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        yield Process(_Settings(pid_file="pid"), Path(), {}), process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("kind", ["master", "wrapper"])
def test_the_workers_below_a_master_are_what_serves(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    with master(kind) as (reader, pid):
        (tmp_path / "pid").write_text(str(pid))
        found = reader.workers()
        assert len(found) == 2
        assert pid not in found
        seen = reader.watch(1.5)
        assert seen.last.pid == found[0]
        assert (seen.last.cpu - seen.first.cpu) / seen.seconds > 0.2, "the busy one counts, whoever was named"
        assert seen.starts == 0
        port = next(iter(backlog.ports(found[0])))
        by_port = Process(_Settings(port=port), tmp_path, {})
        assert set(by_port.workers()) == (set(found) if kind == "master" else {by_port.pid()})
        assert "2 workers" in reader.check()[0].detail


def test_a_worker_that_is_started_again_and_again_is_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with master("master", ENDS="1") as (reader, pid):
        (tmp_path / "pid").write_text(str(pid))
        seen = reader.watch(4.0)
    assert seen.starts >= 1
    assert seen.last.cpu >= seen.first.cpu
    assert seen.gone == 0


def test_a_process_without_workers_serves_itself():
    assert below(os.getpid()) == (os.getpid(),)


def test_requests_that_nobody_reads_are_counted():
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        port = server.getsockname()[1]
        assert port in backlog.ports(os.getpid())
        of = frozenset([port])
        assert backlog.unread(os.getpid(), of) == 0
        lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        accepted, _ = server.accept()
        lines[0].sendall(b"GET / HTTP/1.1\r\n")
        end = time.monotonic() + 5
        while backlog.unread(os.getpid(), of) != 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert backlog.unread(os.getpid(), of) == 3, "two that are not accepted, one that is accepted and not read"
        for line in (*lines, accepted):
            line.close()


def test_without_ports_or_tables_it_is_not_zero(tmp_path):
    assert math.isnan(backlog.unread(os.getpid(), frozenset()))
    assert math.isnan(backlog.unread(os.getpid(), frozenset([80]), tmp_path))


def test_a_watch_tells_what_the_group_of_the_process_tells(tmp_path):
    (tmp_path / "pid").write_text(str(os.getpid()))
    seen = Process(_Settings(pid_file="pid"), tmp_path, {}).watch(0.3)
    assert seen.samples >= 2
    assert seen.blocked >= 0
    assert seen.last.cpu >= seen.first.cpu
    assert not seen.last.throttled < seen.first.throttled
