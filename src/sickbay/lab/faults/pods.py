"""Breaks model serving until its pods are killed for memory; each for real, each undone by the healthy deployment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from sickbay.lab.systems.pods import MIB, MODEL_MB, Pods
from sickbay.registry import fault

EATER = "import time\nheld=[]\nwhile True:\n held.append(bytearray(4_000_000)); time.sleep(0.05)"


def _between(strength: float, low: float, high: float) -> float:
    return low + strength * (high - low)


@fault(produces="memory-leak", system="pods")
def keep_every_request(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a version that keeps each request's inputs for a report of the day."""
    kept = int(_between(strength, 2_500_000, 4_500_000))
    image = system.image(f"models/scorer:1.5.{seed % 7}", "audit_trail:audit")
    (system.images[image] / "trail.py").write_text(f"ENTRY = {kept}\n", encoding="utf-8")
    system.roll_out(system.template.changed(image=image))
    system.wait_for_kill()
    yield


@fault(produces="memory-leak", system="pods")
def stop_the_audit(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Stops the audit service, so that what waits to be sent to it grows with time."""
    system.sink.closed = True
    system.wait_for_kill()
    yield


@fault(produces="traffic-increase", system="pods")
def send_more(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the clients send several times as many requests; replicas stay as they are."""
    system.ask(rate=round(8 * _between(strength, 6, 9), 1))
    system.wait_for_kill()
    yield


@fault(produces="large-artifact", system="pods")
def release_larger_model(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a model several times as large."""
    megabytes = round(_between(strength, MODEL_MB + 145, MODEL_MB + 175))
    system.roll_out(system.template.changed(settings={"MODEL_URI": system.model(7 + seed % 90, megabytes)}))
    system.wait_for_kill()
    yield


@fault(produces="large-artifact", system="pods")
def add_workers(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Raises the number of worker processes in each pod, each of which loads the model."""
    system.roll_out(system.template.changed(settings={"WORKERS": str(3 if strength < 0.6 else 4)}))
    system.wait_for_kill()
    yield


@fault(produces="preprocessing-spike", system="pods")
def send_huge_batches(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Lets some clients send batches of ten thousands of payments in one request."""
    rows = round(_between(strength, 24_000, 40_000))
    system.ask(large_share=0.06, large_rows=rows)
    system.wait_for_kill()
    yield


@fault(produces="preprocessing-spike", system="pods")
def release_wide_features(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a version that makes one wide table of a whole batch, copied twice."""
    system.ask(large_share=0.08, large_rows=round(_between(strength, 4000, 6000)))
    time.sleep(4.0)  # large batches had always been sent: the old version bears them
    image = system.image(f"models/scorer:1.4.{2 + seed % 7}", "wide_features:features")
    system.roll_out(system.template.changed(image=image))
    system.wait_for_kill()
    yield


@fault(produces="limit-too-low", system="pods")
def lower_limit(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Rolls out a lower memory limit, and nothing else."""
    limit = round(_between(strength, 190, 172)) * MIB
    system.roll_out(system.template.changed(limit=limit, request=limit // 2))
    system.wait_for_kill()
    yield


@fault(produces="limit-too-low", system="pods")
def deploy_with_a_small_limit(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Deploys the service anew, with a limit that its working set never fitted."""
    limit = round(_between(strength, 190, 172)) * MIB
    system.roll_out(system.template.changed(limit=limit, request=limit // 2), anew=True)
    system.wait_for_kill()
    yield


@fault(produces="", system="pods")
def warm_the_cache(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Lets new customers come, whose profiles fill a cache up to its bound."""
    system.ask(customers=4000)
    yield


@fault(produces="", system="pods")
def plan_a_peak(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Lets a planned campaign bring up to half as much traffic again, which fits."""
    system.ask(rate=round(8 * _between(strength, 1.2, 1.5), 1))
    yield


@fault(produces="", system="pods")
def connect_slowly(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Lets one client send its request byte by byte, and hold the connection."""
    import socket

    pods = [pod for pod in system.kubelet.pods.values() if pod.serves]
    line = socket.create_connection(("127.0.0.1", pods[seed % len(pods)].port))
    try:
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: scorer\r\nContent-Length: 100000\r\n\r\n{")
        yield
    finally:
        line.close()


@fault(produces="", system="pods")
def kill_a_stranger(system: Pods, *, seed: int, strength: float) -> Iterator[None]:
    """Runs a job of another team in the namespace, which the kernel kills at its own limit."""
    rng = np.random.default_rng(seed)
    limit = int(rng.integers(60, 120)) * MIB
    pod = system.stranger(f"retrain-{seed % 10_000}", EATER, limit)
    end = time.monotonic() + 15
    while not pod.over and time.monotonic() < end:
        time.sleep(0.1)
    if pod.last is not None:
        system.kubelet.event(
            "Node",
            "node1",
            "SystemOOM",
            f"System OOM encountered, victim process: python, pid: {4000 + seed % 999}",
            "Warning",
        )
    yield
