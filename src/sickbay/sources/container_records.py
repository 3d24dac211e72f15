"""What Docker and a CRI say of a container, as the pods that Kubernetes would show: one container a pod."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sickbay.errors import SourceGarbled
from sickbay.sources.kubernetes_objects import FORGOTTEN, Container, End, Pod, Resources, scrape

KILLED = 137
POD = "io.kubernetes.pod.name"
"""The label by which a CRI knows the pod of a container."""


def docker_pod(given: Mapping[str, Any], events: Iterable[Mapping[str, Any]], node: str) -> Pod:
    """Return a container as ``GET /containers/ID/json`` describes it (Docker's API 1.24 and later).

    How its last run ended comes from the engine's events: the state of a container that runs again keeps
    ``OOMKilled`` of an earlier run, and has lost the exit code. A run keeps the container's id, so its number is added.
    """
    try:
        state, host, config = given["State"], given.get("HostConfig") or {}, given.get("Config") or {}
        identity, restarts = str(given["Id"]), int(given.get("RestartCount") or 0)
        status, started = str(state["Status"]), _time(state.get("StartedAt"))
        running = status == "running"
        health = str((state.get("Health") or {}).get("Status") or "healthy")
        quota, period = int(host.get("CpuQuota") or 0), int(host.get("CpuPeriod") or 100_000)
        cores = int(host.get("NanoCpus") or 0) / 1e9 or (quota / period if quota > 0 else None)
        limits = Resources(int(host.get("MemoryReservation") or 0) or None, int(host.get("Memory") or 0) or None,
                           None, cores or None)  # fmt: skip
        ends = list(_ends(events, identity))
        last = ends[-1] if ends else _last(state, identity, restarts)
        if last is not None:
            number = restarts - 1 if status in ("running", "restarting") else restarts
            last = End(last.reason, last.exit_code, last.started, last.finished, f"docker://{identity}#{number}")
        container = Container(
            str(given["Name"]).lstrip("/"), str(config.get("Image", "")), limits, restarts,
            running and health == "healthy", started if running else None, "" if running else status, last,
            f"docker://{identity}#{restarts}",
        )  # fmt: skip
        return _pod(container, identity, node, _time(given.get("Created")), _scraped(given, config, host))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceGarbled(f"a container is not as Docker describes one: {error}") from None


def cri_pod(given: Mapping[str, Any], node: str) -> Pod:
    """Return a container as ``crictl inspect`` describes it; each run is a container with an id of its own."""
    try:
        status = given["status"]
        meta, linux = status["metadata"], (status.get("resources") or {}).get("linux") or {}
        state = str(status["state"]).removeprefix("CONTAINER_").lower()
        running, identity = state == "running", str(status["id"])
        started, finished = _time(status.get("startedAt")), _time(status.get("finishedAt"))
        last = None
        if finished is not None and not running:
            reason, code = str(status.get("reason") or ""), int(status.get("exitCode") or 0)
            last = End(reason, code, started, finished, f"containerd://{identity}")
        quota, period = int(linux.get("cpuQuota") or 0), int(linux.get("cpuPeriod") or 100_000)
        limit = int(linux.get("memoryLimitInBytes") or 0) or None
        container = Container(
            str(meta["name"]), str((status.get("image") or {}).get("image", "")),
            Resources(None, limit, None, quota / period if quota > 0 else None), int(meta.get("attempt") or 0), running,
            started if running else None, "" if running else state, last, f"containerd://{identity}",
        )  # fmt: skip
        name = str((status.get("labels") or {}).get(POD) or meta["name"])
        return _pod(container, identity, node, _time(status.get("createdAt")), "", name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceGarbled(f"a container is not as a CRI describes one: {error}") from None


def newest_runs(pods: Iterable[Pod]) -> list[Pod]:
    """Return, of the runs that a CRI keeps of a container, the newest, with the end of the one before it."""
    runs: dict[tuple[str, str], list[Pod]] = {}
    for pod in pods:
        runs.setdefault((pod.name, pod.containers[0].name), []).append(pod)
    found = []
    for held in runs.values():
        *older, newest = sorted(held, key=lambda pod: pod.containers[0].restarts)
        (container,) = newest.containers
        if container.last is None and older:
            last = older[-1].containers[0].last
            container = Container(
                container.name, container.image, container.resources, container.restarts, container.ready,
                container.started, container.waiting, last, container.id,
            )  # fmt: skip
        found.append(_pod(container, newest.uid, newest.node, newest.created, newest.scrape, newest.name))
    return found


def _pod(container: Container, uid: str, node: str, created: datetime | None, metrics: str, name: str = "") -> Pod:
    return Pod(
        namespace="", name=name or container.name, uid=uid, owner="", node=node, phase=container.waiting or "running",
        reason="", message="", created=created, qos="", unschedulable="", containers=(container,), scrape=metrics,
    )  # fmt: skip


def _ends(events: Iterable[Mapping[str, Any]], identity: str) -> Iterable[End]:
    """Yield how the runs of a container ended: a kill at its limit is an ``oom`` before a ``die`` with 137."""
    began, short = None, False
    for one in events:
        actor = one.get("Actor") or {}
        if str(actor.get("ID", "")) != identity:
            continue
        at = datetime.fromtimestamp(int(one["timeNano"]) / 1e9, UTC)
        what = one.get("Action")
        if what == "start":
            began, short = at, False
        elif what == "oom":
            short = True
        elif what == "die":
            code = int((actor.get("Attributes") or {}).get("exitCode", 0))
            reason = "OOMKilled" if short and code == KILLED else "Completed" if code == 0 else "Error"
            yield End(reason, code, began, at)


def _last(state: Mapping[str, Any], identity: str, restarts: int) -> End | None:
    """Return how it ended from its state alone, where the engine has no events of it any more."""
    finished = _time(state.get("FinishedAt"))
    if finished is None:
        return None
    killed, code = bool(state.get("OOMKilled")), int(state.get("ExitCode") or 0)
    if str(state["Status"]) in ("exited", "dead", "restarting"):
        reason = "OOMKilled" if killed and code == KILLED else "Completed" if code == 0 else "Error"
        return End(reason, code, _time(state.get("StartedAt")), finished, identity)
    if restarts and killed:
        return End("OOMKilled", KILLED, None, finished, identity)
    return End(FORGOTTEN, 0, None, finished, identity)


def _scraped(given: Mapping[str, Any], config: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    networks = ((given.get("NetworkSettings") or {}).get("Networks") or {}).values()
    own = next((str(one.get("IPAddress")) for one in networks if one and one.get("IPAddress")), "")
    address = "127.0.0.1" if str(host.get("NetworkMode", "")) == "host" else own
    return scrape(config.get("Labels") or {}, address)


def _time(text: Any) -> datetime | None:
    """Return an instant; the year 1 of Go means none."""
    if not isinstance(text, str) or text.startswith(("0001", "1970-01-01T00:00:00Z")) or not text:
        return None
    whole, dot, rest = text.replace("Z", "+00:00").partition(".")
    if dot:  # nanoseconds are more than Python reads
        digits = re.match(r"\d*", rest)
        count = len(digits[0]) if digits else 0
        whole = f"{whole}.{rest[:count][:6]:0<6}{rest[count:]}"
    return datetime.fromisoformat(whole).astimezone(UTC)
