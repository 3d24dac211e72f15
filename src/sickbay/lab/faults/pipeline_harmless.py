"""Harmless changes of the nightly pipeline: what happens in good nights, and must not be accused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sickbay.lab.faults.nights import quiet
from sickbay.lab.systems import pipeline_code
from sickbay.lab.systems.nightly import MIN_ROWS, Pipeline
from sickbay.registry import fault


@fault(produces="", system="pipeline")
def slow_rates_api(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the partner's API take its time, within what the pipeline waits for: a slow but healthy night."""
    system.begin()
    system.behave(delay=1.0 + 2 * strength)
    yield from quiet(system, system.behave)


@fault(produces="", system="pipeline")
def fail_rates_api_once(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the partner's API refuse one request: the task is tried again and succeeds."""
    system.begin()
    system.behave(fail_first=1)
    yield from quiet(system, system.behave)


@fault(produces="", system="pipeline")
def restart_scheduler(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Restarts the scheduler after the night, as a roll-out does; it is on its way up again."""
    system.begin()
    system.flow.servers["scheduler"].stop()
    system.flow.launch("scheduler")
    yield
    system.flow.wait()


@fault(produces="", system="pipeline")
def commit_harmless_edit(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Commits a change of a log line or of a task's retries; the night goes well."""
    system.begin()
    before = datetime.now(UTC)
    if seed % 2:
        edit = ("shop.py", ("orders are fit", "orders are fit to load"), "shop: clearer log line")
    else:
        edit = (
            "nightly_etl.py",
            ('"owner": "data-platform", "retries": 1', '"owner": "data-eng", "retries": 2'),
            "owner",
        )
    pipeline_code.commit(system, *edit)
    pipeline_code.wait_read(system, before)
    yield from quiet(system, lambda: pipeline_code.restore_code(system))


@fault(produces="", system="pipeline")
def tighten_a_threshold(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Changes a variable within what the data bear; the night goes well."""
    system.begin()

    def put(value: int) -> None:
        system.flow.ask("/variables/min_rows", {"key": "min_rows", "value": str(value)}, method="PATCH")

    put(MIN_ROWS + 10 + seed % 50)
    yield from quiet(system, lambda: put(MIN_ROWS))
