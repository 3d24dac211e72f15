"""The Kubernetes source over HTTP: on objects recorded from a real cluster, and on an API that misbehaves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sickbay.config import load_site
from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.investigation import doctor
from sickbay.lab.systems.kube_api import KubeApi, Trouble
from sickbay.sources.context import Context
from sickbay.sources.kubernetes import Kubernetes
from sickbay.sources.kubernetes_objects import quantity

RECORDED = Path(__file__).parent.parent / "recordings" / "kubernetes"
TOKEN = "hunter2-never-shown"
OLD = {"apps": ("v1",), "autoscaling": ("v1", "v2beta2"), "batch": ("v1beta1",), "metrics.k8s.io": ("v1beta1",)}
FILES = ("pods", "events", "replicasets", "deployments", "hpa", "nodes", "podmetrics")


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["items"]


@contextmanager
def cluster(tmp_path, files=FILES, offered=OLD, site=None):
    api = KubeApi(token=TOKEN, offered=offered, git="v1.20.2")
    for name in files:
        api.put_all(recorded(name))
    (tmp_path / "kubeconfig").write_text(json.dumps(api.kubeconfig("ml")), encoding="utf-8")
    given = {"source": {"kubernetes": {"kubeconfig": "kubeconfig", "workload": "model"} | (site or {})}}
    client = Kubernetes.connect(Context(load_site(given, {}, tmp_path), datetime.now(UTC)))
    try:
        yield api, client
    finally:
        client.close()
        api.close()


def test_a_pod_that_was_killed_at_its_limit_reads_as_the_cluster_recorded_it(tmp_path):
    with cluster(tmp_path) as (_, client):
        (pod,) = client.pods()
    (one,) = pod.containers
    assert (one.restarts, one.waiting, one.ready) == (2, "CrashLoopBackOff", False)
    assert one.last.out_of_memory
    assert one.last.seconds == 37
    assert one.resources.memory_limit == 128 * 2**20
    assert one.resources.cpu_limit == 0.5


def test_evicted_and_unschedulable_pods_are_no_kills_at_a_limit(tmp_path):
    with cluster(tmp_path, ("pods", "pods-evict"), site={"workload": ""}) as (_, client):
        pods = {pod.name: pod for pod in client.pods()}
    evicted = [pod for pod in pods.values() if pod.reason == "Evicted"]
    assert evicted
    assert "low on resource: memory" in evicted[0].message
    assert not [one for pod in evicted for one in pod.containers if one.last and one.last.out_of_memory]
    assert "Insufficient memory" in pods["toobig"].unschedulable


def test_revisions_are_those_of_the_rollout_history(tmp_path):
    with cluster(tmp_path) as (_, client):
        first, second = client.revisions()
    assert (first.number, second.number, second.replicas) == (1, 2, 1)
    changed = {k for k in first.settings if first.settings[k] != second.settings[k]}
    assert changed == {"server/MODE", "server/MODEL_VERSION"}


def test_events_of_the_scheduler_have_one_time_and_no_count(tmp_path):
    with cluster(tmp_path) as (_, client):
        events = client.events()
    assert len(events) == len(recorded("events"))
    assert all(event.last is not None and event.count >= 1 for event in events)
    assert {"BackOff", "FailedScheduling"} <= {event.reason for event in events}


def test_pressure_of_a_node_is_read(tmp_path):
    with cluster(tmp_path, ("nodes-pressure",)) as (_, client):
        (node,) = client.nodes()
    assert "MemoryPressure" in node.bad


def test_use_is_read_from_the_metrics_api_in_its_own_units(tmp_path):
    with cluster(tmp_path) as (_, client):
        usage = {one.pod: one for one in client.usage()}
    assert usage["model-855c85df68-8n4gx"].memory == 30808 * 1024
    assert quantity("12345n") == pytest.approx(12345e-9)
    assert quantity("1e3") == 1000
    assert quantity("twelve") != quantity("twelve"), "not a number"


def test_a_cluster_without_the_metrics_api_says_so(tmp_path):
    with (
        cluster(tmp_path, offered={"apps": ("v1",)}) as (_, client),
        pytest.raises(SourceError, match="no metrics API"),
    ):
        client.usage()


def modern(old):
    """Return the recorded autoscaler as version 2 of the API has it."""
    spec = {k: old["spec"][k] for k in ("maxReplicas", "minReplicas", "scaleTargetRef")}
    status = {"currentReplicas": 1, "desiredReplicas": 2, "conditions": []}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": old["kind"],
        "metadata": old["metadata"],
        "spec": spec,
        "status": status,
    }


def test_the_autoscaler_is_read_in_the_version_that_the_server_offers(tmp_path):
    with cluster(tmp_path) as (_, client):
        old = client.autoscaler()
    assert (old.version, old.most) == ("v1", 3)
    with cluster(tmp_path, ("deployments",), {"apps": ("v1",), "autoscaling": ("v2", "v1")}) as (api, client):
        api.put(modern(recorded("hpa")[0]))
        new = client.autoscaler()
    assert (new.version, new.most, new.desired) == ("v2", 3, 2)
    with cluster(tmp_path, offered={"autoscaling": ("v3",)}) as (_, client), pytest.raises(SourceError, match="v3"):
        client.autoscaler()


def test_a_limit_that_was_resized_in_place_is_the_one_in_force(tmp_path):
    with cluster(tmp_path) as (api, client):
        pod = recorded("pods")[0]
        pod["status"]["containerStatuses"][0]["resources"] = {"limits": {"memory": "200Mi"}, "requests": {}}
        api.put(pod)
        assert client.pods()[0].containers[0].resources.memory_limit == 200 * 2**20


@pytest.mark.parametrize(
    ("reason", "code", "kill"),
    [("OOMKilled", 137, True), ("OOMKilled", 143, False), ("Error", 137, False), ("Completed", 0, False)],
)
def test_only_a_kill_at_the_limit_counts_as_one(tmp_path, reason, code, kill):
    with cluster(tmp_path) as (api, client):
        pod = recorded("pods")[0]
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"] |= {"reason": reason, "exitCode": code}
        api.put(pod)
        assert client.pods()[0].containers[0].last.out_of_memory is kill


def test_logs_of_the_run_before_are_read_and_their_absence_is_no_error(tmp_path):
    with cluster(tmp_path) as (api, client):
        name = client.pods()[0].name
        api.logs["ml", name, "server", True] = lambda: "2026-11-23T16:35:13Z MemoryError\n"
        assert client.log(name, "server", previous=True) == ["2026-11-23T16:35:13Z MemoryError"]
        assert client.log(name, "server") is None
        assert client.log("gone", "server", previous=True) is None


def test_a_pod_that_vanishes_in_between_is_none(tmp_path):
    with cluster(tmp_path) as (api, client):
        (pod,) = client.pods()
        api.remove(recorded("pods")[0])
        assert client.pod(pod.name) is None
        assert client.log(pod.name) is None


def test_a_namespace_of_5000_pods_is_read_in_pages(tmp_path):
    pod = recorded("pods")[0]
    with cluster(tmp_path, (), site={"workload": ""}) as (api, client):
        for number in range(5000):
            pod["metadata"] |= {"name": f"model-{number}", "uid": f"{number}"}
            api.put(pod)
        api.requests.clear()
        pods = client.pods()
        pages = [path for path in api.requests if "/pods" in path]
    assert len({one.name for one in pods}) == 5000
    assert len(pages) == 10


def test_pages_that_became_too_old_are_read_again_from_the_start(tmp_path):
    pod = recorded("pods")[0]
    with cluster(tmp_path, (), site={"workload": ""}) as (api, client):
        for number in range(1200):
            pod["metadata"] |= {"name": f"model-{number}"}
            api.put(pod)
        api.troubles.append(Trouble("/pods", 410, times=1, pages_only=True))
        assert len(client.pods()) == 1200
        api.troubles.append(Trouble("/pods", 410, pages_only=True))
        with pytest.raises(SourceError, match="410"):
            client.pods()


def test_a_busy_server_is_asked_again_when_it_says_and_not_for_ever(tmp_path):
    with cluster(tmp_path) as (api, client):
        api.troubles.append(Trouble("/events", 429, times=2, headers={"Retry-After": "0"}))
        assert len(client.events()) == len(recorded("events"))
        api.troubles[:] = [Trouble("/events", 429, headers={"Retry-After": "0"})]
        with pytest.raises(SourceTimeout, match="429"):
            client.events()


@pytest.mark.parametrize(
    ("trouble", "error", "says"),
    [
        (Trouble("/pods", 401), SourceForbidden, "login"),
        (Trouble("/pods", 403), SourceForbidden, "kubernetes-role.yaml"),
        (Trouble("/pods", 500), SourceError, "500"),
        (Trouble("/pods", 302), SourceForbidden, "login"),
        (Trouble("/pods", way="cut"), SourceError, "unreachable"),
        (Trouble("/pods", way="page"), SourceGarbled, "something else"),
    ],
    ids=lambda value: (value.way or str(value.status)) if isinstance(value, Trouble) else None,
)
def test_an_api_that_misbehaves_is_no_empty_namespace(tmp_path, trouble, error, says):
    with cluster(tmp_path) as (api, client):
        api.troubles.append(trouble)
        with pytest.raises(error, match=says):
            client.pods()


def test_an_api_that_is_silent_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr("sickbay.sources.kubernetes.SECONDS", 0.5)
    with cluster(tmp_path) as (api, client):
        api.troubles.append(Trouble("/pods", way="silence"))
        with pytest.raises(SourceTimeout):
            client.pods()


def test_an_api_that_is_not_there_is_unreachable_and_no_secret_comes_out(tmp_path):
    with cluster(tmp_path) as (api, client):
        api.close()
        with pytest.raises(SourceError, match="refused") as caught:
            client.pods()
    assert TOKEN not in repr(caught.value)
    checks = doctor(load_site({"source": {"kubernetes": {"kubeconfig": "kubeconfig"}}}, {}, tmp_path))
    assert checks
    assert not [check for check in checks if check.ok]
    assert TOKEN not in repr(checks)


def follow(client, seconds, act):
    seen = []
    for pod in client.follow(seconds):
        seen.append(pod.containers[0].restarts)
        if len(seen) == 1:
            act()
        if seen[-1] == 3:
            break
    return seen


def restarted(api):
    pod = recorded("pods")[0]
    pod["status"]["containerStatuses"][0]["restartCount"] = 3
    api.put(pod)


@pytest.mark.parametrize(
    "troubles",
    [[], [Trouble("/pods", way="cut", after=1, times=2)], [Trouble("/pods", way="gone", after=1, times=1)]],
    ids=["steady", "cut", "too old"],
)
def test_a_watch_that_is_cut_or_too_old_is_taken_up_again(tmp_path, troubles):
    with cluster(tmp_path) as (api, client):
        client.workload()
        client.pods()
        api.troubles += troubles
        assert follow(client, 10, lambda: restarted(api))[-1] == 3


def test_a_watch_ends_in_time(tmp_path):
    with cluster(tmp_path) as (_, client):
        began = time.monotonic()
        assert len(list(client.follow(1.0))) == 1
        assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kubeconfig": "not-there"}, "not found"),
        ({"kubeconfig": "kubeconfig", "context": "prod"}, "prod"),
        ({"kubeconfig": "kubeconfig", "namspace": "x"}, "namspace"),
    ],
)
def test_a_site_that_names_no_cluster_is_an_error_that_names_the_key(tmp_path, given, says):
    api = KubeApi()
    (tmp_path / "kubeconfig").write_text(json.dumps(api.kubeconfig("ml")), encoding="utf-8")
    api.close()
    with pytest.raises(SiteFileError, match=says) as caught:
        Kubernetes.connect(Context(load_site({"source": {"kubernetes": given}}, {}, tmp_path), datetime.now(UTC)))
    assert caught.value.hint


def test_a_workload_that_is_not_there_is_unknown_and_not_an_empty_one(tmp_path):
    with cluster(tmp_path, site={"workload": "modell"}) as (_, client), pytest.raises(SourceError, match="modell"):
        client.pods()


def test_the_role_that_is_shipped_grants_reading_and_covers_what_is_read(tmp_path):
    yaml = pytest.importorskip("yaml")
    text = (Path(__file__).parents[2] / "docs" / "kubernetes-role.yaml").read_text(encoding="utf-8")
    rules = [r for d in yaml.safe_load_all(text) for r in d.get("rules", ())]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    granted = {what for rule in rules for what in rule["resources"]}
    with cluster(tmp_path, site={"workload": "model"}) as (api, client):
        client.check()
        client.log(client.pods()[0].name)
        list(client.follow(0.3))
        kinds = {p.partition("?")[0].rstrip("/").split("/")[-1] for p in api.requests}
    asked = {"pods/log" if kind == "log" else kind for kind in kinds - {"apis"}}
    assert asked <= granted


MANY_AT_ONCE = """
import json, sys, threading
from datetime import UTC, datetime
from pathlib import Path
from sickbay.config import load_site
from sickbay.sources.context import Context
from sickbay.sources.kubernetes import Kubernetes
site = load_site({"source": {"kubernetes": {"kubeconfig": sys.argv[1], "workload": "model"}}}, {}, Path())
client = Kubernetes.connect(Context(site, datetime.now(UTC)))
asks = [client.pods, client.events, client.revisions, client.autoscaler, client.usage, client.nodes, client.workload]
threads = [threading.Thread(target=ask) for ask in asks * 3]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_many_probes_that_start_at_once_do_not_end_the_process(tmp_path):
    with cluster(tmp_path):
        ran = subprocess.run(
            [sys.executable, "-c", MANY_AT_ONCE, str(tmp_path / "kubeconfig")],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 0, f"the decoder's types are learned before threads meet: {ran.returncode} {ran.stderr}"
