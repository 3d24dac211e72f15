"""Watches the memory of a workload's containers for some seconds: a series per life of a container."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from sickbay.errors import SourceError
from sickbay.sources.cgroups import Cgroups, Group
from sickbay.sources.containers import Containers
from sickbay.sources.kubernetes import Kubernetes
from sickbay.sources.kubernetes_objects import Pod

MOST_PODS = 8
PATIENCE = 0.5
"""Seconds to wait for a service's metrics: a busy one must not keep memory from being read."""
REQUESTS = ("http_requests_total", "http_request_duration_seconds_count", "http_server_requests_seconds_count")
RUNNING = ("http_requests_in_progress", "http_requests_inprogress", "http_server_active_requests")
RESIDENT = ("process_resident_memory_bytes",)


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at an instant (seconds from the beginning of the watch), in bytes; None where it was not said.

    ``memory`` is anonymous memory of the control group where that can be read, else resident memory.
    """

    at: float
    memory: float
    peak: float | None
    requests: float | None
    running: float | None
    ready: bool = False


@dataclass(slots=True)
class Life:
    """One life of a container within the watch. ``born``: it began within it; ``killed``: the kernel ended it there."""

    pod: str
    id: str
    limit: int | None
    born: bool
    samples: list[Sample] = field(default_factory=list)
    killed: bool = False
    child_kills: int = 0
    gone: float | None = None
    """When it was first seen to be gone; None where that was not seen."""

    @property
    def serves_from(self) -> float | None:
        """When it was first ready, or said how many requests it has; None when it never did."""
        return next((sample.at for sample in self.samples if sample.ready or sample.requests is not None), None)


@dataclass(frozen=True, slots=True)
class Watch:
    """What was seen. ``by`` says how memory was read; ``problems`` what could not be read, in words."""

    lives: tuple[Life, ...]
    seconds: float
    by: str
    replicas: int
    problems: tuple[str, ...]


def watch(
    runtime: Kubernetes | Containers, cgroups: Cgroups | None, least: float, longest: float, every: float
) -> Watch:
    """Return the lives of the workload's containers over the next seconds; SourceError when nothing can be read.

    It ends between ``least`` and ``longest`` seconds: when each pod was seen to be killed, or to serve for ``least``.
    """
    pods = runtime.pods()
    if not pods:
        raise SourceError(f"no data: there are no pods of {runtime.about}")
    chosen = sorted(pods, key=lambda pod: (-sum(c.restarts for c in pod.containers), pod.name))[:MOST_PODS]
    seen = _Seen(runtime, cgroups, {pod.name: pod for pod in chosen}, time.monotonic(), least)
    threads = [threading.Thread(target=seen.follow, args=(longest,), daemon=True)]
    threads += [threading.Thread(target=seen.read, args=(pod.name, every), daemon=True) for pod in chosen]
    for thread in threads:
        thread.start()
    while (spent := time.monotonic() - seen.began) < longest and not (spent > least and seen.enough()):
        time.sleep(0.1)
    seen.over = True
    for thread in threads[1:]:
        thread.join(5)
    spent = time.monotonic() - seen.began
    lives = tuple(life for life in seen.lives.values() if life.samples)
    if not lives:
        reasons = "; ".join(sorted(seen.problems)) or "no container ran meanwhile"
        raise SourceError(f"no data: memory could not be read: {reasons}")
    by = "control groups" if seen.grouped else "the service's own metrics"
    return Watch(lives, spent, by, len(pods), tuple(sorted(seen.problems)))


class _Seen:
    def __init__(
        self,
        runtime: Kubernetes | Containers,
        cgroups: Cgroups | None,
        pods: dict[str, Pod],
        began: float,
        least: float,
    ) -> None:
        self.runtime, self.cgroups, self.pods, self.began = runtime, cgroups, pods, began
        self.lives: dict[str, Life] = {}
        self.problems: set[str] = set()
        self.grouped = False
        self.over, self._least = False, least
        self._first = {self._identity(pod) for pod in pods.values()}
        self._lock = threading.Lock()

    def follow(self, seconds: float) -> None:
        """Keep up with restarts."""
        try:
            for pod in self.runtime.follow(seconds):
                if pod.name in self.pods:
                    self._ended(pod)
                    self.pods[pod.name] = pod
        except SourceError as error:
            self.problems.add(f"watching the pods: {error}")

    def _ended(self, pod: Pod) -> None:
        """Mark the life that the kernel ended; the end names it by the container's id."""
        for container in pod.containers:
            if container.last and container.last.out_of_memory:
                life = self.lives.get(container.last.id.rpartition("/")[2])
                if life is not None:
                    life.killed = True

    def enough(self) -> bool:
        """Return whether each pod was killed within the watch, or has served for long enough."""
        for name in self.pods:
            mine = [life for life in list(self.lives.values()) if life.pod == name]
            served = [
                len(life.samples) and life.samples[-1].at - at for life in mine if (at := life.serves_from) is not None
            ]
            if not any(life.killed or life.child_kills for life in mine) and not any(s >= self._least for s in served):
                return False
        return True

    def read(self, name: str, every: float) -> None:
        """Take samples of one pod."""
        groups: dict[str, Group | None] = {}
        scrapes = True
        while not self.over:
            at = time.monotonic() - self.began
            pod = self.pods[name]
            identity = self._identity(pod)
            if identity and not all(container.waiting for container in pod.containers):
                if identity not in groups:
                    named = identity.partition("#")[0]
                    groups[identity] = self.cgroups.find(named).get(named) if self.cgroups else None
                scrapes = self._take(pod, identity, groups[identity], at, scrapes)
            time.sleep(max(0.0, every - (time.monotonic() - self.began - at)))

    def _take(self, pod: Pod, identity: str, group: Group | None, at: float, scrapes: bool) -> bool:
        memory = peak = requests = running = None
        kills = 0
        if group is not None and self.cgroups is not None:
            try:
                read = self.cgroups.memory(group)
                memory = float(read.anonymous if read.anonymous is not None else read.current)
                peak, kills, self.grouped = (float(read.peak) if read.peak else None), read.kills or 0, True
            except SourceError:  # it ended between two looks
                life = self.lives.get(identity)
                if life is not None and life.gone is None:
                    life.gone = at
                return scrapes
        if scrapes and (pod.ready or memory is None):
            try:
                said = self.runtime.metrics(pod, PATIENCE)
                requests, running = said.total(*REQUESTS), said.total(*RUNNING)
                memory = said.total(*RESIDENT) if memory is None else memory
            except SourceError as error:
                if str(error).startswith(("no data", "forbidden")) or "scrape = false" in str(error):
                    self.problems.add(str(error))
                    scrapes = False
        if memory is not None:
            with self._lock:
                life = self.lives.setdefault(identity, self._life(pod, identity))
                life.samples.append(Sample(at, memory, peak, requests, running, pod.ready))
                life.child_kills = max(life.child_kills, kills)
        return scrapes

    def _life(self, pod: Pod, identity: str) -> Life:
        limits = [container.resources.memory_limit for container in pod.containers]
        limit = None if any(one is None for one in limits) else sum(one or 0 for one in limits)
        return Life(pod.name, identity, limit, identity not in self._first)

    @staticmethod
    def _identity(pod: Pod) -> str:
        """Return the id of the container that restarted most; the first where none did."""
        if not pod.containers:
            return ""
        return max(pod.containers, key=lambda container: container.restarts).id.rpartition("/")[2]
