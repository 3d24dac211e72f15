"""Probes of pods and of the gateway: on objects of a real cluster, altered one thing at a time, and on access logs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from sickbay.investigation import run_probe
from sickbay.lab.systems.kube_api import KubeApi, Trouble
from sickbay.sources.access import requests
from sickbay.sources.logs import Line, instant
from sickbay.terms.change import Change
from sickbay.terms.finding import Finding
from tests.sources.test_kubernetes import OLD, recorded


@contextmanager
def cluster(tmp_path, *, pods=None, sets=None, logs=None):
    api = KubeApi(offered=OLD)
    api.put_all(recorded("deployments"))
    api.put_all(recorded("pods") if pods is None else pods)
    api.put_all(recorded("replicasets") if sets is None else sets)
    api.logs.update(logs or {})
    (tmp_path / "kubeconfig").write_text(json.dumps(api.kubeconfig("ml")), encoding="utf-8")
    try:
        yield api, {"source": {"kubernetes": {"kubeconfig": str(tmp_path / "kubeconfig"), "workload": "model"}}}
    finally:
        api.close()


def look(site, probe):
    items = run_probe(site, probe)
    return {f.id: f for f in items if isinstance(f, Finding)}, [c for c in items if isinstance(c, Change)]


def healthy(restarts=0):
    pod = recorded("pods")[0]
    status = pod["status"]["containerStatuses"][0]
    status |= {
        "lastState": {},
        "restartCount": restarts,
        "ready": True,
        "state": {"running": {"startedAt": "2026-11-23T16:35:14Z"}},
    }
    return pod


def test_a_recorded_kill_is_found_and_a_healthy_pod_is_not(tmp_path):
    with cluster(tmp_path) as (_, site):
        assert look(site, "pods.state")[0]["pods.oom_killed"].log_ratio > 3
    with cluster(tmp_path, pods=[healthy()]) as (_, site):
        found, _ = look(site, "pods.state")
    assert found["pods.oom_killed"].log_ratio < -2
    assert found["pods.evicted"].log_ratio < -2


def test_a_stranger_that_was_killed_is_named_and_not_counted(tmp_path):
    stranger = recorded("pods")[0]
    stranger["metadata"] |= {"name": "retrain-1", "labels": {"app": "retrain"}}
    with cluster(tmp_path, pods=[healthy(), stranger]) as (_, site):
        found = look(site, "pods.state")[0]["pods.oom_killed"]
    assert found.log_ratio < -2
    assert "retrain-1" in found.says


def test_a_kill_by_somebody_else_is_no_kill_at_the_limit(tmp_path):
    pod = recorded("pods")[0]
    pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] = "Error"
    with cluster(tmp_path, pods=[pod]) as (_, site):
        found, _ = look(site, "pods.state")
    assert not found["pods.oom_killed"].on
    assert found["pods.ended_otherwise"].on


def test_an_evicted_pod_is_another_thing(tmp_path):
    evicted = next(p for p in recorded("pods-evict") if p["status"].get("reason") == "Evicted")
    evicted["metadata"]["labels"] = {"app": "model"}
    with cluster(tmp_path, pods=[evicted]) as (_, site):
        found, _ = look(site, "pods.state")
    assert found["pods.evicted"].on
    assert not found["pods.oom_killed"].on


def test_no_pods_and_no_rights_are_unknown_and_never_absent(tmp_path):
    with cluster(tmp_path, pods=[]) as (api, site):
        assert {f.status for f in look(site, "pods.state")[0].values()} == {"unknown"}
        api.troubles.append(Trouble("/pods", 403))
        for probe in ("pods.state", "pods.last_words", "memory.lives"):
            reasons = {f.reason.partition(":")[0] for f in look(site, probe)[0].values()}
            assert reasons == {"forbidden"}, probe
        api.troubles.append(Trouble("/replicasets", 403))
        assert {f.status for f in look(site, "pods.rollout")[0].values()} == {"unknown"}


def revisions(days, **changes):
    """Return the two recorded revisions, the newer one some days old and changed in one thing."""
    old, new = recorded("replicasets")
    container = new["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [dict(v) for v in old["spec"]["template"]["spec"]["containers"][0]["env"]]
    new["metadata"]["creationTimestamp"] = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if "limit" in changes:
        container["resources"]["limits"]["memory"] = changes["limit"]
    if "image" in changes:
        container["image"] = changes["image"]
    container["env"] += [{"name": k, "value": v} for k, v in changes.get("env", {}).items()]
    return [old, new]


@pytest.mark.parametrize(
    ("changes", "on", "kind"),
    [
        ({"limit": "96Mi"}, "pods.limit_lowered", "config"),
        ({"image": "localhost/model:2"}, "pods.release_changed", "deploy"),
        ({"env": {"MODEL_URI": "s3://models/7"}}, "pods.model_or_workers_changed", "model-version"),
        ({"env": {"WORKERS": "4"}}, "pods.model_or_workers_changed", "config"),
    ],
)
def test_what_a_roll_out_changed_is_said_while_it_is_recent(tmp_path, changes, on, kind):
    with cluster(tmp_path, sets=revisions(0.1, **changes)) as (_, site):
        found, dated = look(site, "pods.rollout")
    assert [name for name, f in found.items() if f.on] == [on]
    assert [change.kind for change in dated] == [kind]
    with cluster(tmp_path, sets=revisions(30, **changes)) as (_, site):
        found, dated = look(site, "pods.rollout")
    assert [name for name, f in found.items() if f.on] == []
    assert dated == []


def test_a_raised_limit_is_no_lowered_one(tmp_path):
    with cluster(tmp_path, sets=revisions(0.1, limit="256Mi")) as (_, site):
        assert not look(site, "pods.rollout")[0]["pods.limit_lowered"].on


def test_a_first_revision_has_nothing_to_be_compared_with(tmp_path):
    with cluster(tmp_path, sets=revisions(0.1)[1:]) as (_, site):
        found, _ = look(site, "pods.rollout")
    assert found["pods.first_revision"].on
    assert found["pods.limit_lowered"].status == "unknown"


@pytest.mark.parametrize(("answered", "on"), [(0, True), (40, False)])
def test_last_words_tell_whether_a_run_had_served(tmp_path, answered, on):
    name = recorded("pods")[0]["metadata"]["name"]
    lines = ["2026-11-23T16:34:40Z model loaded"]
    lines += [f"2026-11-23T16:34:{41 + k // 3:02d}Z POST /predict 200 {k} bytes 12 ms" for k in range(answered)]
    log = {("ml", name, "server", run): lambda: "\n".join(lines) + "\n" for run in (True, False)}
    with cluster(tmp_path, logs=log) as (_, site):
        assert look(site, "pods.last_words")[0]["pods.killed_before_serving"].on is on


START = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


def access(tmp_path, rows, *, part=0.25, finest="microseconds"):
    """Write an access log of (seconds, status, bytes, pod, ms) up to now and return its site.

    ``part`` is where in a second the log begins: results must not hang on when a test happens to run.
    """
    shift = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=max(row[0] for row in rows) + 1 - part)
    lines = [
        json.dumps(
            {
                "time": (shift + timedelta(seconds=at)).isoformat(timespec=finest),
                "status": s,
                "bytes": b,
                "upstream": p,
                "ms": ms,
            }
        )
        for at, s, b, p, ms in sorted(rows)
    ]
    (tmp_path / "access.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"source": {"logs": {"files": {"gateway": str(tmp_path / "access.log")}}}}


def steady(rng, begin, end, rate, large=0.05, size=20_000):
    ats = np.sort(rng.uniform(begin, end, int(rate * (end - begin))))
    return [(float(at), 200, size if rng.random() < large else 1000, "ab"[int(rng.integers(2))], 400) for at in ats]


def dying(rng, rows, at, *, takes_large):
    """Let the requests that pod ``a`` worked on at an instant break off."""
    sizes = [20_000] if takes_large else []
    sizes += [1000] * int(rng.integers(2, 4))
    return (
        rows + [(at + 0.02 * k, 502, size, "a", 380) for k, size in enumerate(sizes)] + [(at + 0.3, 502, 1000, "a", 1)]
    )


def test_a_rise_of_the_rate_is_seen_from_before_the_failures(tmp_path):
    rng = np.random.default_rng(5)
    rows = steady(rng, 0, 40, 8) + steady(rng, 40, 50, 50)
    for at in (41.0, 44.0, 47.0):
        rows = dying(rng, rows, at, takes_large=False)
    found, _ = look(access(tmp_path, rows), "gateway.traffic")
    assert found["gateway.rate_rose"].log_ratio > 3
    assert found["gateway.requests_fail"].on
    rows = dying(rng, steady(rng, 0, 50, 8), 42.0, takes_large=False)
    assert not look(access(tmp_path, rows), "gateway.traffic")[0]["gateway.rate_rose"].on


@pytest.mark.parametrize("stray", [[], [0.3, 0.5], [0.2, 0.9, 4.0]])
def test_stray_failures_before_the_others_do_not_hide_when_they_began(tmp_path, stray):
    rng = np.random.default_rng(13)
    rows = steady(rng, 0, 20, 8) + steady(rng, 20, 30, 50) + [(at, 502, 1000, "old", 0.5) for at in stray]
    for at in np.arange(22.0, 30.0, 0.8):
        rows = dying(rng, rows, float(at), takes_large=False)
    found = look(access(tmp_path, rows), "gateway.traffic")[0]
    assert found["gateway.rate_rose"].log_ratio > 3
    assert found["gateway.requests_fail"].on


def test_failures_from_the_first_request_on_have_no_time_before_them(tmp_path):
    rng = np.random.default_rng(14)
    rows = [(at, 502 if rng.random() < 0.3 else s, b, p, ms) for at, s, b, p, ms in steady(rng, 0, 40, 8)]
    found = look(access(tmp_path, rows), "gateway.traffic")[0]
    assert "too few rows" in found["gateway.rate_rose"].reason


def test_an_earlier_incident_is_past_after_a_quiet_half_hour(tmp_path):
    rng = np.random.default_rng(15)
    rows = [(at, 502, b, p, ms) for at, _, b, p, ms in steady(rng, 0, 60, 2)] + steady(rng, 60, 3000, 1)
    for at in (2950.0, 2960.0, 2970.0, 2980.0, 2990.0):
        rows = dying(rng, rows, at, takes_large=False)
    found = look(access(tmp_path, rows), "gateway.traffic")[0]
    assert 0.1 < found["gateway.requests_fail"].statistic < 0.6


def test_clients_that_stood_still_for_a_while_do_not_make_a_rise(tmp_path):
    rng = np.random.default_rng(12)
    steadily = steady(rng, 0, 16, 8)
    stood_still = [row for row in steadily if not 2.0 < row[0] < 5.0]
    assert not look(access(tmp_path, stood_still), "gateway.traffic")[0]["gateway.rate_rose"].on


@pytest.mark.parametrize("finest", ["microseconds", "milliseconds", "seconds"])
@pytest.mark.parametrize("part", [0.0, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("large", [True, False])
def test_deaths_that_take_large_requests_are_told_from_those_that_do_not(tmp_path, large, part, finest):
    rng = np.random.default_rng(6)
    rows = steady(rng, 0, 60, 8)
    for at in (40.0, 45.0, 50.0):
        rows = dying(rng, rows, at, takes_large=large)
    site = access(tmp_path, rows, part=part, finest=finest)
    found = look(site, "gateway.traffic")[0]["gateway.large_requests_fail"]
    assert found.on is large
    assert abs(found.log_ratio) > 2


def test_requests_that_grew_are_seen(tmp_path):
    rng = np.random.default_rng(7)
    rows = dying(rng, steady(rng, 0, 40, 8) + steady(rng, 40, 60, 8, size=600_000), 42.0, takes_large=True)
    assert look(access(tmp_path, rows), "gateway.traffic")[0]["gateway.sizes_rose"].on
    rows = dying(rng, steady(rng, 0, 60, 8), 42.0, takes_large=True)
    assert not look(access(tmp_path, rows), "gateway.traffic")[0]["gateway.sizes_rose"].on


def test_a_quiet_gateway_has_no_failures_and_an_empty_one_is_unknown(tmp_path):
    rng = np.random.default_rng(8)
    found, _ = look(access(tmp_path, steady(rng, 0, 60, 8)), "gateway.traffic")
    assert not [name for name, f in found.items() if f.on]
    found, _ = look(access(tmp_path, steady(rng, 0, 2, 2)), "gateway.traffic")
    assert {f.status for f in found.values()} == {"unknown"}


def test_a_log_without_sizes_leaves_the_question_open(tmp_path):
    rng = np.random.default_rng(9)
    rows = [(at, s, None, p, ms) for at, s, _, p, ms in dying(rng, steady(rng, 0, 60, 8), 40.0, takes_large=True)]
    found = look(access(tmp_path, rows), "gateway.traffic")[0]
    assert "request_length" in found["gateway.large_requests_fail"].reason
    assert found["gateway.requests_fail"].on


def test_lines_of_the_ingress_controller_of_nginx_are_read():
    text = (
        '10.0.0.7 - - [23/Nov/2026:16:35:14 +0000] "POST /predict HTTP/1.1" 502 150 "-" "python/0.28" 20480 0.412 '
        "[ml-scorer-80] [] 10.231.10.4:8080 0 0.411 502 1f0c"
    )
    (one,) = requests([Line(text, instant(text)), Line("2026 not a request", START)])
    assert (one.status, one.size, one.upstream, one.seconds) == (502, 20480.0, "10.231.10.4:8080", 0.412)
    assert one.at == datetime(2026, 11, 23, 16, 35, 14, tzinfo=UTC)
    assert one.failed
