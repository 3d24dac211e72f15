"""The nightly pipeline on a real Airflow: its nights succeed, each fault makes the state it claims, and heals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from datetime import UTC, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import psutil
import pytest

from sickbay.errors import SickbayError
from sickbay.lab import live
from sickbay.lab.systems import airflow_past, pipeline_past
from sickbay.lab.systems.nightly import DAGS, NIGHTLY, NIGHTS, RETRAIN, last
from sickbay.lab.systems.pipeline import night_zone
from sickbay.registry import FAULTS
from tests.services import nights
from tests.services.looks import looked

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

MINE = [f for f in FAULTS.load().values() if f.system == "pipeline"]
HARMLESS = sorted(f.name for f in MINE if not f.produces)
HARMFUL = sorted(f.name for f in MINE if f.produces)
OTHERS = ("kill_worker", "kill_scheduler", "hold_pool_slots", "commit_broken_dag", "pause_schedule")
HERE = (
    "close_rates_api_for_maintenance", "rotate_orders_password", "change_orders_schema", "forget_names", "lose_route",
    "unmount_warehouse", "limit_task_memory", "replace_task_packages", "spoil_orders", "change_variable", *OTHERS,
)  # fmt: skip
"""One of each way to break it, in some minutes; with SICKBAY_FAULTS=all in the environment, every one."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("pipeline", tmp_path_factory.mktemp("pipeline") / "system")
    yield held
    held.close()


@pytest.fixture(scope="module")
def viewer(lab):
    return nights.Viewer(lab.system)


@contextlib.contextmanager
def broken(lab, fault, seed=1, strength=0.7):
    """Break; heal at the end, which runs the night again and fails when that fails."""
    lab.break_(fault, seed=seed, strength=strength)
    try:
        yield lab.system
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


def test_a_retraining_that_failed_while_it_was_broken_is_run_again_by_healing(lab):
    system = lab.system
    run = f"scheduled__{last(6, system.zone, datetime.now(UTC)).isoformat()}"
    with broken(lab, "tighten_a_threshold"):
        system.give_up(RETRAIN, run)  # as that of six o'clock does in a lab that is kept for hours
    assert airflow_past.runs(system.flow.home, RETRAIN)[run] == "success"
    assert looked(lab, "tighten_a_threshold") is None


def test_a_kept_past_whose_next_run_is_due_by_now_plans_the_coming_night(lab, tmp_path):
    kept = shutil.copytree(pipeline_past.place(), tmp_path / "kept")
    with airflow_past.opened(kept) as con:
        con.execute("UPDATE dag SET next_dagrun_create_after = ?", [airflow_past.stored(datetime(2020, 1, 1))])
    home = tmp_path / "made" / "airflow"
    warehouse = tmp_path / "made" / "warehouse"
    (warehouse / "orders").mkdir(parents=True)
    (home.parent / "models").mkdir()
    home.mkdir()
    made = SimpleNamespace(
        flow=SimpleNamespace(home=home), worker=SimpleNamespace(outside=lambda path: path), warehouse=warehouse,
        directory=home.parent, zone=lab.system.zone, to_api=lab.system.to_api, to_database=lab.system.to_database,
    )  # fmt: skip
    pipeline_past.restore(made, kept)
    with airflow_past.opened(home) as con:
        planned = dict(con.execute("SELECT dag_id, next_dagrun_create_after FROM dag"))
    assert min(planned[NIGHTLY], planned[RETRAIN]) > airflow_past.stored(datetime.now(UTC))


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
    tasks = viewer.tasks()
    assert {task["state"] for task in tasks.values()} == {"success"}
    partition = lab.system.worker.outside(lab.system.warehouse) / "orders" / f"date={lab.system.day}"
    assert json.loads((partition / "_SUCCESS").read_text())["part-0.csv"] > 10_000


@pytest.mark.parametrize("fault", HARMFUL if os.environ.get("SICKBAY_FAULTS") == "all" else HERE)
def test_a_fault_makes_the_state_it_claims_is_found_and_heals(lab, viewer, fault):
    with broken(lab, fault):
        nights.check(viewer, fault)
        looked(lab, fault)


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_change_leaves_a_good_night(lab, viewer, fault):
    with broken(lab, fault) as system:
        assert system.state == "success"
        if fault == "fail_rates_api_once":
            assert viewer.tasks()["extract_rates"]["try_number"] == 2
        looked(lab, fault)


def test_every_fault_has_a_state_to_be_checked():
    assert {*nights.FAILED, *OTHERS} == {
        f.name for f in FAULTS.load().values() if f.system == "pipeline" and f.produces
    }


def test_after_all_faults_the_past_is_as_it_was(lab, viewer):
    runs = viewer.get(f"/dags/{NIGHTLY}/dagRuns?limit=50")["dag_runs"]
    assert [run["state"] for run in runs] == ["success"] * (NIGHTS + 1)
    assert {version["version_number"] for run in runs for version in run["dag_versions"]} == {1}
    assert viewer.get("/eventLogs?limit=1&event=patch_variable")["total_entries"] == 0


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
