"""The time of a request, put together from a page of metrics that counts on and from this very process."""

from __future__ import annotations

import contextlib
import os
import time

import pytest

from sickbay.investigation import run_probe
from sickbay.probes import latency_metrics, latency_process
from tests.sources import loopback


@contextlib.contextmanager
def page(rate=20.0, request=0.1, call=0.07):
    """Serve metrics of requests that come at a rate, each of so many seconds, of which a part is a call."""
    began = time.monotonic()

    def get(_):
        count = 10 + rate * (time.monotonic() - began)
        text = (
            f'http_request_duration_seconds_count{{handler="/predict"}} {count}\n'
            f'http_request_duration_seconds_sum{{handler="/predict"}} {count * request}\n'
            f'http_client_request_duration_seconds_count{{peer="risk"}} {count}\n'
            f'http_client_request_duration_seconds_sum{{peer="risk"}} {count * call}\n'
        )
        return 200, text.encode(), "text/plain; version=0.0.4"

    with loopback.serving(get) as address:
        yield {"pages": {"it": f"{address}/metrics"}}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(latency_metrics, "SECONDS", 0.6)
    monkeypatch.setattr(latency_metrics.watch, "__defaults__", (0.6,))
    monkeypatch.setattr(latency_process, "SECONDS", 0.6)


def looked(tmp_path, **source):
    return run_probe({"source": source}, "latency.time", directory=tmp_path)[0]


def test_the_parts_come_from_both_places(tmp_path):
    (tmp_path / "pid").write_text(str(os.getpid()))
    with page() as given:
        found = looked(tmp_path, prometheus=given, process={"pid_file": "pid"})
    numbers = found.evidence.numbers
    assert numbers["downstream"] == pytest.approx(0.07 * numbers["overlap"], rel=0.05)
    assert numbers["processor"] is not None
    assert numbers["pool"] is None, "the page tells of no pool"
    assert "waiting for other services" in found.says
    assert "Not measured:" in found.says
    assert found.evidence.exhibits[0].rows[-1][0] == "a request in all"


@pytest.mark.parametrize(
    ("process", "why"), [(None, "names no process"), ({"pid_file": "gone"}, "the process was not there")]
)
def test_without_the_process_its_parts_are_said_to_be_missing(tmp_path, process, why):
    with page() as given:
        found = looked(tmp_path, prometheus=given, **({"process": process} if process else {}))
    assert found.status == "measured"
    assert found.evidence.numbers["processor"] is None
    assert why in found.says
    assert "on a processor" in found.says


def test_without_requests_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(latency_metrics, "LONGEST", 0.5)
    with page(rate=0.0) as given:
        found = looked(tmp_path, prometheus=given)
    assert (found.status, "no request came" in found.reason) == ("unknown", True)


def test_without_a_page_it_is_unknown(tmp_path):
    found = looked(tmp_path, prometheus={"url": "http://127.0.0.1:9"})
    assert (found.status, "names no pages" in found.reason) == ("unknown", True)
