"""Runs within a cluster's namespaces (see ``kubernetes_cluster``): a scorer deployed on it, broken, investigated.

``python -m tests.services.in_cluster GROUP HOME [RECORDS]`` prints one line of JSON: what was said at each step. With a
third argument, the objects of the API are recorded in that directory, a file per kind and step. The scorer and its
clients are the lab's; everything around it is Kubernetes. What is read is read with the shipped role's rights.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lightkube import codecs
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.autoscaling_v1 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import Event, Namespace, Node, Pod, Secret, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRoleBinding, RoleBinding

from sickbay.investigation import doctor, investigate
from tests.services import scorer
from tests.services.kubernetes_cluster import Cluster
from tests.services.uml import MARK, ROOT

NAMESPACE, NAME, MIB = "ml", "scorer", 2**20
ROLE = ROOT / "docs" / "kubernetes-role.yaml"
PORT = 8080
KINDS = (Pod, Event, ReplicaSet, Deployment, Node, HorizontalPodAutoscaler)
SETTINGS = scorer.SETTINGS | {"HOST": "0.0.0.0", "PORT": str(PORT)}


class Stage:
    """The scorer on the cluster, its clients, and the site file of its user."""

    def __init__(self, cluster: Cluster, records: Path | None) -> None:
        self.cluster, self.records, self.api = cluster, records, cluster.client(NAMESPACE)
        self.home = cluster.home / "stage"
        self._end = threading.Event()
        self.gateway: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make the namespace, the reader's rights, images, a model and the deployment; wait until it serves."""
        self.api.create(Namespace.from_dict({"metadata": {"name": NAMESPACE}}))
        for one in codecs.load_all_yaml(ROLE.read_text(encoding="utf-8")):
            self.api.create(one)
        self.cluster.image("sickbay/python:1", {}, scorer.IMAGE_LINKS, scorer.IMAGE_FOLDERS)
        self.model = scorer.prepare(self.home)
        self.api.create(self.deployment("1.4.1", 288))
        self.wait("the pods being ready", self.ready)
        threading.Thread(target=self._publish, daemon=True).start()
        self._site()
        with (self.home / "gateway.log").open("wb") as log:
            self.gateway = subprocess.Popen(scorer.clients(self.home), stdout=log, stderr=log)

    def deployment(self, version: str, limit: int, memory: int = 192) -> Any:
        """Return the deployment of a version; ``limit`` and ``memory`` in MiB."""
        seen = scorer.mounts(self.home)
        environ = SETTINGS | {"MODEL_URI": str(self.model), "VERSION": version}
        container = {
            "name": "server", "image": "docker.io/sickbay/python:1", "imagePullPolicy": "Never",
            "command": [str(scorer.python()), "server.py"], "workingDir": str(scorer.code(self.home, version)),
            "env": [{"name": name, "value": value} for name, value in sorted(environ.items())],
            "resources": {"limits": {"memory": f"{limit}Mi"}, "requests": {"memory": f"{memory}Mi", "cpu": "100m"}},
            "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
            "volumeMounts": [{"name": f"v{n}", "mountPath": p, "readOnly": True} for n, p in enumerate(seen)],
        }  # fmt: skip
        scrape = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
        volumes = [{"name": f"v{n}", "hostPath": {"path": p}} for n, p in enumerate(seen)]
        pod = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 2,
               "automountServiceAccountToken": False, "enableServiceLinks": False}  # fmt: skip
        return Deployment.from_dict({
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app": NAME}},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": NAME}}, "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": {"app": NAME}, "annotations": scrape}, "spec": pod},
            },
        })  # fmt: skip

    def scale_by_itself(self) -> None:
        """Give the deployment an autoscaler, which this cluster has no metrics for, and wait until it has tried."""
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
        spec = {"minReplicas": 2, "maxReplicas": 4, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 60}
        meta = {"name": NAME, "namespace": NAMESPACE}
        self.api.create(HorizontalPodAutoscaler.from_dict({"metadata": meta, "spec": spec}))

        def tried() -> bool:
            one = self.api.get(HorizontalPodAutoscaler, NAME)
            return "ScalingActive" in json.dumps(one.metadata.annotations or {})

        self.wait("the autoscaler having tried", tried)

    def roll_out(self, deployment: Any) -> None:
        """Replace the deployment, as ``kubectl replace`` does."""
        self.api.replace(deployment)

    def pods(self) -> list[Any]:
        """Return the pods of the deployment that are not being ended."""
        found = self.api.list(Pod, labels={"app": NAME})
        return [one for one in found if one.metadata.deletionTimestamp is None]

    def ready(self) -> bool:
        """Return whether both pods serve, and no other is left."""
        states = [s for one in self.pods() for s in one.status.containerStatuses or ()]
        return len(self.pods()) == 2 and len(states) == 2 and all(state.ready for state in states)

    def killed(self) -> bool:
        """Return whether a container was killed at its limit."""
        states = [s for one in self.pods() for s in (one.status.containerStatuses or ()) if one.status]
        ends = [
            e for s in states for e in (s.lastState and s.lastState.terminated, s.state and s.state.terminated) if e
        ]
        return any(end.reason == "OOMKilled" for end in ends)

    def wait(self, what: str, well: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something is so; AssertionError with what the pods say when it does not become so."""
        end = time.monotonic() + seconds
        while not well():
            if time.monotonic() > end:
                states = [one.status.to_dict() for one in self.pods()]
                events = [f"{e.reason}: {e.message}" for e in self.api.list(Event)][-8:]
                raise AssertionError(f"{what}: not within {seconds:.0f} s: {events} {json.dumps(states)[:2500]}")
            time.sleep(0.3)

    def look(self, step: str) -> dict[str, Any]:
        """Investigate, and return what a test wants to know of it."""
        diagnosis = investigate(self.home / "sickbay.toml", "serving-oom")
        assert self.token not in repr(diagnosis), "the token is a secret"
        self.record(step)
        return scorer.told(diagnosis)

    def checks(self) -> dict[str, list[str]]:
        """Return what the doctor says, by whether it is well."""
        found: dict[str, list[str]] = {"well": [], "not": []}
        for check in doctor(self.home / "sickbay.toml"):
            found["well" if check.ok else "not"].append(f"{check.what}: {check.detail}")
        return found

    def record(self, step: str) -> None:
        """Write the objects of each kind as the API gives them."""
        if self.records is None:
            return
        for kind in KINDS:
            about = kind._api_info.resource
            named = {"apiVersion": "/".join(filter(None, (about.group, about.version))), "kind": about.kind}
            objects = {"items": [named | one.to_dict() for one in self.api.list(kind)]}
            name = f"{step}-{kind.__name__.lower()}s.json"
            (self.records / name).write_text(json.dumps(objects, indent=1, default=str), encoding="utf-8")

    def fresh(self, deployment: Any) -> None:
        """Take up a deployment and wait until it serves, with the clients' log begun anew."""
        self.roll_out(deployment)
        time.sleep(2)
        self.wait("the pods being ready", self.ready)
        (self.home / "traffic" / "access.log").write_bytes(b"")
        time.sleep(6)

    def _site(self) -> None:
        account = self.api.get(ServiceAccount, "sickbay")
        secret = self.api.get(Secret, account.secrets[0].name)
        self.token = base64.b64decode(secret.data["token"]).decode()
        kubeconfig = self.cluster.kubeconfig("reader", self.token, NAMESPACE)
        (self.home / "sickbay.toml").write_text(
            f'[system]\nname = "scorer"\n\n[source.kubernetes]\nkubeconfig = "{kubeconfig}"\n'
            f'workload = "deployment/{NAME}"\n\n[source.logs]\nfiles = {{ gateway = "traffic/access.log" }}\n\n'
            "[source.cgroups]\n",
            encoding="utf-8",
        )

    def _publish(self) -> None:
        """Keep the gateway's list of ready pods in step, as a service's endpoints are."""
        file = self.home / "traffic" / "endpoints.json"
        file.write_text("[]", encoding="utf-8")
        while not self._end.wait(0.3):
            with contextlib.suppress(Exception):  # the API is away for a moment: the list stays as it was
                ready = [
                    (one.metadata.name, f"{one.status.podIP}:{PORT}") for one in self.pods()
                    if all(s.ready for s in one.status.containerStatuses or ()) and one.status.podIP
                ]  # fmt: skip
                file.with_suffix(".new").write_text(json.dumps(ready), encoding="utf-8")
                file.with_suffix(".new").replace(file)

    def stop(self) -> None:
        """End the clients."""
        self._end.set()
        if self.gateway is not None:
            self.gateway.kill()


def steps(stage: Stage) -> Iterator[tuple[str, Any]]:
    """Do one thing after the other, and yield what the product said of each."""
    stage.prepare()
    time.sleep(8)
    yield "doctor", stage.checks()
    yield "healthy", stage.look("healthy")

    stage.scale_by_itself()
    yield "autoscaler", stage.look("autoscaler")

    scorer.code(stage.home, "1.5.0", "audit_trail:audit")
    stage.roll_out(stage.deployment("1.5.0", 288))
    stage.wait("a kill", stage.killed)
    time.sleep(2)
    yield "leak", stage.look("leak")

    stage.fresh(stage.deployment("1.4.1", 288))
    yield "rolled back", stage.look("rolled-back")

    stage.roll_out(stage.deployment("1.4.1", 176, 88))
    stage.wait("a kill", stage.killed)
    time.sleep(2)
    yield "limit", stage.look("limit")

    stage.fresh(stage.deployment("1.4.1", 288))
    stage.api.delete(ClusterRoleBinding, "sickbay-node-reader")
    yield "without nodes", stage.checks()
    stage.api.delete(RoleBinding, "sickbay-reader")
    yield "without rights", stage.look("without-rights")


def main() -> None:
    """Start the cluster, do the steps, and print what came of them."""
    group, home, *rest = sys.argv[1:]
    records = Path(rest[0]) if rest else None
    said: dict[str, Any] = {"group": group}
    began = time.monotonic()
    with Cluster(group, Path(home)) as cluster:
        said["seconds to a ready node"] = round(time.monotonic() - began, 1)
        stage = Stage(cluster, records)
        try:
            for name, found in steps(stage):
                said[name] = found
                print(f"{time.monotonic() - began:.0f} s: {name}", file=sys.stderr, flush=True)
        except Exception:
            print(cluster.log("kubelet"), file=sys.stderr)
            raise
        finally:
            stage.stop()
    print(f"{MARK}{json.dumps(said)}", flush=True)


if __name__ == "__main__":
    main()
