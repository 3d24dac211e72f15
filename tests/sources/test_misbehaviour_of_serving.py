"""What latency is read from, against servers and files that misbehave: unknown or the right finding, in time."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from sickbay.errors import SickbayError, SiteFileError, SourceError
from sickbay.investigation import doctor, run_probe
from tests.sources import hostile

pytestmark = pytest.mark.hostile
SECRET = "hunter2-never-shown"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the bad certificate")
WAYS = [pytest.param(way, marks=needs_openssl) if way == "bad certificate" else way for way in hostile.WAYS]


def sites(way, port, directory):
    scheme = "https" if way == "bad certificate" else "http"
    (directory / "request.json").write_text(json.dumps({"rows": [1, 2, 3]}))
    address = f"{scheme}://127.0.0.1:{port}"
    return {
        "serving": {
            "url": f"{address}/predict", "health": f"{address}/health", "request": "request.json", "grows": "rows",
            "token": SECRET,
        },
        "prometheus": {
            "url": address, "pages": {"it": f"{address}/metrics"}, "token": SECRET,
            "scaling": {"throughput": "a", "concurrency": "b"}, "graph": {"latency": "c", "calls": [["x", "y"]]},
        },
        "network": {"targets": {"it": f"{address}/"}},
    }  # fmt: skip


def looked(way, probe, source, directory):
    with hostile.server(way, directory) as port:
        site = {"source": {source: sites(way, port, directory)[source]}}
        began = time.monotonic()
        found = {f.id: f for f in run_probe(site, probe, directory=directory)}
        assert time.monotonic() - began < 30
    assert SECRET not in repr(found)
    assert not [f.reason for f in found.values() if "crashed" in (f.reason or "")]
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_model_server_that_misbehaves_is_unknown_not_fast(way, tmp_path):
    found = looked(way, "latency.endpoint", "serving", tmp_path)
    if way == "web page":  # it answers whatever it is asked, and quickly: only its words are wrong
        assert found["latency.slow"].status == "measured"
        return
    assert {f.status for f in found.values()} == {"unknown"}, way


@pytest.mark.parametrize("probe", ["latency.metrics", "latency.scaling", "latency.graph"])
@pytest.mark.parametrize("way", WAYS)
def test_metrics_that_misbehave_are_unknown(way, probe, tmp_path):
    found = looked(way, probe, "prometheus", tmp_path)
    assert {f.status for f in found.values()} == {"unknown"}


@pytest.mark.parametrize("way", ["refuse", "hang", "close"])
def test_a_dependency_that_is_away(way, tmp_path):
    found = looked(way, "latency.network", "network", tmp_path)
    assert found["latency.network_slow"].status == "unknown"
    assert found["latency.dependency_away"].on == (way == "refuse")


@pytest.mark.parametrize("text", ["", "no number", "999999999", "-4"])
def test_a_pid_file_that_is_nonsense(text, tmp_path):
    (tmp_path / "pid").write_text(text)
    site = {"source": {"process": {"pid_file": "pid"}}}
    assert not any(check.ok for check in doctor(site, directory=tmp_path))
    found = run_probe(site, "latency.process", directory=tmp_path)
    assert {f.status for f in found} == {"unknown"}


def test_a_process_is_read_by_its_pid(tmp_path):
    (tmp_path / "pid").write_text(str(os.getpid()))
    found = {
        f.id: f for f in run_probe({"source": {"process": {"pid_file": "pid"}}}, "latency.process", directory=tmp_path)
    }
    assert found["latency.worker_restarts"].log_ratio < 0
    assert found["latency.memory_larger"].status == "unknown", "there is no baseline to compare with"


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "another"}', '{"schema": "sickbay.baseline/1", "parts": 3}'])
def test_a_baseline_that_is_none_is_an_error_that_names_it(text, tmp_path):
    (tmp_path / "usual.json").write_text(text)
    (tmp_path / "pid").write_text("1")
    site = {"system": {"baseline": "usual.json"}, "source": {"process": {"pid_file": "pid"}}}
    with pytest.raises(SiteFileError, match="baseline"):
        run_probe(site, "latency.process", directory=tmp_path)


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("serving", {"url": "nonsense"}), ("serving", {"url": "http://h/p", "request": "nowhere.json"}),
        ("prometheus", {}), ("prometheus", {"pages": {"a": "b"}}), ("process", {}), ("network", {"targets": {"a": "ftp://b"}}),
        ("profile", {"allow": True}), ("profile", {"allow": False}),
    ],
)  # fmt: skip
def test_a_site_that_is_wrong_is_told_so(source, given, tmp_path):
    probes = {
        "serving": "latency.endpoint", "prometheus": "latency.metrics", "process": "latency.process",
        "network": "latency.network", "profile": "latency.stacks",
    }  # fmt: skip
    with pytest.raises((SickbayError, SourceError)) as failed:
        run_probe({"source": {source: given}}, probes[source], directory=tmp_path)
    assert source in str(failed.value)
