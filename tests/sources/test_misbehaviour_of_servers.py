"""Every source, against a server that misbehaves in every way: unknown or the right finding, in time, no secret out."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from sickbay.investigation import doctor, investigate, run_probe
from tests.sources import hostile

pytestmark = pytest.mark.hostile
SECRET = "hunter2-never-shown"
AWAY = {"hang", "close", "refuse", "half an answer", "drip", "noise"}
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the bad certificate")
WAYS = [pytest.param(way, marks=needs_openssl) if way == "bad certificate" else way for way in hostile.WAYS]


def sites(way, port):
    scheme = "https" if way == "bad certificate" else "http"
    return {
        "mlflow": {"url": f"{scheme}://127.0.0.1:{port}", "username": "u", "password": SECRET},
        "postgres": {"dsn": f"postgresql://u:{SECRET}@127.0.0.1:{port}/db"},
        "s3": {
            "endpoint": f"{scheme}://127.0.0.1:{port}", "bucket": "b", "access_key": "k", "secret_key": SECRET,
            "write_canary": True,
        },
    }  # fmt: skip


def looked(way, probe, source, directory):
    with hostile.server(way, directory) as port:
        began = time.monotonic()
        found = {f.id: f for f in run_probe({"source": {source: sites(way, port)[source]}}, probe)}
        assert time.monotonic() - began < 20
    assert SECRET not in repr(found)
    assert not [f.reason for f in found.values() if "crashed" in (f.reason or "")]
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_tracking_server_that_misbehaves(way, tmp_path):
    found = looked(way, "tracking.front", "mlflow", tmp_path)
    silent, reads = found["tracking.server_silent"], found["tracking.reads_fail"]
    assert reads.status == "unknown", "nothing is known of what lies behind"
    if way in AWAY or way == "error 500":
        assert silent.on
        assert found["tracking.unavailable"].on
    else:  # a gateway, a login, a certificate: it is not known how the server is
        assert silent.status == "unknown"
        assert silent.reason.startswith(("forbidden", "garbled"))


@pytest.mark.parametrize("way", WAYS)
def test_a_database_that_misbehaves(way, tmp_path):
    found = looked(way, "database.sessions", "postgres", tmp_path)
    assert found["database.unreachable"].on
    assert {f.status for name, f in found.items() if name != "database.unreachable"} == {"unknown"}
    assert {f.status for f in looked(way, "database.room", "postgres", tmp_path).values()} == {"unknown"}


@pytest.mark.parametrize("way", WAYS)
def test_an_object_store_that_misbehaves(way, tmp_path):
    found = looked(way, "store.reach", "s3", tmp_path)
    away, denied = found["store.unreachable"], found["store.denied"]
    if way == "login":
        assert denied.on
    elif way == "bad certificate":
        assert away.status == "unknown"
    else:
        assert away.on or away.status == "unknown"
        assert not denied.on
    full = looked(way, "store.write", "s3", tmp_path)["store.full"]
    assert not full.on


@pytest.mark.parametrize("way", ["hang", "refuse", "noise"])
def test_a_site_whose_every_system_is_away_is_no_cause_of_confidence_in_nothing(way, tmp_path):
    with hostile.server(way, tmp_path) as port:
        diagnosis = investigate({"source": sites(way, port)}, "tracking-down")
        checks = doctor({"source": sites(way, port)})
    assert diagnosis.none_of_these < 0.1, "a system that does not answer is not healthy"
    assert diagnosis.seconds < 20
    assert not [check for check in checks if check.ok]
    assert SECRET not in repr(diagnosis) + repr(checks)


@pytest.mark.parametrize("way", WAYS)
def test_a_kubernetes_api_that_misbehaves(way, tmp_path):
    scheme = "https" if way == "bad certificate" else "http"
    kubeconfig = tmp_path / "kubeconfig"
    with hostile.server(way, tmp_path) as port:
        cluster = {"server": f"{scheme}://127.0.0.1:{port}"}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {"token": SECRET}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        }  # fmt: skip
        kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        began = time.monotonic()
        site = {"source": {"kubernetes": {"kubeconfig": str(kubeconfig)}}}
        found = [f for probe in ("pods.state", "pods.rollout") for f in run_probe(site, probe)]
        assert time.monotonic() - began < 45
    assert {f.status for f in found} == {"unknown"}, "a cluster that cannot be read has not no kills"
    assert not [f.reason for f in found if "crashed" in (f.reason or "")]
    assert SECRET not in repr(found)
