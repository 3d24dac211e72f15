"""Breaks the machine that the nightly pipeline runs on: processes, disks, memory, pool slots; each for real."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence

import psutil

from sickbay.errors import UserError
from sickbay.lab.faults.nights import spoilt
from sickbay.lab.systems import airflow_past
from sickbay.lab.systems.nightly import NIGHTLY, RELOAD, Pipeline
from sickbay.lab.systems.processes import wait_until
from sickbay.registry import fault

LIMIT = 40_000_000
"""Bytes of address space that a task may use beyond what its worker has when it starts."""


@fault(produces="worker-node-failure", system="pipeline")
def kill_task_processes(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Kills the process of a task, each time it is tried (SIGKILL), as a machine does that goes down."""
    task = ("extract_orders", "extract_rates", "validate", "load")[seed % 4]
    system.begin()
    yield from spoilt(system, lambda: None, until=_killing(system, task, supervisor=False))


@fault(produces="worker-node-failure", system="pipeline")
def kill_worker(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Kills the worker with the task it runs: no heartbeat comes any more, no line is written."""
    task = ("extract_orders", "extract_rates")[seed % 2]
    system.begin()
    yield from spoilt(system, lambda: None, until=_killing(system, task, supervisor=True))


@fault(produces="worker-node-failure", system="pipeline")
def kill_scheduler(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Kills the scheduler with all its workers, in the middle of the night."""
    system.begin()
    scheduler = system.flow.servers["scheduler"]

    def dead() -> bool:
        if scheduler.running():
            if _running(system):
                scheduler.kill()
            return False
        return not system.flow.well()

    yield from spoilt(system, lambda: system.flow.launch("scheduler"), until=dead)


@fault(produces="storage-volume-problem", system="pipeline")
def remount_warehouse_read_only(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Makes the warehouse's volume read-only, as after an error of its disk."""
    _own_disks(system)
    place = system.warehouse
    system.begin()
    system.forget_night()  # afterwards nothing can be taken back there
    system.worker.do(f"mount -o remount,ro '{place}'")
    yield from spoilt(system, lambda: system.worker.do(f"mount -o remount,rw '{place}'"))


@fault(produces="storage-volume-problem", system="pipeline")
def unmount_warehouse(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Takes the warehouse's volume away: its directory is there, and empty."""
    _own_disks(system)
    place, aside = system.warehouse, system.directory / ".lab" / "volume"
    aside.mkdir(exist_ok=True)
    system.begin()
    system.forget_night()
    system.worker.do(f"mount --move '{place}' '{aside}'")
    yield from spoilt(system, lambda: system.worker.do(f"mount --move '{aside}' '{place}'"))


@fault(produces="resource-exhaustion", system="pipeline")
def fill_disk(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Fills the worker's scratch disk, or the warehouse's volume, to the last block."""
    _own_disks(system)
    inside = (system.staging, system.warehouse)[seed % 2]
    ballast = system.worker.outside(inside) / ("core.31337" if seed % 2 == 0 else "export.tar")
    system.begin()
    system.forget_night()  # the blocks of the night before are not to be found free by this one
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        block = bytes(1 << 20)
        for size in (len(block), 4096):
            with contextlib.suppress(OSError):
                while file.write(block[:size]):
                    pass
    yield from spoilt(system, lambda: ballast.unlink(missing_ok=True))


@fault(produces="resource-exhaustion", system="pipeline")
def limit_task_memory(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the day's orders grow a hundredfold while the workers may use no more memory than before."""
    if not hasattr(psutil.Process, "rlimit"):
        raise UserError("the memory of running workers cannot be limited here", hint="it needs Linux")
    workers = system.flow.servers["scheduler"].family()[1:]
    day = system.day
    system.begin()
    system.fill_orders(day, int(100_000 + 100_000 * strength))
    _limit(workers, LIMIT)

    def undo() -> None:
        system.fill_orders(day)
        _limit(workers, None)

    yield from spoilt(system, undo)


@fault(produces="resource-exhaustion", system="pipeline")
def hold_pool_slots(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Holds every slot of the warehouse's pool with a reload of the past: the load waits."""
    home, flow = system.flow.home, system.flow
    system.begin()
    run = f"manual__reload_{seed}"
    flow.ask(f"/dags/{RELOAD}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": {"seconds": 900, "parts": 2}})
    wait_until(lambda: _states(system, RELOAD, run, "reload").count("running") == 2, 90, "the reload holding the pool")

    def undo() -> None:
        system.give_up(RELOAD, run)
        wait_until(lambda: not _children(system, RELOAD, run), 60, "the reload ending")
        airflow_past.forget(home, RELOAD, run)

    since: list[float] = []

    def waiting() -> bool:
        if system.tasks().get("load") != "scheduled":
            return False
        since.append(time.monotonic())
        return since[-1] - since[0] > 5

    yield from spoilt(system, undo, until=waiting)


def _killing(system: Pipeline, task: str, *, supervisor: bool) -> Callable[[], bool]:
    """Return a condition that kills the task's process whenever it finds it, and holds when the run has ended."""

    def ended() -> bool:
        mine = {process.pid: process for process in system.flow.servers["scheduler"].family()}
        for pid in _running(system, task):
            if pid in mine:  # only what descends from this lab's scheduler
                with contextlib.suppress(psutil.NoSuchProcess):
                    if supervisor and (parent := mine[pid].parent()) is not None and parent.pid in mine:
                        parent.kill()
                    mine[pid].kill()
        return system.ended()

    return ended


def _running(system: Pipeline, task: str = "") -> list[int]:
    with airflow_past.opened(system.flow.home) as con:
        found = con.execute(
            "SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ? AND state = 'running' AND task_id LIKE ?",
            [NIGHTLY, system.run, task or "%"],
        )
        return [int(pid) for (pid,) in found if pid]


def _states(system: Pipeline, dag: str, run: str, task: str) -> list[str]:
    with airflow_past.opened(system.flow.home) as con:
        found = con.execute(
            "SELECT state FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?", [dag, run, task]
        )
        return [state or "" for (state,) in found]


def _children(system: Pipeline, dag: str, run: str) -> list[int]:
    """Return the processes of a run's tasks that are still there."""
    mine = {process.pid for process in system.flow.servers["scheduler"].family()}
    with airflow_past.opened(system.flow.home) as con:
        found = con.execute("SELECT pid FROM task_instance WHERE dag_id = ? AND run_id = ?", [dag, run])
        return [pid for (pid,) in found if pid in mine]


def _limit(workers: Sequence[psutil.Process], more: int | None) -> None:
    """Let workers use no more address space than now and ``more`` bytes; None: as much as before."""
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            hard = worker.rlimit(resource.RLIMIT_AS)[1]
            room = hard if more is None else worker.memory_info().vms + more
            worker.rlimit(resource.RLIMIT_AS, (room, hard))


def _own_disks(system: Pipeline) -> None:
    if not system.worker.limited:
        raise UserError("the worker has no disks of its own here", hint="it needs Linux mount namespaces")
