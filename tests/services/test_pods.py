"""Serving pods on real processes in control groups: kills by the kernel are found, told apart, not seen elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab import live
from sickbay.lab.faults.pods import EATER
from sickbay.lab.systems.bounds import Bounds, available
from sickbay.lab.systems.kube_api import KubeApi, Trouble
from sickbay.lab.systems.kubelet import Kubelet, Pod, Template
from sickbay.lab.systems.pods import TOKEN
from sickbay.registry import FAULTS

pytestmark = [pytest.mark.pods, pytest.mark.timeout(400)]
TRIED = sorted(known.name for known in FAULTS.load().values() if known.system == "pods" and known.produces)
VERSION_1 = os.geteuid() == 0 and Path("/sys/fs/cgroup/memory").is_dir()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("pods", tmp_path_factory.mktemp("pods") / "system")
    yield held
    held.close()


def look(lab):
    diagnosis = investigate(lab.site_file, "serving-oom")
    assert TOKEN not in repr(diagnosis)
    return diagnosis


def test_the_kernel_enforces_the_limits_where_it_may_be_asked_to(lab):
    if VERSION_1:
        assert lab.system.limits == "cgroup1", "root on a host with control groups of version 1 must get them"
    elif lab.system.limits == "watched":
        pytest.skip("no control group may be made here: the limits are enforced by watching, not by the kernel")


def test_the_healthy_system_is_left_in_peace(lab):
    assert [check for check in doctor(lab.site_file) if not check.ok] == []
    diagnosis = look(lab)
    assert diagnosis.none_of_these > 0.8
    assert not [f.id for f in diagnosis.findings if f.log_ratio > 2]


@pytest.mark.parametrize("fault", TRIED)
def test_a_fault_is_found(lab, fault):
    if fault == "add_workers" and lab.system.limits == "watched":
        pytest.skip("kills of single workers are counted by control groups alone")
    lab.break_(fault, seed=11, strength=0.7)
    try:
        time.sleep(2)
        diagnosis = look(lab)
    finally:
        lab.heal()
    ranked = [(cause.id, round(cause.probability, 3)) for cause in diagnosis.causes[:3]]
    assert ranked[0][0] == FAULTS.get(fault).produces, (ranked, [(f.id, f.log_ratio) for f in diagnosis.findings])
    assert ranked[0][1] > 0.4, ranked


def test_a_stranger_that_was_killed_is_not_held_against_the_workload(lab):
    lab.break_("kill_a_stranger", seed=12)
    try:
        found = {f.id: f for f in run_probe(lab.site_file, "pods.state")}
        events = {e["reason"] for e in lab.system.api.all("v1", "events", "fraud")}
    finally:
        lab.heal()
    assert not found["pods.oom_killed"].on
    assert "retrain" in found["pods.oom_killed"].says
    assert "SystemOOM" in events


def test_without_rights_or_metrics_the_rest_still_answers(lab):
    lab.system.api.troubles.append(Trouble("/replicasets", 403))
    try:
        diagnosis = look(lab)
    finally:
        lab.system.api.troubles.clear()
    reasons = {f.id: f.reason or "" for f in diagnosis.findings}
    assert "kubernetes-role.yaml" in reasons["pods.limit_lowered"]
    assert diagnosis.finding("pods.oom_killed").status == "measured"


@pytest.mark.parametrize("kind", ["best", "watched"])
def test_a_pod_over_its_limit_is_killed_and_says_so(tmp_path, kind):
    bounds = available() if kind == "best" else Bounds(None, 0)
    api = KubeApi()
    kubelet = Kubelet(api, "fraud", bounds, tmp_path, lambda pod: (pod.template.command, tmp_path))
    try:
        limit = 60 * 2**20
        command = ("python3", "-c", EATER)
        pod = kubelet.add(Pod("job", Template("i", {}, limit, limit, command), "job", {"job": "x"}, serves=False))
        end = time.monotonic() + 30
        while not pod.over and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        kubelet.close()
        api.close()
        bounds.close()
    assert pod.last is not None
    assert (pod.last["reason"], pod.last["exitCode"]) == ("OOMKilled", 137)
    if bounds.base is not None:
        assert not bounds.base.exists(), "its control groups are gone"


def test_nothing_is_left_after_the_end(tmp_path):
    import psutil

    held = live.start("pods", tmp_path / "again")
    runs = [pod.run for pod in held.system.kubelet.pods.values() if pod.run]
    family = [process for run in runs for process in run.server.family()]
    family += held.system.gateway.family()
    base = held.system.bounds.base
    assert len(family) >= 3
    held.close()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert base is None or not base.exists()
