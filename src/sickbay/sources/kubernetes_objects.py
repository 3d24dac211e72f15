"""What sickbay keeps of Kubernetes' objects: pods with their last end, events, revisions, autoscaler, nodes, usage.

Memory is in bytes, processor time in cores, times are UTC. A field that the cluster does not say is None.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

REVISION = "deployment.kubernetes.io/revision"
SCRAPE = "prometheus.io/"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
FORGOTTEN = "ended; how is no longer known"


@dataclass(frozen=True, slots=True)
class End:
    """How a container's last run ended."""

    reason: str
    exit_code: int
    started: datetime | None
    finished: datetime | None
    id: str = ""

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel killed it at its limit: the reason says so and the exit code is that of SIGKILL.

        ``OOMKilled`` with 143 is a run that ended otherwise after one of its children had been killed, and 137 with
        ``Error`` is a kill by somebody else (a failing liveness probe, the grace period).
        """
        return self.reason == "OOMKilled" and self.exit_code == 137

    @property
    def known(self) -> bool:
        """Whether how it ended is known: an engine that has forgotten says neither that it was killed nor that not."""
        return self.reason != FORGOTTEN

    @property
    def seconds(self) -> float | None:
        """How long that run lived."""
        return (self.finished - self.started).total_seconds() if self.started and self.finished else None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for and may use; None: no bound."""

    memory_request: int | None
    memory_limit: int | None
    cpu_request: float | None
    cpu_limit: float | None


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod: its bounds, how often it restarted, how it is and how it ended last."""

    name: str
    image: str
    resources: Resources
    restarts: int
    ready: bool
    started: datetime | None
    """Since when it runs; None while it does not."""
    waiting: str
    """Why it does not run, such as ``CrashLoopBackOff``; empty while it runs."""
    last: End | None
    """How the run before this one ended; or this one, where it ended just now."""
    id: str
    """``containerd://…``; where a container keeps its id over its runs (Docker), with ``#`` and the run's number."""

    @property
    def group(self) -> str:
        """The id by which its control group is named."""
        return self.id.rpartition("/")[2].partition("#")[0]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. ``reason``: why it failed, such as ``Evicted``; ``scrape``: where its metrics are, if it says so."""

    namespace: str
    name: str
    uid: str
    owner: str
    node: str
    phase: str
    reason: str
    message: str
    created: datetime | None
    qos: str
    unschedulable: str
    containers: tuple[Container, ...]
    scrape: str
    version: str = ""

    @property
    def ready(self) -> bool:
        """Whether every container is ready."""
        return bool(self.containers) and all(container.ready for container in self.containers)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a component of the cluster reported about an object."""

    reason: str
    kind: str
    name: str
    message: str
    count: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a deployment, which is a replica set: what its pods are made of."""

    number: int
    name: str
    created: datetime | None
    replicas: int
    images: Mapping[str, str]
    resources: Mapping[str, Resources]
    settings: Mapping[str, str]
    """``container/NAME`` → value of plain variables, and ``container/arguments``; references are not read."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The deployment or stateful set in question."""

    kind: str
    name: str
    wanted: int
    ready: int
    selector: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A horizontal pod autoscaler of the workload; ``version`` is the API version that it was read in.

    ``hindrance``: why it cannot scale, such as a metric that it cannot read; empty where it can.
    """

    version: str
    least: int
    most: int
    current: int
    desired: int
    hindrance: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node: what pods may use of it, and which of its conditions are bad."""

    name: str
    memory: int | None
    cpu: float | None
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory (working set) and processor use of a container at an instant, from the metrics API."""

    pod: str
    container: str
    at: datetime | None
    memory: int
    cpu: float


def pod(given: Any) -> Pod:
    """Return a pod of the client as one of ours."""
    meta, spec, status = given.metadata, given.spec, given.status
    states = {state.name: state for state in (status.containerStatuses or ())} if status else {}
    conditions = (status.conditions or ()) if status else ()
    stuck = next((c.message or c.reason for c in conditions if c.type == "PodScheduled" and c.status == "False"), "")
    owner = next((o.name for o in meta.ownerReferences or () if o.controller), "")
    return Pod(
        namespace=meta.namespace or "", name=meta.name or "", uid=meta.uid or "", owner=owner,
        node=spec.nodeName or "", phase=(status.phase if status else "") or "",
        reason=(status.reason if status else "") or "", message=(status.message if status else "") or "",
        created=utc(meta.creationTimestamp), qos=(status.qosClass if status else "") or "", unschedulable=stuck or "",
        containers=tuple(_container(one, states.get(one.name)) for one in spec.containers),
        scrape=scrape(meta.annotations or {}, (status.podIP if status else "") or ""),
        version=meta.resourceVersion or "",
    )  # fmt: skip


def _container(spec: Any, status: Any) -> Container:
    found = resources(spec.resources)
    if status is None:
        return Container(spec.name, spec.image or "", found, 0, False, None, "", None, "")
    in_force = resources(getattr(status, "resources", None))
    if in_force.memory_limit is not None:
        found = in_force  # resized in place: what is in force can differ from what the pod was made with
    state, last = status.state, status.lastState
    ended = (state.terminated if state else None) or (last.terminated if last else None)
    running = state.running if state else None
    waiting = (state.waiting.reason or "waiting") if state and state.waiting else ""
    if state and state.terminated:
        waiting = state.terminated.reason or "ended"
    return Container(
        spec.name, status.image or spec.image or "", found, status.restartCount or 0, bool(status.ready),
        utc(running.startedAt) if running else None, waiting, _end(ended), status.containerID or "",
    )  # fmt: skip


def _end(given: Any) -> End | None:
    if given is None:
        return None
    return End(given.reason or "", given.exitCode, utc(given.startedAt), utc(given.finishedAt), given.containerID or "")


def resources(given: Any) -> Resources:
    """Return the bounds of a container."""
    limits, requests = (given.limits or {}, given.requests or {}) if given else ({}, {})
    return Resources(
        _bytes(requests.get("memory")), _bytes(limits.get("memory")), _cores(requests.get("cpu")),
        _cores(limits.get("cpu")),
    )  # fmt: skip


def scrape(annotations: Mapping[str, str], address: str) -> str:
    """Return where a pod says that its metrics are, by the annotations that Prometheus' usual configuration reads."""
    if annotations.get(f"{SCRAPE}scrape") != "true" or not address:
        return ""
    port = annotations.get(f"{SCRAPE}port", "80")
    path = annotations.get(f"{SCRAPE}path", "/metrics")
    host = f"[{address}]" if ":" in address else address
    return f"{annotations.get(f'{SCRAPE}scheme', 'http')}://{host}:{port}{path}"


def event(given: Any) -> Event:
    """Return an event; the scheduler's carry one time only, and no count."""
    at = utc(given.eventTime)
    series = given.series.count if given.series else None
    return Event(
        given.reason or "", given.involvedObject.kind or "", given.involvedObject.name or "", given.message or "",
        given.count or series or 1, utc(given.firstTimestamp) or at,
        utc(given.lastTimestamp) or (utc(given.series.lastObservedTime) if given.series else None) or at,
    )  # fmt: skip


def revision(given: Any) -> Revision | None:
    """Return a replica set as a revision; None where it belongs to no deployment."""
    number = (given.metadata.annotations or {}).get(REVISION, "")
    if not number.isdigit():
        return None
    template = given.spec.template.spec
    settings: dict[str, str] = {}
    for one in template.containers:
        settings |= {f"{one.name}/{v.name}": v.value for v in one.env or () if v.value is not None}
        words = [*(one.command or ()), *(one.args or ())]
        if words:
            settings[f"{one.name}/arguments"] = " ".join(words)
    return Revision(
        int(number), given.metadata.name, utc(given.metadata.creationTimestamp), given.spec.replicas or 0,
        {one.name: one.image or "" for one in template.containers},
        {one.name: resources(one.resources) for one in template.containers}, settings,
    )  # fmt: skip


def autoscaler(given: Any, version: str) -> Autoscaler:
    """Return an autoscaler; version 1 keeps its conditions as JSON in an annotation."""
    spec, state = given.spec, given.status
    current, desired = (state.currentReplicas, state.desiredReplicas) if state else (0, 0)
    conditions = [(c.type, c.status, c.message) for c in getattr(state, "conditions", None) or ()]
    written = (given.metadata.annotations or {}).get(CONDITIONS, "")
    if written:
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            conditions += [(c.get("type"), c.get("status"), c.get("message")) for c in json.loads(written)]
    stuck = [m or t for t, status, m in conditions if t in ("AbleToScale", "ScalingActive") and status == "False"]
    least = 1 if spec.minReplicas is None else spec.minReplicas
    return Autoscaler(version, least, spec.maxReplicas, current or 0, desired or 0, stuck[0] if stuck else "")


def node(given: Any) -> Node:
    """Return a node."""
    free = (given.status.allocatable or {}) if given.status else {}
    bad = []
    for condition in (given.status.conditions or ()) if given.status else ():
        if (condition.status == "True") != (condition.type == "Ready"):
            bad.append(condition.type)
    return Node(given.metadata.name, _bytes(free.get("memory")), _cores(free.get("cpu")), tuple(bad))


def utc(given: datetime | None) -> datetime | None:
    """Return a time in UTC."""
    return given.astimezone(UTC) if given is not None else None


def _bytes(text: str | None) -> int | None:
    return None if text is None else int(quantity(text))


def _cores(text: str | None) -> float | None:
    return None if text is None else quantity(text)


def quantity(text: str) -> float:
    """Return a quantity such as ``128Mi``, ``500m`` or ``1e3`` as a number; NaN if it is none."""
    from lightkube.utils.quantity import parse_quantity

    small = {"n": 1e-9, "u": 1e-6}.get(text[-1:], 1.0)  # the metrics API counts in billionths, which lightkube cannot
    try:
        found = parse_quantity(text if small == 1.0 else text[:-1])
    except ValueError:
        return float("nan")
    return float(found) * small if found is not None else float("nan")
