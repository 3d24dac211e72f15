"""Probes of a Kubernetes workload: how its containers ended, what was rolled out, what they did before they died."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.cgroups import Cgroups
from sickbay.sources.containers import Containers
from sickbay.sources.kubernetes import Kubernetes
from sickbay.sources.kubernetes_objects import Container, Pod, Revision
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence, LogLines, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SURE, CLEAR, LIKELY = 4.2, 3.0, 1.8
RECENT_DAYS = 3.0
"""A roll-out older than this does not explain what began lately."""
MIB = 2**20

KILLED = FindingKind("pods.oom_killed", says="Containers of the workload were killed at their memory limit.", leak=0.01)
EVICTED = FindingKind("pods.evicted", says="Pods were evicted because their node ran short of memory.", leak=0.02)
OTHERWISE = FindingKind(
    "pods.ended_otherwise", says="Containers ended by something else than their memory limit.", leak=0.1
)


@probe(findings=[KILLED, EVICTED, OTHERWISE], seconds=0.5, deadline=20)
def state(runtime: Kubernetes | Containers, cgroups: Cgroups | None) -> Iterable[Finding]:
    """Reads how the containers of the workload are and how they ended; on their node also killed children."""
    pods = runtime.pods()
    if not pods:
        raise SourceError(f"no data: there are no pods of {runtime.about}")
    containers = [(pod, one) for pod in pods for one in pod.containers]
    killed = [(pod, one) for pod, one in containers if one.last and one.last.out_of_memory]
    children = _child_kills(containers, cgroups)
    table = Rows(
        ("pod", "restarts", "now", "last end", "lived", "limit"),
        tuple(_row(pod, one) for pod, one in containers[:20]), "Containers",
    )  # fmt: skip
    strangers = _strangers(runtime, pods)
    evidence = Evidence(
        {"killed": len(killed), "killed_children": sum(children.values()), "pods": len(pods), "strangers": strangers},
        [table],
    )
    if killed or children:
        restarts = sum(one.restarts for _, one in killed)
        says = f"{len(killed)} of {len(containers)} containers ended as OOMKilled with 137 ({restarts} restarts)"
        if children:
            says += f"; the kernel killed {sum(children.values())} child processes in containers that went on"
        yield measured(KILLED, SURE, statistic=float(len(killed) + len(children)), says=f"{says}.", evidence=evidence)
    elif forgotten := sum(one.last is not None and not one.last.known for _, one in containers):
        why = f"no data: {forgotten} of {len(containers)} containers began anew, and how they ended is no longer known"
        yield unknown(KILLED, why, evidence=evidence)
    else:
        says = f"None of {len(containers)} containers of {runtime.about} was killed at its limit"
        if strangers:
            says += f"; killed were others of the namespace: {', '.join(strangers[:3])}"
        yield measured(KILLED, -CLEAR if cgroups else -LIKELY - 0.7, statistic=0.0, says=f"{says}.", evidence=evidence)
    evicted = [pod for pod in pods if pod.reason == "Evicted" and "memory" in pod.message]
    said = evicted[0].message[:200] if evicted else "No pod of it was evicted."
    yield measured(EVICTED, SURE if evicted else -CLEAR, statistic=float(len(evicted)), says=said)
    other = [(p, c) for p, c in containers if c.last and not c.last.out_of_memory and c.last.exit_code]
    told = "; ".join(f"{p.name}: {c.last.reason} ({c.last.exit_code})" for p, c in other[:3] if c.last)
    yield measured(OTHERWISE, LIKELY if other else -LIKELY, statistic=float(len(other)), says=told or "No such end.")


def _child_kills(containers: list[tuple[Pod, Container]], cgroups: Cgroups | None) -> dict[str, int]:
    """Return pod → kills that the kernel counts in a running container: workers that died while the container lived."""
    if cgroups is None:
        return {}
    by_id = {one.group: pod.name for pod, one in containers if one.id and not one.waiting}
    found = {}
    for identity, group in cgroups.find(*by_id).items():
        try:
            kills = cgroups.memory(group).kills
        except SourceError:
            continue
        if kills:
            found[by_id[identity]] = kills
    return found


def _strangers(runtime: Kubernetes | Containers, mine: list[Pod]) -> list[str]:
    """Return the names of other pods of the namespace that were killed: not to be mistaken for this workload's."""
    names = {pod.name for pod in mine}
    return [
        pod.name for pod in runtime.neighbours()
        if pod.name not in names and any(c.last and c.last.out_of_memory for c in pod.containers)
    ]  # fmt: skip


def _row(pod: Pod, one: Container) -> tuple[str | int | None, ...]:
    last, limit = one.last, one.resources.memory_limit
    lived = f"{last.seconds:.0f} s" if last and last.seconds is not None else ""
    bound = f"{limit / MIB:.0f} MiB" if limit else "none"
    ended = f"{last.reason} ({last.exit_code})" if last else ""
    return pod.name, one.restarts, one.waiting or "running", ended, lived, bound


LOWERED = FindingKind(
    "pods.limit_lowered", says="The newest roll-out lowered the memory limit.", leak=0.02, group="pods.limit_change"
)
FIRST = FindingKind(
    "pods.first_revision", says="The workload is new: no earlier revision ever ran within a limit.", leak=0.05
)
MULTIPLIED = FindingKind(
    "pods.model_or_workers_changed",
    says="The newest roll-out brought another model, or more workers that each load it.",
    leak=0.06,
)
RELEASED = FindingKind("pods.release_changed", says="The newest roll-out brought another image.", leak=0.15)
MODEL = re.compile(r"model|artifact|weights|checkpoint|embedding", re.I)
WORKERS = re.compile(r"worker|concurrency|processes|replicas_per|threads", re.I)


@probe(findings=[LOWERED, FIRST, MULTIPLIED, RELEASED], seconds=0.3, deadline=20)
def rollout(kubernetes: Kubernetes) -> Iterable[Finding | Change]:
    """Compares the newest revision of the deployment with the one before it: limits, image, model, workers."""
    revisions = kubernetes.revisions()
    if not revisions:
        raise SourceError("no data: the deployment has no revisions")
    running = [one for one in revisions if one.replicas] or revisions
    new = running[-1]
    older = [one for one in revisions if one.number < new.number]
    days = _age(new, kubernetes.now)
    if days is None:
        raise SourceError(f"no data: the revision {new.number} has no time of creation")
    recent = days <= RECENT_DAYS
    when = f"revision {new.number}, {_ago(days)}"
    yield measured(
        FIRST, CLEAR if recent and not older else -CLEAR, statistic=float(len(older)),
        says=f"The running one is {when}; there are {len(older)} before it.",
    )  # fmt: skip
    if not older:
        for kind in (LOWERED, MULTIPLIED, RELEASED):
            yield unknown(kind, "no data: there is no earlier revision to compare with")
        return
    yield from _compare(older[-1], new, recent, when)


def _compare(old: Revision, new: Revision, recent: bool, when: str) -> Iterable[Finding | Change]:
    ratio, says = _limits(old, new)
    lowered = SURE if ratio < 0.85 else LIKELY if ratio < 0.97 else -CLEAR
    yield measured(LOWERED, lowered if recent else -CLEAR, statistic=ratio, says=f"{says} ({when}).")
    changed = {k for k in old.settings.keys() | new.settings.keys() if old.settings.get(k) != new.settings.get(k)}
    model = sorted(k for k in changed if MODEL.search(k.rpartition("/")[2]))
    more = sorted(k for k in changed if WORKERS.search(k.rpartition("/")[2]) and _grew(old.settings, new.settings, k))
    names = ", ".join(name.rpartition("/")[2] for name in (*model, *more))
    yield measured(
        MULTIPLIED, CLEAR if recent and names else -CLEAR, statistic=float(len(model) + len(more)),
        says=f"Changed: {names} ({when})." if names else f"Model and workers are as before ({when}).",
    )  # fmt: skip
    images = sorted(name for name in new.images if old.images.get(name) != new.images[name])
    told = ", ".join(f"{old.images.get(name, 'none')} → {new.images[name]}" for name in images)
    yield measured(
        RELEASED, CLEAR if recent and images else -CLEAR, statistic=float(len(images)),
        says=f"{told} ({when})." if images else f"The image is as before ({when}).",
    )  # fmt: skip
    if recent and new.created is not None:
        if names:
            yield Change("model-version" if model else "config", new.created, names, when)
        if images:
            yield Change("deploy", new.created, new.name, told)
        if ratio < 0.97:
            yield Change("config", new.created, "memory limit", says)


def _limits(old: Revision, new: Revision) -> tuple[float, str]:
    """Return the smallest ratio of a container's new limit to its old one, and what was changed, in words."""
    worst, says = 1.0, "Memory limits are as before"
    for name, now in new.resources.items():
        before = old.resources.get(name)
        after = now.memory_limit
        if before is None or after is None or before.memory_limit == after:
            continue
        was = before.memory_limit
        ratio = after / was if was else 0.5  # none before: any limit is lower
        told = f"{name}: {was / MIB:.0f} MiB" if was else f"{name}: no limit"
        if ratio < worst or worst == 1.0:
            worst, says = ratio, f"{told} → {after / MIB:.0f} MiB"
    return worst, says


def _grew(old: Mapping[str, str], new: Mapping[str, str], name: str) -> bool:
    before, after = (_largest(given.get(name, "1")) for given in (old, new))
    return after > before


def _largest(text: str) -> float:
    return max((float(part) for part in re.findall(r"\d+(?:\.\d+)?", text)), default=1.0)


def _age(revision: Revision, now: datetime) -> float | None:
    return (now - revision.created).total_seconds() / 86_400 if revision.created else None


def _ago(days: float) -> str:
    return (
        f"{days:.0f} days old" if days >= 2 else f"{days * 24:.0f} hours old" if days > 0.1 else "rolled out just now"
    )


UNSERVED = FindingKind(
    "pods.killed_before_serving", says="Containers were killed before they answered a request.", leak=0.03
)
ANSWERED = re.compile(r"\b(GET|POST|PUT|PATCH)\b \S+.*\b[1-5]\d\d\b")
FEW, MANY = 2, 12
"""Requests of a life below which it hardly served, and above which it did."""


@probe(findings=[UNSERVED], seconds=0.4, deadline=20)
def last_words(runtime: Kubernetes | Containers) -> Iterable[Finding]:
    """Reads the log of the run before, where the kernel ended it, and counts the requests that it had answered."""
    served, shown = [], []
    for pod in runtime.pods()[:8]:
        for one in pod.containers:
            if not (one.last and one.last.out_of_memory):
                continue
            lines = runtime.log(pod.name, one.name, previous=bool(one.started)) or []
            if not lines and not one.started:
                lines = runtime.log(pod.name, one.name) or []
            if lines:
                served.append(sum(1 for line in lines if ANSWERED.search(line)))
                shown.append(f"{pod.name}: {lines[-1][:160]}")
    if not served:
        raise SourceError("no data: there is no log of a run that was killed")
    least, most = min(served), max(served)
    evidence = Evidence({"served": served}, [LogLines(tuple(shown[:6]), "Last words")])
    says = f"The runs that were killed had answered {least} to {most} requests."
    ratio = CLEAR if most == 0 else LIKELY if most <= FEW else -CLEAR if least > MANY else -1.0
    yield measured(UNSERVED, ratio, statistic=float(most), says=says, evidence=evidence)
