"""A process of this host: requests that nobody reads are counted, and what is not told is not zero."""

from __future__ import annotations

import math
import os
import socket
import time

from sickbay.sources import backlog
from sickbay.sources.process import Process, _Settings


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
