"""Breaks the nightly pipeline itself: its code, packages, configuration and data; each for real, each undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sickbay.lab.faults.nights import after, spoilt
from sickbay.lab.systems import pipeline_code
from sickbay.lab.systems.nightly import DATABASE, NIGHTLY, Pipeline
from sickbay.lab.systems.pipeline import orders_connection, rates_connection
from sickbay.lab.systems.processes import wait_until
from sickbay.registry import fault

CALL = "orders, rates = extract_orders(), extract_rates("
HANDS_ON = "    return str(place)\n\n\ndef rates_of"
BROKEN_ON_IMPORT = (
    ("nightly_etl.py", (f"{CALL})", CALL), "nightly load: tidy up"),
    ("shop.py", ("DataQualityError(ValueError):", "DataQualityError(ValueError:"), "shop: nicer errors"),
    ("nightly_etl.py", ('{"owner"', '{"pool": POOL, "owner"'), "nightly load: a pool of its own"),
)
BROKEN_AT_RUN = (
    ("shop.py", ("{len(rows)} orders are fit", "{len(orders)} orders are fit"), "shop: log line"),
    ("shop.py", ("Path(warehouse) / ", "warehouse / "), "shop: shorter paths"),
    ("shop.py", (HANDS_ON, HANDS_ON.replace("str(place)", "place.name()")), "shop: hand on names"),
    ("nightly_etl.py", ("check_rates(rates)", "check_rates(rates, day)"), "nightly load: check rates by day"),
)


@fault(produces="pipeline-code-change", system="pipeline")
def commit_broken_dag(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Commits a change with which Airflow cannot import the DAG file: the night does not begin."""
    system.begin()
    pipeline_code.commit(system, *BROKEN_ON_IMPORT[seed % len(BROKEN_ON_IMPORT)])
    wait_until(lambda: pipeline_code.unreadable(system), 60, "Airflow meeting the broken file")
    yield from spoilt(system, lambda: pipeline_code.restore_code(system), until=after(4))


@fault(produces="pipeline-code-change", system="pipeline")
def commit_task_bug(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Commits a change with which a task fails when it runs."""
    system.begin()
    before = datetime.now(UTC)
    pipeline_code.commit(system, *BROKEN_AT_RUN[seed % len(BROKEN_AT_RUN)])
    pipeline_code.wait_read(system, before)
    yield from spoilt(system, lambda: pipeline_code.restore_code(system))


@fault(produces="dependency-conflict", system="pipeline")
def replace_task_packages(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Installs an older release of a package into the task's environment, as another package's wish."""
    undo = pipeline_code.restore_packages(system)
    system.begin()
    if seed % 2:
        pipeline_code.replace(system, ["pydantic", "pydantic_core", "annotated_types"], ["pydantic"])
    else:
        pipeline_code.replace(system, ["jinja2"], ["jinja2", "Jinja2"])
    yield from spoilt(system, undo)


@fault(produces="dependency-conflict", system="pipeline")
def lose_task_package(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Rebuilds the task's environment without a package that something in it needs."""
    undo = pipeline_code.restore_packages(system)
    system.begin()
    pipeline_code.remove(system, [("jinja2", "markupsafe", "annotated_types")[seed % 3]])
    yield from spoilt(system, undo)


@fault(produces="data-validation-failure", system="pipeline")
def spoil_orders(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Spoils last day's orders at their origin: no amounts, doubles, negative amounts, or most of them missing."""
    share = 0.03 + 0.4 * strength
    mine = f"ordered_at >= '{system.day}' AND ordered_at < date '{system.day}' + 1"
    some = f"{mine} AND order_id % 1000 < {int(1000 * share)}"
    act = (
        f"UPDATE orders SET amount = NULL WHERE {some}",
        f"INSERT INTO orders SELECT * FROM orders WHERE {some}",
        f"UPDATE orders SET amount = -amount WHERE {some}",
        f"DELETE FROM orders WHERE {mine} AND order_id % 1000 > {int(200 * (1 - strength))}",
        f"UPDATE orders SET customer_id = NULL WHERE {some}",
    )[seed % 5]
    system.begin()
    system.database.execute(act, database=DATABASE)
    day = system.day
    yield from spoilt(system, lambda: system.fill_orders(day))


@fault(produces="data-validation-failure", system="pipeline")
def spoil_rates(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the partner send exchange rates of zero, in the agreed shape."""
    system.begin()
    system.behave(schema="zero")
    yield from spoilt(system, system.behave)


@fault(produces="configuration-drift", system="pipeline")
def change_variable(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Changes a variable of the pipeline to a path that is not there, to no number or too high a one, or deletes it."""
    key, right, wrong = (
        ("warehouse", str(system.warehouse), f"{system.directory}/warehouse-v2"),
        ("task_python", f"{system.directory}/task-env/bin/python", f"{system.directory}/task-env-3.13/bin/python"),
        ("min_rows", "300", "300 rows"),
        ("warehouse", str(system.warehouse), ""),
        ("min_rows", "300", "30000"),
    )[seed % 5]
    flow = system.flow
    system.begin()
    if wrong:
        flow.ask(f"/variables/{key}", {"key": key, "value": wrong}, method="PATCH")
    else:
        flow.ask(f"/variables/{key}", method="DELETE")

    def undo() -> None:
        if wrong:
            flow.ask(f"/variables/{key}", {"key": key, "value": right}, method="PATCH")
        else:
            flow.ask("/variables", {"key": key, "value": right})

    yield from spoilt(system, undo)


@fault(produces="configuration-drift", system="pipeline")
def change_connection(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Changes a connection: a port where nobody listens, another scheme, database, host or key, or deletes it."""
    rates, orders, flow = rates_connection(system), orders_connection(system), system.flow
    right, wrong = (
        (rates, {"port": 9}),
        (rates, {"schema": "https"}),
        (rates, {}),
        (orders, {"schema": "postgres"}),
        (orders, {"host": "orders-db.shop.invalid"}),
        (rates, {"password": "an-old-key"}),
    )[seed % 6]
    path = f"/connections/{right['connection_id']}"
    system.begin()
    if wrong:
        flow.ask(path, right | wrong, method="PATCH")
    else:
        flow.ask(path, method="DELETE")

    def undo() -> None:
        if wrong:
            flow.ask(path, right, method="PATCH")
        else:
            flow.ask("/connections", right)

    yield from spoilt(system, undo)


@fault(produces="configuration-drift", system="pipeline")
def pause_schedule(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Pauses the nightly DAG: the night does not begin."""
    system.begin()
    system.flow.ask(f"/dags/{NIGHTLY}", {"is_paused": True}, method="PATCH")
    yield from spoilt(
        system, lambda: system.flow.ask(f"/dags/{NIGHTLY}", {"is_paused": False}, method="PATCH"), until=after(4)
    )
