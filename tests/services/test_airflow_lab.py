"""The nightly pipeline on a real Airflow: its nights succeed, each fault makes the state it claims, and heals."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psutil
import pytest

from sickbay.errors import SickbayError
from sickbay.lab import live
from sickbay.lab.systems import airflow
from sickbay.lab.systems.nightly import DAGS, NIGHTLY, NIGHTS, RETRAIN
from sickbay.lab.systems.pipeline import night_zone
from sickbay.registry import FAULTS, PROBES
from tests.services.looks import SEEN, look, looked

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

FAILED = {
    "close_orders_database": ("extract_orders", "not currently accepting connections"),
    "cut_orders_database": ("extract_orders", "Connection refused"),
    "hang_orders_database": ("extract_orders", "timeout"),
    "stop_rates_api": ("extract_rates", "Connection refused"),
    "close_rates_api_for_maintenance": ("extract_rates", "500 Server Error"),
    "freeze_rates_api": ("extract_rates", "Read timed out"),
    "revoke_rates_key": ("extract_rates", "403 Client Error"),
    "rotate_orders_password": ("extract_orders", "password authentication failed"),
    "withdraw_orders_right": ("extract_orders", "not permitted to log in"),
    "change_rates_schema": ("extract_rates", "TypeError"),
    "change_orders_schema": ("extract_orders", "UndefinedColumn"),
    "forget_names": ("extract_rates", "Temporary failure in name resolution"),
    "lose_route": ("extract_rates", "timed out"),
    "kill_task_processes": ("extract_rates", "SIGKILL"),
    "remount_warehouse_read_only": ("load", "Read-only file system"),
    "unmount_warehouse": ("load", "No such file or directory"),
    "fill_disk": ("load", "No space left on device"),
    "commit_task_bug": ("load", "unsupported operand"),
    "replace_task_packages": ("transform", "cannot import name"),
    "lose_task_package": ("transform", "ModuleNotFoundError"),
    "spoil_orders": ("validate", "occur twice"),
    "spoil_rates": ("validate", "exchange rate of"),
    "change_variable": ("transform", "task-env-3.13"),
    "change_connection": ("extract_rates", "SSL"),
}
"""Fault → the task that fails and what its log says, with seed 1."""
ELSEWHERE = {
    (name, "on")
    for name in (
        "task.timed_out", "task.never_started", "dagfile.setting_missing", "dagfile.lacks_package",
        "pipeline.server_silent", "pipeline.metadata_away", "pipeline.dag_processor_silent", "pipeline.run_stuck",
    )
}  # fmt: skip
"""Findings that no fault of the lab makes: tests/probes and tests/sources have them on answers as they really came."""
HARMLESS = sorted(f.name for f in FAULTS.load().values() if f.system == "pipeline" and not f.produces)


class Viewer:
    """What the least of Airflow's roles can read."""

    def __init__(self, system):
        self.url = system.flow.url
        name, password = airflow.VIEWER
        self.token = self._ask("/auth/token", {"username": name, "password": password})["access_token"]

    def get(self, path):
        return self._ask(f"/api/v2{path}")

    def run(self, system):
        """Return last night's run, None when there is none."""
        runs = self.get(f"/dags/{NIGHTLY}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
        return next((run for run in runs if run["dag_run_id"] == system.run), None)

    def tasks(self, system):
        path = f"/dags/{NIGHTLY}/dagRuns/{urllib.parse.quote(system.run)}/taskInstances"
        return {task["task_id"]: task for task in self.get(path)["task_instances"]}

    def log(self, system, task, attempt):
        run = urllib.parse.quote(system.run)
        return json.dumps(self.get(f"/dags/{NIGHTLY}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"))

    def _ask(self, path, body=None):
        headers = {"Content-Type": "application/json"}
        if body is None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("pipeline", tmp_path_factory.mktemp("pipeline") / "system")
    yield held
    held.close()


@pytest.fixture(scope="module")
def viewer(lab):
    return Viewer(lab.system)


@contextlib.contextmanager
def broken(lab, fault, seed=1, strength=0.7):
    """Break; heal at the end, which runs the night again and fails when that fails."""
    lab.break_(fault, seed=seed, strength=strength)
    try:
        yield lab.system
        looked(lab, fault)
    finally:
        lab.heal()
    assert lab.system.state == "success"


def test_every_hour_has_a_zone_in_which_it_is_past_three():
    for hour in range(24):
        now = datetime(2026, 11, 25, hour, 30, tzinfo=UTC)
        assert now.astimezone(ZoneInfo(night_zone(now))).hour == 3


def test_the_past_holds_a_week_of_good_nights_each_at_its_time(lab, viewer):
    for dag, count in ((NIGHTLY, NIGHTS + 1), (RETRAIN, NIGHTS)):
        runs = viewer.get(f"/dags/{dag}/dagRuns?limit=50&order_by=-run_after")["dag_runs"]
        assert [(run["state"], run["run_type"]) for run in runs] == [("success", "scheduled")] * count
        assert all(run["start_date"][:13] == run["run_after"][:13] for run in runs)
        assert {version["version_number"] for run in runs for version in run["dag_versions"]} == {1}
    assert {dag["dag_id"]: dag["is_paused"] for dag in viewer.get("/dags")["dags"]} == dict.fromkeys(DAGS, False)
    assert viewer.get("/importErrors")["total_entries"] == 0
    assert viewer.get("/eventLogs?limit=1&event=patch_variable")["total_entries"] == 0


def test_only_the_loopback_is_listened_on(lab):
    listening = [
        connection.laddr.ip
        for server in lab.system.flow.servers.values()
        for process in server.family()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_a_healthy_night_succeeds_and_leaves_its_partition(lab, viewer):
    lab.system.night()
    tasks = viewer.tasks(lab.system)
    assert {task["state"] for task in tasks.values()} == {"success"}
    partition = lab.system.worker.outside(lab.system.warehouse) / "orders" / f"date={lab.system.day}"
    assert json.loads((partition / "_SUCCESS").read_text())["part-0.csv"] > 10_000


@pytest.mark.parametrize("fault", sorted(FAILED))
def test_a_fault_fails_the_task_it_means_to_and_heals(lab, viewer, fault):
    task, says = FAILED[fault]
    with broken(lab, fault) as system:
        assert viewer.run(system)["state"] == "failed"
        tasks = viewer.tasks(system)
        assert (tasks[task]["state"], tasks[task]["try_number"]) == ("failed", 2)
        assert says in viewer.log(system, task, 2)
        assert "record" not in {name for name, found in tasks.items() if found["state"] == "success"}


def test_a_killed_worker_gives_no_sign_of_life(lab, viewer):
    with broken(lab, "kill_worker") as system:
        events = viewer.get(f"/eventLogs?limit=50&order_by=-when&dag_id={NIGHTLY}")["event_logs"]
        assert "heartbeat timeout" in {event["event"] for event in events}
        assert viewer.tasks(system)["extract_rates"]["state"] == "failed"


def test_a_killed_scheduler_leaves_the_night_half_done(lab, viewer):
    with broken(lab, "kill_scheduler") as system:
        assert viewer.get("/monitor/health")["scheduler"]["status"] == "unhealthy"
        assert viewer.run(system)["state"] == "running"


def test_tasks_wait_for_slots_that_others_hold(lab, viewer):
    with broken(lab, "hold_pool_slots") as system:
        pool = viewer.get("/pools/warehouse")
        assert (pool["open_slots"], pool["running_slots"]) == (0, 2)
        assert viewer.tasks(system)["load"]["state"] == "scheduled"


def test_a_day_a_hundred_times_larger_runs_out_of_memory(lab, viewer):
    with broken(lab, "limit_task_memory") as system:
        failed = [name for name, task in viewer.tasks(system).items() if task["state"] == "failed"]
        said = " ".join(viewer.log(system, name, 2) for name in failed)
        assert "emory" in said


def test_a_file_that_cannot_be_imported_means_no_night(lab, viewer):
    with broken(lab, "commit_broken_dag") as system:
        assert viewer.get("/importErrors")["total_entries"] >= 1
        assert viewer.run(system) is None


def test_a_paused_pipeline_means_no_night(lab, viewer):
    with broken(lab, "pause_schedule") as system:
        assert viewer.get(f"/dags/{NIGHTLY}")["is_paused"]
        assert viewer.run(system) is None


@pytest.mark.parametrize(
    "fault", sorted(f.name for f in FAULTS.load().values() if f.system == "pipeline" and not f.produces)
)
def test_a_harmless_change_leaves_a_good_night(lab, viewer, fault):
    with broken(lab, fault) as system:
        assert system.state == "success"
        if fault == "fail_rates_api_once":
            assert viewer.tasks(system)["extract_rates"]["try_number"] == 2


def test_every_fault_is_tried_here():
    tried = set(FAILED) | {
        "kill_worker", "kill_scheduler", "hold_pool_slots", "limit_task_memory", "commit_broken_dag", "pause_schedule",
    }  # fmt: skip
    assert tried == {f.name for f in FAULTS.load().values() if f.system == "pipeline" and f.produces}


def test_after_all_faults_the_past_is_as_it_was(lab, viewer):
    runs = viewer.get(f"/dags/{NIGHTLY}/dagRuns?limit=50")["dag_runs"]
    assert [run["state"] for run in runs] == ["success"] * (NIGHTS + 1)
    assert {version["version_number"] for run in runs for version in run["dag_versions"]} == {1}
    assert viewer.get("/eventLogs?limit=1&event=patch_variable")["total_entries"] == 0


def test_every_finding_of_pipelines_was_seen_on_and_off(lab):
    look(lab)
    rooms = ("pipeline", "task", "scheduling", "since", "deadline")
    lacking = [
        f"{kind.id} was never {state}"
        for probe in PROBES.load().values()
        if probe.name.split(".")[0] in rooms
        for kind in probe.findings
        for state in ("on", "off")
        if state not in SEEN.get(kind.id, set()) and (kind.id, state) not in ELSEWHERE
    ]
    assert not lacking, "\n".join(lacking)


def test_nothing_runs_after_the_end(lab):
    system = lab.system
    servers = [*system.flow.servers.values(), system.database.server, system.api]
    servers += [system.worker.holder] if system.worker.holder else []
    family = [process for server in servers for process in server.family()]
    assert len(family) >= 6
    lab.close()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(SickbayError):
        system.flow.ask("/dags")
