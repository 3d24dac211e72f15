"""Pods of the lab: real processes within bounds, restarted with back-off as a kubelet does, told to the Kubernetes API.

The times are a tenth to a twentieth of a kubelet's: back-off from half a second, metrics every second.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sickbay.lab.systems.bounds import Bound, Bounds
from sickbay.lab.systems.kube_api import KubeApi
from sickbay.lab.systems.kube_objects import event_object, metrics_object, pod_object, stamp
from sickbay.lab.systems.processes import Server, free_port, launch, listens

BACK_OFF, LONGEST_BACK_OFF, FORGIVEN_AFTER = 0.5, 4.0, 10.0
TICK = 0.1


@dataclass(frozen=True, slots=True)
class Template:
    """What pods are made of. Memory in bytes."""

    image: str
    settings: Mapping[str, str]
    limit: int
    request: int
    command: tuple[str, ...] = ("python", "server.py")

    def changed(self, **changes: Any) -> Template:
        """Return another template; ``settings`` are merged."""
        merged = {**self.settings, **changes.pop("settings", {})}
        return replace(self, settings=merged, **changes)


@dataclass(slots=True)
class Run:
    """One life of a container."""

    server: Server
    bound: Bound
    id: str
    began: datetime
    clock: float
    log: Path


@dataclass(slots=True)
class Pod:
    """A pod with one container."""

    name: str
    template: Template
    owner: str
    labels: Mapping[str, str]
    serves: bool = True
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    port: int = field(default_factory=free_port)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    run: Run | None = None
    ready: bool = False
    restarts: int = 0
    last: dict[str, Any] | None = None
    """How the last run ended, as the API has it."""
    waiting: str = ""
    due: float = 0.0
    pause: float = BACK_OFF
    over: bool = False
    old_log: Path | None = None


class Kubelet:
    """Keeps pods running, and the API in step with them."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        bounds: Bounds,
        directory: Path,
        start: Callable[[Pod], tuple[Sequence[str | Path], Path]],
    ) -> None:
        self.api, self.namespace, self.bounds, self.directory, self._start = api, namespace, bounds, directory, start
        self.pods: dict[str, Pod] = {}
        self._lock, self._stop = threading.RLock(), threading.Event()
        self._events: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._told: dict[str, str] = {}
        self._measured = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, pod: Pod) -> Pod:
        """Start a pod."""
        with self._lock:
            self.pods[pod.name] = pod
            self.event("Pod", pod.name, "Scheduled", f"Successfully assigned {self.namespace}/{pod.name} to node1")
            self._begin(pod)
            self._tell(pod)
        return pod

    def remove(self, pod: Pod) -> None:
        """End a pod in an orderly way, and forget it."""
        with self._lock:
            self.pods.pop(pod.name, None)
            pod.ready = False
            self.event("Pod", pod.name, "Killing", "Stopping container server")
            self.api.remove(pod_object(pod, self.namespace))
            self.api.remove(metrics_object(pod, self.namespace, 0))
            for previous in (False, True):
                self.api.logs.pop((self.namespace, pod.name, "server", previous), None)
        if pod.run is not None:
            pod.run.server.stop()
            pod.run.bound.remove()

    def event(self, kind: str, name: str, reason: str, message: str, severity: str = "Normal") -> None:
        """Tell the API that something happened; the same again is counted."""
        with self._lock:
            key = (kind, name, reason)
            given = self._events.get(key)
            if given is None:
                given = event_object(self.namespace, kind, name, reason, message, severity)
            else:
                given |= {"count": given["count"] + 1, "lastTimestamp": stamp(), "message": message}
            self._events[key] = given
            self.api.put(given)

    def forget_events(self) -> None:
        """Let all events expire."""
        with self._lock:
            for given in self._events.values():
                self.api.remove(given)
            self._events.clear()

    def close(self) -> None:
        """End everything."""
        self._stop.set()
        self._thread.join(10)
        for pod in list(self.pods.values()):
            self.remove(pod)

    def _begin(self, pod: Pod) -> None:
        identity = uuid.uuid4().hex
        bound = self.bounds.make(pod.uid, identity, pod.template.limit)
        log = self.directory / f"{pod.name}-{pod.restarts}.log"
        command, place = self._start(pod)
        environ = {**pod.template.settings, "PORT": str(pod.port), "PYTHONUNBUFFERED": "1"}
        server = launch(pod.name, bound.entering(command), log=log, cwd=place, environ=environ)
        pod.run = Run(server, bound, identity, datetime.now(UTC), time.monotonic(), log)
        pod.waiting, pod.ready = "", False
        self.event("Pod", pod.name, "Started", "Started container server")
        self.api.logs[self.namespace, pod.name, "server", False] = lambda: _read(log)
        if pod.old_log is not None:
            old = pod.old_log
            self.api.logs[self.namespace, pod.name, "server", True] = lambda: _read(old)

    def _work(self) -> None:
        while not self._stop.wait(TICK):
            with self._lock:
                for pod in list(self.pods.values()):
                    self._look(pod)
                    self._tell(pod)
                if time.monotonic() - self._measured > 1.0:
                    self._measured = time.monotonic()
                    self._measure()

    def _look(self, pod: Pod) -> None:
        run = pod.run
        if run is not None:
            if run.bound.place is None:
                run.bound.watch(run.server.family())
            if not run.server.running():
                self._ended(pod, run)
            elif pod.serves and not pod.ready:
                pod.ready = listens(pod.port)
            elif not pod.serves:
                pod.ready = True
        elif not pod.over and time.monotonic() >= pod.due:
            pod.restarts += 1
            self._begin(pod)

    def _ended(self, pod: Pod, run: Run) -> None:
        code = run.server.keeper.poll() or 0
        run.server.stop()  # it has ended: this lets go of the pipe to its keeper
        code = 128 + (256 - code) if code > 200 else code  # the keeper passes a signal on as a negative number
        killed = code == 137 and run.bound.kills() > 0
        pod.last = {
            "exitCode": code, "reason": "OOMKilled" if killed else "Completed" if code == 0 else "Error",
            "startedAt": stamp(run.began), "finishedAt": stamp(), "containerID": f"containerd://{run.id}",
        }  # fmt: skip
        run.bound.remove()
        pod.run, pod.ready, pod.old_log = None, False, run.log
        pod.over = not pod.serves
        pod.waiting = "" if pod.over else "CrashLoopBackOff"
        if time.monotonic() - run.clock > FORGIVEN_AFTER:
            pod.pause = BACK_OFF
        pod.due = time.monotonic() + pod.pause
        pod.pause = min(LONGEST_BACK_OFF, 2 * pod.pause)
        if not pod.over:
            self.event("Pod", pod.name, "BackOff", "Back-off restarting failed container", "Warning")

    def _tell(self, pod: Pod) -> None:
        given = pod_object(pod, self.namespace)
        text = repr(given)
        if self._told.get(pod.name) != text:
            self._told[pod.name] = text
            self.api.put(given)

    def _measure(self) -> None:
        for pod in self.pods.values():
            if pod.run is None:
                self.api.remove(metrics_object(pod, self.namespace, 0))  # so does the real one while a pod crash-loops
                continue
            with contextlib.suppress(OSError):
                used = pod.run.bound.working_set(pod.run.server.family() if pod.run.bound.place is None else [])
                self.api.put(metrics_object(pod, self.namespace, used))


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
