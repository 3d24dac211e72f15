"""Objects of the Kubernetes API for the lab's pods, in the shape in which a cluster's were recorded."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.lab.systems.kubelet import Pod, Template

Object = dict[str, Any]


def stamp(at: datetime | None = None) -> str:
    """Return an instant as the API writes it: whole seconds, UTC."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(template: Template) -> Object:
    """Return the container of a template."""
    return {
        "name": "server", "image": template.image, "command": list(template.command),
        "env": [{"name": name, "value": value} for name, value in sorted(template.settings.items())],
        "resources": {
            "limits": {"memory": str(template.limit)}, "requests": {"memory": str(template.request), "cpu": "250m"},
        },
    }  # fmt: skip


def pod_object(pod: Pod, namespace: str) -> Object:
    """Return a pod with its status."""
    annotations = {}
    if pod.serves:
        annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(pod.port)}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": pod.name, "namespace": namespace, "uid": pod.uid, "creationTimestamp": stamp(pod.created),
            "labels": dict(pod.labels), "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet" if pod.serves else "Job", "name": pod.owner,
                "uid": pod.owner, "controller": True,
            }],
        },
        "spec": {
            "nodeName": "node1", "containers": [container(pod.template)],
            "restartPolicy": "Always" if pod.serves else "Never",
        },
        "status": {
            "phase": "Running" if not pod.over else "Failed", "podIP": "127.0.0.1", "hostIP": "127.0.0.1",
            "qosClass": "Burstable", "startTime": stamp(pod.created), "containerStatuses": [_status(pod)],
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(pod.ready)}],
        },
    }  # fmt: skip


def _status(pod: Pod) -> Object:
    if pod.run is not None:
        state: Object = {"running": {"startedAt": stamp(pod.run.began)}}
    elif pod.over:
        state = {"terminated": pod.last}
    else:
        state = {"waiting": {"reason": pod.waiting, "message": "back-off restarting failed container=server"}}
    identity = pod.run.id if pod.run is not None else str((pod.last or {}).get("containerID", "")).rpartition("/")[2]
    return {
        "name": "server", "image": pod.template.image, "imageID": pod.template.image, "ready": pod.ready,
        "started": pod.run is not None, "restartCount": pod.restarts, "state": state,
        "lastState": {"terminated": pod.last} if pod.last and not pod.over else {},
        "containerID": f"containerd://{identity}",
    }  # fmt: skip


def metrics_object(pod: Pod, namespace: str, used: int) -> Object:
    """Return what the metrics API says of a pod."""
    return {
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
        "metadata": {"name": pod.name, "namespace": namespace}, "timestamp": stamp(), "window": "1s",
        "containers": [{"name": "server", "usage": {"cpu": "0", "memory": f"{used // 1024}Ki"}}],
    }  # fmt: skip


def event_object(namespace: str, kind: str, name: str, reason: str, message: str, severity: str) -> Object:
    """Return an event that happened now, for the first time."""
    return {
        "apiVersion": "v1", "kind": "Event", "type": severity, "reason": reason, "message": message, "count": 1,
        "metadata": {"name": f"{name}.{uuid.uuid4().hex[:16]}", "namespace": namespace, "creationTimestamp": stamp()},
        "involvedObject": {"apiVersion": "v1", "kind": kind, "name": name, "namespace": namespace},
        "firstTimestamp": stamp(), "lastTimestamp": stamp(), "eventTime": None,
        "source": {"component": "kubelet", "host": "node1"},
    }  # fmt: skip


def deployment_object(
    namespace: str, name: str, labels: Mapping[str, str], replicas: int, template: Template
) -> Object:
    """Return the deployment."""
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": stamp()},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": dict(labels)}, "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container(template)]}},
        },
        "status": {"replicas": replicas},
    }  # fmt: skip


def replica_set_object(
    namespace: str, owner: str, name: str, labels: Mapping[str, str], revision: int, replicas: int, template: Template,
    created: datetime,
) -> Object:  # fmt: skip
    """Return a replica set, which is a revision of the deployment."""
    return {
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": namespace, "uid": name, "creationTimestamp": stamp(created),
            "labels": dict(labels), "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner, "uid": owner, "controller": True}
            ],
        },
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container(template)]}},
        },
        "status": {"replicas": replicas},
    }  # fmt: skip
