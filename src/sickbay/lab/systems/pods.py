"""Model serving in pods: a scorer of card payments, as real processes within memory limits, behind a gateway.

A deployment of two pods, restarted as a kubelet does; the API of Kubernetes over them; clients whose gateway writes the
access log. The kernel enforces the limits where a control group may be made (``limits`` says whether).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sickbay.lab.systems.bounds import Bounds, available
from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.kube_api import KubeApi
from sickbay.lab.systems.kube_objects import deployment_object, replica_set_object
from sickbay.lab.systems.kubelet import Kubelet, Pod, Template
from sickbay.lab.systems.processes import Server, launch, wait_until
from sickbay.registry import system

PROGRAMS = Path(__file__).parent.parent / "programs"
NAMESPACE, NAME, TOKEN = "fraud", "scorer", "lab-kubernetes-token"
LABELS = {"app": NAME}
REPLICAS = 2
MODEL_MB = 30
MIB = 2**20
USUAL: Mapping[str, Any] = {"rate": 8.0, "rows": 60, "large_share": 0.05, "large_rows": 1500, "customers": 40}
BASELINE_SECONDS = 4.5
"""Seconds of usual traffic in the access log before anything is broken."""


class Sink:
    """The audit service: takes what the scorers send; while it is closed, connections are refused."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as first:
            self.port = int(first.getsockname()[1])
        self.closed = False
        self._stop = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Take nothing any more, for good."""
        self._stop.set()

    def _work(self) -> None:
        while not self._stop.wait(0.1):
            if not self.closed:
                with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", self.port)) as listener:
                    listener.settimeout(0.3)
                    while not (self.closed or self._stop.is_set()):
                        with contextlib.suppress(TimeoutError):
                            line, _ = listener.accept()
                            threading.Thread(target=self._take, args=(line,), daemon=True).start()

    def _take(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(2)
            while line.recv(1 << 20):
                pass


@dataclass(slots=True)
class Pods:
    """The running system."""

    directory: Path
    api: KubeApi
    kubelet: Kubelet
    bounds: Bounds
    sink: Sink
    healthy: Template
    template: Template
    gateway: Server | None = None
    images: dict[str, Path] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict)
    revision: int = 0
    serial: int = 0
    strangers: list[Pod] = field(default_factory=list)
    _endpoints: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def site_file(self) -> Path:
        """The site file of its user."""
        return self.directory / "sickbay.toml"

    @property
    def limits(self) -> str:
        """Who enforces the limits: ``cgroup1``, ``cgroup2``, or ``watched`` where the kernel does not."""
        return self.bounds.kind

    @property
    def traffic(self) -> Path:
        """Directory of the gateway: its endpoints, clients and access log."""
        return self.directory / "traffic"

    def image(self, tag: str, *changes: str) -> str:
        """Build an image: the service's code, with files of ``scorer_changes`` in place of its own (``new:old``)."""
        place = self.directory / "images" / tag.replace("/", "_").replace(":", "_")
        if not place.exists():
            shutil.copytree(PROGRAMS / "scorer", place, ignore=shutil.ignore_patterns("__pycache__"))
            for change in changes:
                new, _, old = change.partition(":")
                shutil.copy(PROGRAMS / "scorer_changes" / f"{new}.py", place / f"{old}.py")
        self.images[tag] = place
        return tag

    def model(self, version: int, megabytes: int) -> str:
        """Train a model of a size and return its address."""
        file = self.directory / "models" / f"fraud-{version}.joblib"
        file.parent.mkdir(exist_ok=True)
        python = environment("serving") / "bin" / "python"
        command: list[str | Path] = [python, PROGRAMS / "scorer" / "train.py", file, str(megabytes), str(version)]
        trained = launch("training", command, log=self.directory / "training.log", cwd=self.directory)
        wait_until(lambda: not trained.running(), 120, "training the model")
        trained.stop()
        return str(file)

    def roll_out(self, template: Template, *, anew: bool = False, seconds: float = 12.0) -> None:
        """Replace all pods by pods of a template, and wait until they are ready or have ended once.

        ``anew``: as a deployment that had no revision before.
        """
        if anew:
            for one in self.api.all("apps/v1", "replicasets", NAMESPACE):
                self.api.remove(one)
            self.revision = 0
        self._end_all()
        self.template = template
        owner = self._revise(template, REPLICAS, datetime.now(UTC))
        made = []
        for _ in range(REPLICAS):
            self.serial += 1
            made.append(self.kubelet.add(Pod(f"{owner}-{self.serial:05d}", template, owner, LABELS)))
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(pod.ready or pod.last for pod in made):
            time.sleep(0.05)

    def _end_all(self) -> None:
        serving = [pod for pod in self.kubelet.pods.values() if pod.serves]
        with ThreadPoolExecutor(max(1, len(serving))) as pool:
            list(pool.map(self.kubelet.remove, serving))

    def kills(self) -> int:
        """Return how many kills at the limit there were in the pods that serve, those of single workers too."""
        pods = [pod for pod in self.kubelet.pods.values() if pod.serves]
        ended: int = sum(pod.last is not None and pod.last["reason"] == "OOMKilled" for pod in pods)
        return ended + sum(pod.run.bound.kills() for pod in pods if pod.run is not None)

    def wait_for_kill(self, seconds: float = 20.0) -> None:
        """Wait until a pod was killed at its limit: that is when anybody would look."""
        end = time.monotonic() + seconds
        while not self.kills() and time.monotonic() < end:
            time.sleep(0.1)

    def _revise(self, template: Template, replicas: int, created: datetime) -> str:
        self.revision += 1
        name = f"{NAME}-{abs(hash((template.image, self.revision, time.monotonic_ns()))) % 16**8:08x}"
        for one in self.api.all("apps/v1", "replicasets", NAMESPACE):
            self.api.put(one | {"spec": {**one["spec"], "replicas": 0}, "status": {"replicas": 0}})
        self.api.put(replica_set_object(NAMESPACE, NAME, name, LABELS, self.revision, replicas, template, created))
        self.api.put(deployment_object(NAMESPACE, NAME, LABELS, REPLICAS, template))
        self.kubelet.event("Deployment", NAME, "ScalingReplicaSet", f"Scaled up replica set {name} to {replicas}")
        return name

    def ask(self, **changes: Any) -> None:
        """Let the clients behave otherwise; nothing given: as usual."""
        self.clients = dict(USUAL) | changes
        (self.traffic / "clients.new").write_text(json.dumps(self.clients), encoding="utf-8")
        (self.traffic / "clients.new").replace(self.traffic / "clients.json")

    def reset(self) -> None:
        """Put the healthy deployment in force with its own history, fresh logs and usual clients."""
        self.sink.closed = False
        self.ask()
        for pod in self.strangers:
            self.kubelet.remove(pod)
        self.strangers.clear()
        for one in self.api.all("apps/v1", "replicasets", NAMESPACE):
            self.api.remove(one)
        self.kubelet.forget_events()
        now = datetime.now(UTC)
        self.revision = 6
        self._revise(self.healthy.changed(image=self.image("models/scorer:1.4.0")), 0, now - timedelta(days=23))
        self.revision = 7
        self._end_all()
        self.template = self.healthy
        owner = self._revise(self.healthy, REPLICAS, now - timedelta(days=9))
        for _ in range(REPLICAS):
            self.serial += 1
            self.kubelet.add(Pod(f"{owner}-{self.serial:05d}", self.healthy, owner, LABELS))

    def stranger(self, name: str, code: str, limit: int) -> Pod:
        """Run a job of somebody else in the namespace: Python code within a limit."""
        python = str(environment("serving") / "bin" / "python")
        template = Template("jobs/retrain:3", {}, limit, limit, (python, "-c", code))
        pod = self.kubelet.add(Pod(name, template, name, {"job": name}, serves=False))
        self.strangers.append(pod)
        return pod

    def well(self) -> bool:
        """Return whether every pod is ready."""
        pods = [pod for pod in self.kubelet.pods.values() if pod.serves]
        return len(pods) == REPLICAS and all(pod.ready and pod.run is not None for pod in pods)

    def wait_healthy(self, seconds: float = 120) -> None:
        """Wait until the healthy deployment serves, and has served for a few seconds in a fresh access log."""
        self.reset()
        wait_until(self.well, seconds, "the pods being ready")
        (self.traffic / "access.log").write_bytes(b"")
        time.sleep(BASELINE_SECONDS)

    def stop(self) -> None:
        """Stop everything."""
        self._stop.set()
        if self.gateway is not None:
            self.gateway.stop()
        self.kubelet.close()
        self.api.close()
        self.sink.stop()
        self.bounds.close()

    def publish(self) -> None:
        """Keep the gateway's list of ready pods in step, until the end."""
        while not self._stop.wait(0.1):
            ready = json.dumps([(p.name, p.port) for p in list(self.kubelet.pods.values()) if p.serves and p.ready])
            if ready != self._endpoints:
                self._endpoints = ready
                (self.traffic / "endpoints.new").write_text(ready, encoding="utf-8")
                (self.traffic / "endpoints.new").replace(self.traffic / "endpoints.json")


@system("pods", scenario="serving-oom")
def start(directory: Path, *, say: Callable[[str], None] = lambda _: None, bounds: Bounds | None = None) -> Pods:
    """Start the deployment and its clients in a directory; LabError when it cannot."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("traffic", "runs", "images"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()
    bounds = bounds or available()
    say(f"memory limits: {_ENFORCED[bounds.kind]}")
    python = environment("serving") / "bin" / "python"
    api, sink = KubeApi(token=TOKEN), Sink()
    held: list[Pods] = []

    def begin(pod: Pod) -> tuple[Sequence[str | Path], Path]:
        if not pod.serves:
            return pod.template.command, directory
        return (python, *pod.template.command[1:]), held[0].images[pod.template.image]

    kubelet = Kubelet(api, NAMESPACE, bounds, directory / "runs", begin)
    settings = {
        "AUDIT_SINK": f"tcp://127.0.0.1:{sink.port}", "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1", "WORKERS": "1", "PROFILE_CACHE_MB": "24",
    }  # fmt: skip
    template = Template("models/scorer:1.4.1", settings, 288 * MIB, 192 * MIB)
    lab = Pods(directory, api, kubelet, bounds, sink, template, template)
    held.append(lab)
    try:
        say("a model, and two pods that serve it")
        lab.healthy = lab.template = template.changed(
            image=lab.image(template.image), settings={"MODEL_URI": lab.model(6, MODEL_MB)}
        )
        api.put(_node())
        (lab.traffic / "endpoints.json").write_text("[]", encoding="utf-8")
        lab.ask()
        threading.Thread(target=lab.publish, daemon=True).start()
        lab.reset()
        wait_until(lab.well, 120, "the pods being ready")
        gateway = PROGRAMS / "scorer" / "gateway.py"
        lab.gateway = launch(
            "gateway", [python, gateway, lab.traffic, "1"], log=directory / "gateway.log", cwd=directory
        )
        _site(lab)
        time.sleep(BASELINE_SECONDS)
    except BaseException:
        lab.stop()
        raise
    return lab


_ENFORCED = {
    "cgroup1": "by the kernel (control groups, version 1)",
    "cgroup2": "by the kernel (control groups, version 2)",
    "watched": "by watching, not by the kernel: no control group may be made here (run as root, or under systemd)",
}


def _node() -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1", "creationTimestamp": "2026-01-05T08:00:00Z"},
        "spec": {},
        "status": {
            "allocatable": {"memory": "8Gi", "cpu": "2"},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    }  # fmt: skip


def _site(lab: Pods) -> None:
    kubeconfig = lab.directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(json.dumps(lab.api.kubeconfig(NAMESPACE)), encoding="utf-8")
    groups = "[source.cgroups]\n" if lab.bounds.base is not None else ""
    lab.site_file.write_text(
        f"""[system]
name = "fraud-serving"

[source.kubernetes]
kubeconfig = "kubeconfig"
namespace = "{NAMESPACE}"
workload = "deployment/{NAME}"

[source.logs]
files = {{ gateway = "traffic/access.log" }}

{groups}""",
        encoding="utf-8",
    )
