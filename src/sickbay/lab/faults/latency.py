"""Makes a model server slow: by a release whose code or settings are bad, by limits around it, by the way to others."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

from sickbay.lab.systems import limits
from sickbay.lab.systems.model_server import KEPT, PROGRAMS, python
from sickbay.lab.systems.processes import LabError, wait_until
from sickbay.lab.systems.serving import Serving
from sickbay.registry import fault


def _between(low: float, high: float, strength: float) -> int:
    return round(low + (high - low) * strength)


@contextlib.contextmanager
def _released(system: Serving, change: str, **settings: object) -> Iterator[None]:
    """Deploy a release; the one before it comes back at the end."""
    try:
        system.server.deploy(change, {name: str(value) for name, value in settings.items()})
        yield
    finally:
        system.server.deploy()


@contextlib.contextmanager
def _limited(system: Serving, group: limits.Group) -> Iterator[None]:
    """Put the server and what it starts into a control group, until the end."""
    try:
        if system.server.server is None:
            raise LabError("the model server is stopped")
        group.add(system.server.server.pid, system.server.worker().pid)
        yield
    finally:
        group.remove()


@contextlib.contextmanager
def _squeezed(system: Serving, mapped: str, margin: float, change: str, **settings: object) -> Iterator[None]:
    """Deploy a release that maps a file, and leave it hardly more memory than what it holds besides the file."""
    supervisor = system.server.server
    if supervisor is None:
        raise LabError("the model server is stopped")
    group = limits.memory("memory", 2**31)
    try:
        group.add(supervisor.pid)
        with (system.directory / "model" / mapped).open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that its pages count for the group
        with _released(system, change, **settings):
            for customer in range(3):
                system.server.predict(customer=customer)
            group.limit(int(group.anonymous() + margin * 1e6))
            yield
            group.limit(2**31)  # so that the next worker has room to start
    finally:
        group.remove()


@fault(produces="blocking-io", system="serving", shows_within=5)
def call_in_the_loop(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that calls the risk service with a synchronous client, in the event loop."""
    with _released(system, "risk_in_the_open", RISK_MERCHANTS=_between(12, 28, strength)):
        yield


@fault(produces="blocking-io", system="serving", shows_within=5)
def query_in_the_loop(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that queries the database with a synchronous driver, in the event loop."""
    with _released(system, "db_in_the_open", NEIGHBOURS=_between(3, 5, strength)):
        yield


@fault(produces="connection-pool-exhausted", system="serving", shows_within=5)
def hold_connections(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that keeps a connection while it calls another service, with a small pool."""
    with _released(system, "pool_held", DB_POOL_SIZE=1, CHECKS=_between(10, 18, strength)):
        yield


@fault(produces="connection-pool-exhausted", system="serving", shows_within=10)
def lose_connections(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that does not give connections back for new customers, until one is left."""
    settings = {"DB_POOL_SIZE": 4, "NEW_CUSTOMERS": 2, "LOOK_MS": _between(100, 150, strength)}
    with _released(system, "pool_lost", **settings):
        for customer in range(0, 12, 2):
            system.server.predict(customer=customer, rows=4)
        yield


@fault(produces="network-latency", system="serving")
def delay_risk(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Slows the line to the risk service: every message takes its time, each way."""
    system.to_risk.set("slow", delay=0.06 + 0.25 * strength)
    yield
    system.to_risk.set("pass")


@fault(produces="network-latency", system="serving")
def delay_database(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Slows the line to the database: every message takes its time, each way."""
    system.to_database.set("slow", delay=0.06 + 0.2 * strength)
    yield
    system.to_database.set("pass")


@fault(produces="inefficient-algorithm", system="serving", shows_within=5)
def compare_pairs(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases features that compare every event of a request with every other."""
    with _released(system, "features_pairs", PASSES=_between(300, 700, strength)):
        yield


@fault(produces="feature-computation-bottleneck", system="serving", shows_within=5)
def compute_words(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases features that take a hundred times the time for each event."""
    with _released(system, "features_rows", WORDS=_between(100, 220, strength)):
        yield


@fault(produces="inefficient-inference", system="serving", shows_within=5)
def score_row_by_row(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that asks the model for one row at a time."""
    with _released(system, "inference_rows", BATCH=_between(3, 1, strength)):
        yield


@fault(produces="inefficient-inference", system="serving", shows_within=5)
def score_many_times(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that asks the model dozens of times for each request."""
    with _released(system, "inference_many", DRAWS=_between(18, 45, strength)):
        yield


@fault(produces="memory-leak", system="serving", shows_within=25)
def keep_every_event(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that keeps what it has seen and looks through all of it each time."""
    with _released(system, "history_lists", SEEN=_between(100, 200, strength)):

        def slow() -> bool:
            return sorted(system.server.predict() for _ in range(3))[1] > 0.17

        wait_until(slow, 60, "the server becoming slow", system.server.server)
        yield


@fault(produces="memory-pressure", system="serving", shows_within=10)
def collect_garbage(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that keeps much and has the garbage collector walk over it in each request."""
    with _released(system, "collect", KEPT=_between(150, 350, strength)):
        yield


@fault(produces="memory-pressure", system="serving", shows_within=10)
def leave_no_memory(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Leaves the server little more memory than it needs for itself, so that mapped files are read again and again."""
    with _squeezed(system, "history.bin", 12, "maps_history", PLACES=_between(3000, 5000, strength)):
        yield


@fault(produces="model-swapping", system="serving", shows_within=10)
def load_models_in_turn(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases code that serves several models and has room for one: each request loads another."""
    _regions(system, 3, _between(70, 130, strength), seed)
    with _released(system, "models_in_turn", REGIONS=3):
        yield


@fault(produces="model-swapping", system="serving", shows_within=10)
def map_large_model(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a model with a table that is mapped, larger than the memory that the server may use."""
    _embeddings(system, seed)
    with _squeezed(system, "embeddings.npy", 30, "large_model", LOOKED_UP=_between(35, 80, strength)):
        yield


@fault(produces="cold-start", system="serving", shows_within=10)
def recycle_workers(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a setting that ends a worker after a few requests, and a model that is loaded when first needed."""
    with _released(system, "lazy", MAX_REQUESTS=_between(14, 8, strength), TRIALS=_between(1, 3, strength)):
        yield


@fault(produces="cpu-throttling", system="serving", shows_within=5)
def limit_cpu(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Gives the server a small quota of processor time; the kernel holds it back when it is used up."""
    with _limited(system, limits.cpu("cpu", 0.06 - 0.02 * strength)):
        yield


@fault(produces="storage-io-bottleneck", system="serving", shows_within=5)
def limit_reads(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the server read little a second from its disk, as a volume whose credit is used up does."""
    with _limited(system, limits.reads("reads", system.directory, int(700_000 - 250_000 * strength))):
        yield


@fault(produces="", system="serving")
def send_slowly(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Lets one client send its request a byte at a time; nobody else has to wait for it."""
    ended = threading.Event()
    thread = threading.Thread(target=_drip, args=(system.server.port, ended), daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join(5)


@fault(produces="", system="serving")
def raise_load(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Sends up to three times the requests, as at a planned peak; the server can take them."""
    if system.load is None:
        raise LabError("nothing asks the server")
    system.load.set(rate=system.load.rate * (1.3 + 1.5 * strength))
    yield
    system.load.set()


@fault(produces="", system="serving")
def deploy_again(system: Serving, *, seed: int, strength: float) -> Iterator[None]:
    """Deploys the same code once more, warms it up, and lets it serve."""
    system.server.deploy()
    for customer in range(20):
        system.server.predict(customer=customer)
    yield


def _drip(port: int, ended: threading.Event) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"
    while not ended.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(head)
            for _ in range(380):
                line.sendall(b" ")
                if ended.wait(0.05):
                    return


def _regions(system: Serving, models: int, megabytes: int, seed: int) -> None:
    """Write a model for each region: the model and a table of its own."""
    _program(system, "regions.py", str(models), str(megabytes), str(seed))


def _embeddings(system: Serving, seed: int) -> None:
    """Write the table of embeddings of the large model, 200 MB."""
    _program(system, "embeddings.py", str(200), str(seed))


def _program(system: Serving, name: str, *arguments: str) -> None:
    place = system.directory / "model"
    done = subprocess.run(
        [python(), PROGRAMS / "serving" / name, place, *arguments], env=KEPT | {"PATH": ""}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"{name} failed: {done.stderr.strip()[-300:]}")
