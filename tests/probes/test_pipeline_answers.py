"""Nights that the lab does not make, on answers of Airflow 3.3.2 with a field or two changed as Airflow fills them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from sickbay.errors import SiteFileError
from sickbay.investigation import run_probe
from sickbay.probes import failures, task
from sickbay.probes.deadline import next_deadline
from tests.sources import replay

NOW = datetime(2026, 11, 25, 19, 46, 30, tzinfo=UTC)
RUN = "/api/v2/dags/daily_etl/dagRuns/t1795635942_module"


def see(probe, change=lambda answers: None, now=NOW, **more):
    answers = replay.answers("airflow-3.3")
    change(answers)
    with replay.served(answers) as url:
        site = {"source": {"airflow": {"url": url, "username": "probe", "password": "probe", **more}}}
        items = run_probe(site, probe, clock=lambda: now)
    return {item.id: item for item in items if hasattr(item, "status")}


def runs(answers):
    return answers["/api/v2/dags/~/dagRuns?limit=100&order_by=-run_after"]["dag_runs"]


def tasks(answers):
    return answers[f"{RUN}/taskInstances?limit=200"]["task_instances"]


def failed(answers):
    return next(task for task in tasks(answers) if task["state"] == "failed")


def log(answers):
    return answers[f"{RUN}/taskInstances/validate/logs/2?map_index=-1&full_content=true"]


def test_the_recorded_night_is_read_as_it_was():
    assert see("task.error")["task.import_failed"].on
    assert see("pipeline.runs")["pipeline.task_failed"].says.startswith("daily_etl.validate failed after 2 tries")


def test_a_health_page_with_status_200_may_say_that_parts_are_dead():
    found = see("pipeline.health")
    assert found["pipeline.scheduler_silent"].on
    assert found["pipeline.dag_processor_silent"].on
    assert not found["pipeline.metadata_away"].on


def test_without_its_database_airflow_knows_no_heartbeats():
    def change(answers):
        answers["/api/v2/monitor/health"]["metadatabase"]["status"] = "unhealthy"

    found = see("pipeline.health", change)
    assert found["pipeline.metadata_away"].on
    assert found["pipeline.scheduler_silent"].status == "unknown"


def test_a_task_that_no_worker_took_up_is_found_though_all_is_healthy():
    def change(answers):
        failed(answers).update(start_date=None, pid=None, hostname="", try_number=1)
        answers[f"{RUN}/taskInstances/validate/logs/1?map_index=-1&full_content=true"] = {"content": []}

    assert see("task.process", change)["task.never_started"].on
    assert {f.status for f in see("task.error", change).values()} == {"unknown"}


def test_a_task_that_took_too_long_is_told_by_where_it_hung():
    def change(answers, file="/opt/airflow/dags/etl.py"):
        detail = next(line for line in log(answers)["content"] if line.get("error_detail"))["error_detail"]
        detail[-1].update(exc_type="AirflowTaskTimeout", exc_value="Timeout, PID: 4711")
        detail[-1]["frames"] = [{"filename": file, "lineno": 3, "name": "f"}]

    assert see("task.error", change)["task.timed_out"].on
    inside = see("task.error", lambda a: change(a, "/opt/venv/site-packages/urllib3/connection.py"))
    assert inside["task.http_failed"].on
    assert not inside["task.timed_out"].on


BY_TOPIC = {one.speaks_for: one for one in reversed(failures.catalogue()) if "chain" in one.example}


@pytest.mark.parametrize("topic", sorted(task.SAID))
def test_each_kind_of_error_switches_its_finding_on_and_the_others_off(topic):
    def change(answers):
        example = BY_TOPIC[topic].example
        frames = [{"filename": example.get("files", "/opt/airflow/dags/etl.py"), "lineno": 3, "name": "f"}]
        links = [link.partition(": ") for link in example["chain"].split(" <- ")]
        chain = [{"exc_type": kind, "exc_value": value, "frames": frames} for kind, _, value in links]
        next(line for line in log(answers)["content"] if line.get("error_detail"))["error_detail"] = chain

    found = see("task.error", change)
    assert [name for name, finding in found.items() if finding.on] == [f"task.{topic}"]
    assert {finding.status for finding in found.values()} == {"measured"}


@pytest.mark.parametrize(
    ("line", "event", "finding"),
    [({"level": "critical", "event": "Process terminated by signal.", "signal": -9, "signal_name": "SIGKILL"}, "failed",
      "task.killed"), (None, "heartbeat timeout", "task.heartbeat_lost")],
)  # fmt: skip
def test_the_ends_of_a_process_shut_each_other_out(line, event, finding):
    def change(answers):
        kept = [row for row in log(answers)["content"] if not row.get("error_detail")]
        log(answers)["content"] = [*kept, *([line] if line else [])]
        row = {"when": "2026-11-25T19:45:55Z", "event": event, "dag_id": "daily_etl", "task_id": "validate"}
        row |= {"run_id": "t1795635942_module", "owner": None, "extra": ""}
        answers["/api/v2/eventLogs?limit=60&order_by=-when&dag_id=daily_etl"]["event_logs"].insert(0, row)

    found = see("task.process", change)
    assert [name for name, f in found.items() if f.on] == [finding]
    assert not [f for f in see("task.error", change).values() if f.on]
    assert not [f for f in see("task.process").values() if f.on]


def test_an_error_that_nobody_knows_speaks_only_against_what_is_well_known():
    def change(answers):
        detail = next(line for line in log(answers)["content"] if line.get("error_detail"))["error_detail"]
        detail[-1].update(exc_type="OddError", exc_value="something of this house")

    found = see("task.error", change)
    assert not [name for name, finding in found.items() if finding.on]
    assert found["task.code_failed"].status == "unknown"
    assert "OddError" in found["task.code_failed"].reason


@pytest.mark.parametrize(
    ("last", "finding"),
    [("ModuleNotFoundError: No module named 'pandera'", "dagfile.lacks_package"),
     ("airflow.sdk.exceptions.AirflowRuntimeError: VARIABLE_NOT_FOUND: {'message': 'Variable x not found'}",
      "dagfile.setting_missing"),
     ("NameError: name 'POOL' is not defined", "dagfile.code_wrong")],
)  # fmt: skip
def test_a_file_that_does_not_import_says_why(last, finding):
    def change(answers):
        trace = f'Traceback (most recent call last):\n  File "/opt/airflow/dags/etl.py", line 1, in <module>\n{last}\n'
        row = {"filename": "etl.py", "timestamp": "2026-11-25T19:40:00Z", "stack_trace": trace}
        answers["/api/v2/importErrors?limit=50"]["import_errors"] = [row]

    found = see("scheduling.files", change)
    assert [name for name, f in found.items() if f.on] == ["dagfile.broken", finding]


def under_way(answers, minutes):
    runs(answers)[0].update(state="running", end_date=None, start_date=(NOW - timedelta(minutes=minutes)).isoformat())
    for one in tasks(answers):
        one.update(state="running" if one["state"] == "failed" else None, try_number=1, end_date=None)


def test_a_run_that_takes_far_longer_than_any_before_is_stuck():
    found = see("pipeline.runs", lambda answers: under_way(answers, 10))
    assert found["pipeline.run_stuck"].on
    assert found["pipeline.run_stuck"].evidence.numbers["limit"] == 4
    assert found["pipeline.not_delivered"].on


def test_a_run_that_is_under_way_is_neither_delivered_nor_failed():
    def change(answers):
        under_way(answers, 0.1)
        answers["/api/v2/monitor/health"]["scheduler"]["status"] = "healthy"

    found = see("pipeline.runs", change)
    assert not found["pipeline.not_delivered"].on
    assert not found["pipeline.task_failed"].on


def test_a_failed_try_that_will_be_repeated_is_looked_at():
    def change(answers):
        under_way(answers, 0.2)
        next(t for t in tasks(answers) if t["task_id"] == "validate").update(state="up_for_retry", try_number=2)

    assert see("pipeline.runs", change)["pipeline.task_failed"].on
    assert see("task.error", change)["task.import_failed"].on


def test_a_pool_without_a_free_slot_and_a_task_that_waits():
    def change(answers):
        under_way(answers, 2)
        waits = next(t for t in tasks(answers) if t["state"] == "running")
        waits.update(state="scheduled", start_date=None, scheduled_when=(NOW - timedelta(minutes=2)).isoformat())
        answers["/api/v2/pools?limit=100"]["pools"][0].update(
            slots=2, running_slots=2, occupied_slots=2, scheduled_slots=1, open_slots=0
        )

    found = see("scheduling.slots", change)
    assert found["pool.full"].on
    assert found["pool.tasks_wait"].on
    assert found["pool.tasks_wait"].statistic == pytest.approx(120)


def test_a_new_version_of_the_structure_is_a_change():
    def change(answers):
        runs(answers)[0]["dag_versions"][0]["version_number"] = 2
        rows = answers["/api/v2/dags/daily_etl/dagVersions?limit=50&order_by=-version_number"]["dag_versions"]
        rows.insert(0, rows[0] | {"version_number": 2, "created_at": "2026-11-25T19:45:38Z"})

    assert see("since.changes", change)["since.code_changed"].on
    assert not see("since.changes")["since.code_changed"].on


CODE = """
@task
def validate(orders):
    check(orders, int(Variable.get("limit")))

@task
def load(orders):
    write(orders, Variable.get("target"))
"""


def edited(answers, key="limit", at="2026-11-25T19:45:43Z", what="patch_variable", **more):
    row = {"when": at, "event": what, "owner": "ann", "extra": f'{{"key": "{key}", "value": "***"}}', **more}
    log = answers["/api/v2/eventLogs?limit=100&order_by=-when"]
    log["event_logs"].insert(0, row)
    answers["/api/v2/dagSources/daily_etl?version_number=1"] = {"content": CODE}


def settings(change):
    return see("since.changes", change)["since.settings_changed"]


def test_an_edit_weighs_by_whether_the_failing_step_reads_what_was_edited():
    read, named, other = (settings(lambda a, k=key: edited(a, k)) for key in ("limit", "target", "else"))
    assert read.log_ratio > named.log_ratio > other.log_ratio > 0
    assert "by ann, which validate reads, the step that failed" in read.says


def test_the_code_of_an_airflow_that_keeps_none_is_read_where_the_site_says_it_lies(tmp_path):
    (tmp_path / "etl.py").write_text(CODE)
    os.utime(tmp_path / "etl.py", ((NOW - timedelta(hours=1)).timestamp(),) * 2)

    def change(answers):
        edited(answers)
        del answers["/api/v2/dagSources/daily_etl?version_number=1"]

    read = see("since.changes", change, code=str(tmp_path))["since.settings_changed"]
    assert "which validate reads" in read.says
    assert read.log_ratio > settings(change).log_ratio > 0


def test_an_edit_after_the_first_failure_is_not_its_cause():
    late = settings(lambda answers: edited(answers, at="2026-11-25T19:46:10Z"))
    assert not late.on
    assert "after the first failure" in late.says


def test_a_pause_makes_no_task_fail():
    assert not settings(lambda answers: edited(answers, what="patch_dag", dag_id="daily_etl")).on


def test_a_log_that_is_too_long_to_be_read_back_is_unknown_not_unchanged():
    def change(answers):
        kept = answers["/api/v2/eventLogs?limit=100&order_by=-when"]
        row = {"when": "2026-11-25T19:46:00Z", "event": "clear", "dag_id": "other", "extra": ""}
        kept.update(event_logs=[row] * 100, total_entries=5000)
        for offset in range(100, 600, 100):
            answers[f"/api/v2/eventLogs?limit=100&order_by=-when&offset={offset}"] = kept

    assert settings(change).reason.startswith("no data: the event log since then is too long")


def test_an_edit_on_a_later_page_of_the_log_is_found():
    def change(answers):
        kept = answers["/api/v2/eventLogs?limit=100&order_by=-when"]
        edited(answers)
        page = {"event_logs": [kept["event_logs"][0]], "total_entries": 51}
        row = {"when": "2026-11-25T19:46:00Z", "event": "clear", "dag_id": "other", "extra": ""}
        kept.update(event_logs=[row] * 50, total_entries=51)  # a server may give less than was asked for
        answers["/api/v2/eventLogs?limit=100&order_by=-when&offset=50"] = page

    assert settings(change).on


def raised(answers, kind, value, line=4, function="validate", file="/opt/airflow/dags/etl.py"):
    detail = [{"exc_type": kind, "exc_value": value, "frames": [{"filename": file, "lineno": line, "name": function}]}]
    next(row for row in log(answers)["content"] if row.get("error_detail"))["error_detail"] = detail
    answers["/api/v2/dags?limit=200&exclude_stale=false"]["dags"][0]["fileloc"] = "/opt/airflow/dags/etl.py"
    answers["/api/v2/dagSources/daily_etl?version_number=1"] = {"content": CODE}


def test_a_value_error_where_the_code_reads_a_setting_is_one_of_the_setting():
    for kind, value in (("ValueError", "invalid literal for int() with base 10: '300 rows'"), ("OddError", "no")):
        found = see("task.error", lambda a, k=kind, v=value: raised(a, k, v))
        assert [name for name, f in found.items() if f.on] == ["task.setting_missing"]
        assert "where the code reads the setting limit" in found["task.setting_missing"].says
    elsewhere = see("task.error", lambda a: raised(a, "KeyError", "'amount'", line=3))
    assert [name for name, f in elsewhere.items() if f.on] == ["task.input_schema"]


def test_a_line_of_a_helper_is_read_from_the_code_if_it_is_as_old_as_the_run(tmp_path):
    (tmp_path / "helper.py").write_text('def f():\n    return int(os.environ["LIMIT"])\n')

    def change(answers):
        raised(answers, "ValueError", "invalid literal for int()", 2, "f", "/opt/airflow/dags/helper.py")

    for minutes, finding in ((60, "task.setting_missing"), (0, "task.input_schema")):
        os.utime(tmp_path / "helper.py", ((NOW - timedelta(minutes=minutes)).timestamp(),) * 2)
        found = see("task.error", change, code=str(tmp_path))
        assert [name for name, f in found.items() if f.on] == [finding]


def test_packages_and_code_are_dated_by_their_files(tmp_path):
    (tmp_path / "site" / "numpy-2.4.dist-info").mkdir(parents=True)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "etl.py").write_text("x = 1")
    for minutes, on in ((0.2, True), (60, False)):
        at = (NOW - timedelta(minutes=minutes)).timestamp()
        for path in (tmp_path / "dags" / "etl.py", tmp_path / "site" / "numpy-2.4.dist-info", tmp_path / "site"):
            os.utime(path, (at, at))
        found = see("since.changes", code=str(tmp_path / "dags"), packages=str(tmp_path / "site"))
        assert found["since.code_changed"].on == on
        assert found["since.packages_changed"].on == on


def test_the_time_to_spare_is_what_a_rerun_leaves():
    found = see("deadline.deadline", deadline="20:00")["deadline.at_risk"]
    assert found.on
    assert found.statistic == pytest.approx(13.5, abs=0.2)
    assert "19:59 UTC" in found.says
    late = see("deadline.deadline", deadline="19:46", now=NOW - timedelta(seconds=31))["deadline.at_risk"]
    assert "too late" in late.says
    assert late.statistic < 0
    nothing = see("deadline.deadline")["deadline.at_risk"]
    assert nothing.status == "unknown"
    assert len(nothing.evidence.exhibits[0].rows) == 4, "the ways out are shown also without a deadline"


def test_a_deadline_is_a_time_of_day_in_a_zone():
    assert next_deadline("06:00", NOW) == datetime(2026, 11, 26, 6, tzinfo=UTC)
    assert next_deadline("21:00 Europe/Berlin", NOW) == datetime(2026, 11, 25, 20, tzinfo=UTC)
    assert next_deadline("", NOW) is None
    for wrong in ("6 AM", "25:00", "06:00 Mars/Base"):
        with pytest.raises(SiteFileError, match="deadline"):
            next_deadline(wrong, NOW)
