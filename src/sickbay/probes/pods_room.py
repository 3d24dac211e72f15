"""Probe of the room that a workload has to grow: its autoscaler, pods that no node takes, nodes short of memory."""

from __future__ import annotations

from collections.abc import Iterable

from sickbay.errors import SourceError
from sickbay.probes.pods import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.kubernetes import Kubernetes
from sickbay.sources.kubernetes_objects import Autoscaler, Node, Pod
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

STUCK = FindingKind(
    "pods.cannot_scale_out",
    says="The autoscaler cannot add replicas.",
    leak=0.05,
)
NO_ROOM = FindingKind(
    "pods.no_room", says="Pods wait for a node that has room, or their node is short of memory.", leak=0.03
)
PRESSURE = "MemoryPressure"


@probe(findings=[STUCK, NO_ROOM], seconds=0.3, deadline=20)
def room(kubernetes: Kubernetes) -> Iterable[Finding]:
    """Reads whether more replicas could help: the autoscaler's bounds, pods that wait for a node, pressure of nodes."""
    pods = kubernetes.pods()
    if not pods:
        raise SourceError(f"no data: there are no pods of {kubernetes.about}")
    try:
        nodes, why = kubernetes.nodes(), ""
    except SourceError as error:  # a right on the whole cluster, which many sites do not give
        nodes, why = [], str(error)
    yield _no_room(pods, nodes, why)
    yield _autoscaler(kubernetes.autoscaler(), kubernetes.about)


def _autoscaler(found: Autoscaler | None, about: str) -> Finding:
    if found is None:
        return unknown(STUCK, f"not applicable: {about} has no autoscaler")
    evidence = Evidence({"least": found.least, "most": found.most, "current": found.current, "desired": found.desired})
    says = f"{found.current} of {found.least} to {found.most} replicas run, and {found.desired} are wanted."
    if found.least == found.most:
        ratio = 0.0  # it scales nothing: that it is at its most teaches nothing
    elif found.hindrance:
        ratio, says = CLEAR, f"{says} It cannot scale: {found.hindrance[:200]}"
    elif found.desired >= found.most and found.current >= found.most:
        ratio = CLEAR
    else:
        ratio = -CLEAR
    return measured(STUCK, ratio, statistic=found.desired / found.most, says=says, evidence=evidence)


def _no_room(pods: list[Pod], nodes: list[Node], why: str) -> Finding:
    waiting = [pod for pod in pods if pod.unschedulable]
    mine = {pod.node for pod in pods}
    pressed = [node.name for node in nodes if PRESSURE in node.bad and node.name in mine]
    rows = tuple((pod.name, pod.unschedulable[:160]) for pod in waiting[:10])
    evidence = Evidence(
        {"waiting": len(waiting), "nodes_pressed": pressed}, [Rows(("pod", "why"), rows, "Pods without a node")]
    )
    if waiting:
        says = f"{len(waiting)} of {len(pods)} pods wait for a node: {waiting[0].unschedulable[:160]}"
        memory = any("memory" in pod.unschedulable.lower() for pod in waiting)
        return measured(
            NO_ROOM, SURE if memory else LIKELY, statistic=float(len(waiting)), says=says, evidence=evidence
        )
    if pressed:
        says = f"The kubelet reports memory pressure on {', '.join(pressed[:3])}."
        return measured(NO_ROOM, SURE, statistic=float(len(pressed)), says=says, evidence=evidence)
    if why:
        says = f"Every pod has a node; whether the nodes are short of memory is not known ({why})."
        return measured(NO_ROOM, -LIKELY, statistic=0.0, says=says, evidence=evidence)
    says = f"Every pod has a node, and none of {len(mine)} nodes is short of memory."
    return measured(NO_ROOM, -CLEAR, statistic=0.0, says=says, evidence=evidence)
