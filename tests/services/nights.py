"""What a broken night of the lab's pipeline has to look like to who may only read: told through Airflow's interface."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from typing import Any

from sickbay.lab.systems import airflow
from sickbay.lab.systems.nightly import NIGHTLY, Pipeline

ORDERS, RATES = "extract_orders", "extract_rates"
FAILED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "close_orders_database": ((ORDERS,), ("not currently accepting connections",)),
    "cut_orders_database": ((ORDERS,), ("Connection refused",)),
    "hang_orders_database": ((ORDERS,), ("timeout expired",)),
    "stop_rates_api": ((RATES,), ("Connection refused",)),
    "close_rates_api_for_maintenance": ((RATES,), ("503 Server Error", "500 Server Error", "502 Server Error")),
    "freeze_rates_api": ((RATES,), ("Read timed out",)),
    "revoke_rates_key": ((RATES,), ("401 Client Error", "403 Client Error")),
    "rotate_orders_password": ((ORDERS,), ("password authentication failed",)),
    "withdraw_orders_right": ((ORDERS,), ("permission denied for table orders", "not permitted to log in")),
    "change_rates_schema": ((RATES,), ("KeyError", "TypeError")),
    "change_orders_schema": ((ORDERS,), ("UndefinedColumn", "UndefinedTable")),
    "forget_names": ((ORDERS, RATES), ("Name or service not known", "Temporary failure in name resolution")),
    "lose_route": ((ORDERS, RATES), ("timed out", "timeout expired")),
    "kill_task_processes": ((ORDERS, RATES, "validate", "load"), ("SIGKILL",)),
    "remount_warehouse_read_only": (("load",), ("Read-only file system",)),
    "unmount_warehouse": (("load",), ("No such file or directory",)),
    "fill_disk": ((ORDERS, RATES, "load"), ("No space left on device",)),
    "limit_task_memory": ((ORDERS, "validate"), ("out of memory", "MemoryError", "annot allocate memory")),
    "commit_task_bug": ((ORDERS, "validate", "load"), ("NameError", "TypeError")),
    "replace_task_packages": (("transform",), ("cannot import name",)),
    "lose_task_package": (("transform",), ("No module named",)),
    "spoil_orders": (("validate",), ("have no ", "occur twice", "negative amount", "expected at least")),
    "spoil_rates": (("validate",), ("exchange rate of",)),
    "change_variable": (
        ("load", "transform", "validate"),
        ("warehouse-v2", "task-env-3.13", "300 rows", "VARIABLE", "expected at least 30000"),
    ),
    "change_connection": (
        (RATES, ORDERS),
        ("Connection refused", "SSL", "isn't defined", "does not exist", "failed to resolve host", "401 Client Error"),
    ),
}
"""Fault → the tasks that may be the one that fails, and what its log says, for any seed."""


class Viewer:
    """What the least of Airflow's roles can read."""

    def __init__(self, system: Pipeline) -> None:
        self.system, self.url, self.token = system, system.flow.url, ""
        name, password = airflow.VIEWER
        self.token = self._ask("/auth/token", {"username": name, "password": password})["access_token"]

    def get(self, path: str) -> Any:
        return self._ask(f"/api/v2{path}")

    def run(self) -> Any:
        """Return last night's run, None when there is none."""
        runs = self.get(f"/dags/{NIGHTLY}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
        return next((run for run in runs if run["dag_run_id"] == self.system.run), None)

    def tasks(self) -> dict[str, Any]:
        return {task["task_id"]: task for task in self.get(f"{self._run}/taskInstances")["task_instances"]}

    def log(self, task: str, attempt: int = 2) -> str:
        return json.dumps(self.get(f"{self._run}/taskInstances/{task}/logs/{attempt}"))

    def events(self) -> list[Any]:
        events: list[Any] = self.get(f"/eventLogs?limit=50&order_by=-when&dag_id={NIGHTLY}")["event_logs"]
        return events

    def count(self, path: str) -> int:
        return int(self.get(path)["total_entries"])

    @property
    def _run(self) -> str:
        return f"/dags/{NIGHTLY}/dagRuns/{urllib.parse.quote(self.system.run)}"

    def _ask(self, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
            return json.load(answer)


def check(viewer: Viewer, fault: str) -> None:
    """Assert that the fault in force made the state it claims."""
    match fault:
        case "kill_worker":
            assert "heartbeat timeout" in {event["event"] for event in viewer.events()}
            assert "failed" in {viewer.tasks()[task]["state"] for task in (ORDERS, RATES)}
        case "kill_scheduler":
            assert viewer.get("/monitor/health")["scheduler"]["status"] == "unhealthy"
            assert viewer.run()["state"] == "running"
        case "hold_pool_slots":
            pool = viewer.get("/pools/warehouse")
            assert (pool["open_slots"], pool["running_slots"]) == (0, 2)
            assert viewer.tasks()["load"]["state"] == "scheduled"
        case "commit_broken_dag":
            assert viewer.count("/importErrors") >= 1
            assert viewer.run() is None, "the night did not begin"
        case "pause_schedule":
            assert viewer.get(f"/dags/{NIGHTLY}")["is_paused"]
            assert viewer.run() is None, "the night did not begin"
        case _:
            _failed(viewer, fault)
    changed = {"change_variable": "variable", "change_connection": "connection", "pause_schedule": "patch_dag"}
    if fault in changed:
        acts = {event["event"] for event in viewer.get("/eventLogs?limit=100&order_by=-when")["event_logs"]}
        assert [act for act in acts if changed[fault] in act], "who looks can see that it was changed"


def _failed(viewer: Viewer, fault: str) -> None:
    places, says = FAILED[fault]
    tasks = viewer.tasks()
    assert viewer.run()["state"] == "failed"
    assert tasks["record"]["state"] == "upstream_failed"
    failed = [name for name, task in tasks.items() if task["state"] == "failed"]
    assert failed
    assert set(failed) <= set(places), "it fails where it means to"
    assert {tasks[name]["try_number"] for name in failed} == {2}, "it was tried again"
    logs = " ".join(viewer.log(name) for name in failed)
    assert [text for text in says if text in logs], logs[-3000:]
