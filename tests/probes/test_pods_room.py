"""Whether more replicas could help: on a recorded autoscaler, node and pod, altered one thing at a time."""

from __future__ import annotations

import pytest

from sickbay.lab.systems.kube_api import Trouble
from tests.probes.test_pods import cluster, look
from tests.sources.test_kubernetes import recorded


def autoscaler(current, desired, *, most=3, reads=True):
    """Return the recorded autoscaler with these replicas."""
    (one,) = recorded("hpa")[:1]
    one["spec"] |= {"maxReplicas": most}
    one["status"] |= {"currentReplicas": current, "desiredReplicas": desired}
    if reads:
        name = "autoscaling.alpha.kubernetes.io/conditions"
        one["metadata"]["annotations"][name] = '[{"type": "ScalingActive", "status": "True"}]'
    return one


@pytest.mark.parametrize(
    ("one", "least"),
    [
        (autoscaler(3, 3), 2),
        (autoscaler(1, 1), -3),
        (autoscaler(2, 3), -3),
        (autoscaler(1, 1, most=1), 0),
        (autoscaler(1, 1, reads=False), 2),
    ],
)
def test_an_autoscaler_at_its_most_or_without_its_metric_cannot_follow(tmp_path, one, least):
    with cluster(tmp_path) as (api, site):
        api.put(one)
        found = look(site, "pods_room.room")[0]["pods.cannot_scale_out"]
    assert found.log_ratio == 0 if least == 0 else found.log_ratio >= least if least > 0 else found.log_ratio <= least


def test_what_it_cannot_read_is_said(tmp_path):
    with cluster(tmp_path) as (api, site):
        api.put(autoscaler(1, 1, reads=False))
        found = look(site, "pods_room.room")[0]["pods.cannot_scale_out"]
    assert "unable to compute the replica count" in found.says


def test_without_an_autoscaler_it_is_unknown(tmp_path):
    with cluster(tmp_path) as (_, site):
        found = look(site, "pods_room.room")[0]["pods.cannot_scale_out"]
    assert "has no autoscaler" in found.reason


def test_a_pod_that_no_node_takes_and_a_node_under_pressure_are_seen(tmp_path):
    pods = recorded("pods")
    pods[0]["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1: Insufficient memory."}
    ]
    with cluster(tmp_path, pods=pods) as (_, site):
        waits = look(site, "pods_room.room")[0]["pods.no_room"]
    assert waits.log_ratio > 3
    assert "Insufficient memory" in waits.says
    with cluster(tmp_path) as (api, site):
        api.put_all(recorded("nodes-pressure"))
        assert look(site, "pods_room.room")[0]["pods.no_room"].log_ratio > 3
    with cluster(tmp_path) as (api, site):
        api.put_all(recorded("nodes"))
        assert look(site, "pods_room.room")[0]["pods.no_room"].log_ratio < -2


def test_without_the_right_on_nodes_it_says_what_it_does_not_know(tmp_path):
    with cluster(tmp_path) as (api, site):
        api.troubles.append(Trouble("/nodes", 403))
        found = look(site, "pods_room.room")[0]["pods.no_room"]
    assert "kubernetes-role.yaml" in found.says
    assert -2 < found.log_ratio < 0
