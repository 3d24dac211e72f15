"""The parts of the lab's nightly pipeline that need no Airflow: times that are moved, lines that are cut, DAG edits."""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sickbay.lab.faults import pipeline as faults
from sickbay.lab.systems import airflow_past
from sickbay.lab.systems.nightly import last, loaded
from sickbay.lab.systems.pipeline import night_zone, source_of_dags
from sickbay.lab.systems.processes import free_port
from sickbay.lab.systems.proxy import Proxy

RUN = "backfill__2026-01-01T03:00:00+00:00"
TABLES = (
    "CREATE TABLE dag_run (dag_id TEXT, run_id TEXT, run_type TEXT, state TEXT, backfill_id INT, triggered_by TEXT, "
    "conf TEXT, logical_date TIMESTAMP, run_after TIMESTAMP, queued_at TIMESTAMP, start_date TIMESTAMP, "
    "end_date TIMESTAMP)",
    "CREATE TABLE xcom (dag_id TEXT, run_id TEXT, value JSON, timestamp TIMESTAMP)",
    "CREATE TABLE log (dag_id TEXT, run_id TEXT, dttm TIMESTAMP, event TEXT)",
    "CREATE TABLE backfill (id INT)",
    "CREATE TABLE backfill_dag_run (id INT)",
    "CREATE TABLE job (id INT)",
)


@pytest.fixture
def home(tmp_path):
    """A home with one run of the past, executed at noon of another day, that took 40 seconds."""
    with sqlite3.connect(tmp_path / "airflow.db") as con:
        for table in TABLES:
            con.execute(table)
        noon = "2026-02-02 12:00:00.000000"
        con.execute(
            "INSERT INTO dag_run VALUES ('etl', ?, 'backfill', 'success', 7, 'BACKFILL', NULL, "
            "'2026-01-01 03:00:00.0', '2026-01-01 03:00:00.0', ?, ?, '2026-02-02 12:00:40.000000')",
            [RUN, noon, noon],
        )
        con.execute("INSERT INTO xcom VALUES ('etl', ?, '\"/old/staging/2025-12-31/x.csv\"', ?)", [RUN, noon])
        con.execute("INSERT INTO log VALUES ('etl', ?, '2026-02-02 12:00:05.000000', 'running')", [RUN])
        con.execute("INSERT INTO log VALUES (NULL, NULL, '2026-02-02 11:00:00.000000', 'post_variable')")
    con.close()
    log = tmp_path / "logs" / "dag_id=etl" / f"run_id={RUN}" / "task_id=load" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text('{"timestamp":"2026-02-02T12:00:07Z","event":"/old/staging/2025-12-31 done"}\nnot json\n')
    return tmp_path


def test_a_run_of_the_past_is_moved_to_its_night_with_all_that_it_said(home):
    planned = datetime(2026, 11, 20, 19, tzinfo=UTC)
    moved = airflow_past.Moved("etl", RUN, planned)
    airflow_past.move(home, [moved], {"/old": "/new"}, {RUN: "2025-12-31>2026-11-19"})
    name = "scheduled__2026-11-20T19:00:00+00:00"
    assert airflow_past.runs(home, "etl") == {name: "success"}
    with sqlite3.connect(home / "airflow.db") as con:
        row = con.execute("SELECT run_type, backfill_id, run_after, start_date, end_date FROM dag_run").fetchone()
        assert row[:3] == ("scheduled", None, "2026-11-20 19:00:00.000000")
        began, ended = (datetime.fromisoformat(text) for text in row[3:])
        assert ended - began == timedelta(seconds=40), "it took as long as it took"
        assert began.replace(tzinfo=UTC) - planned == airflow_past.LATENESS
        assert con.execute("SELECT value FROM xcom").fetchone() == ('"/new/staging/2026-11-19/x.csv"',)
        assert con.execute("SELECT event, dttm FROM log").fetchall() == [("running", "2026-11-20 19:00:07.000000")]
    con.close()
    first, second = (home / "logs/dag_id=etl" / f"run_id={name}/task_id=load/attempt=1.log").read_text().splitlines()
    assert json.loads(first) == {"timestamp": "2026-11-20T19:00:09Z", "event": "/new/staging/2026-11-19 done"}
    assert second == "not json"


def test_a_night_taken_back_leaves_nothing(home):
    airflow_past.forget(home, "etl", RUN)
    assert airflow_past.runs(home, "etl") == {}
    with sqlite3.connect(home / "airflow.db") as con:
        assert con.execute("SELECT count(*) FROM xcom").fetchone() == (0,)
        assert con.execute("SELECT event FROM log").fetchall() == [("post_variable",)], "the audit log is another thing"
    con.close()
    assert not (home / "logs/dag_id=etl" / f"run_id={RUN}").exists()


@pytest.mark.parametrize("hour", range(24))
def test_it_is_always_past_three_in_the_lab(hour):
    now = datetime(2026, 11, 25, hour, 30, tzinfo=UTC)
    zone = night_zone(now)
    assert now.astimezone(ZoneInfo(zone)).hour == 3
    tonight = last(3, zone, now)
    assert now - tonight == timedelta(minutes=30)
    assert loaded(tonight, zone) == (now.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)).isoformat()
    assert now - last(6, zone, now) == timedelta(hours=21, minutes=30), "the retraining is still to come"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other kernels refuse where Linux drops")
def test_what_a_dropped_line_is_asked_gets_no_answer_and_a_passing_one_does():
    with socket.create_server(("127.0.0.1", 0)) as far:
        line = Proxy(free_port(), far.getsockname()[1])
        try:
            line.set("drop")
            with pytest.raises(TimeoutError):
                socket.create_connection(("127.0.0.1", line.port), timeout=0.3)
            line.set("pass")
            socket.create_connection(("127.0.0.1", line.port), timeout=5).close()
        finally:
            line.close()


@pytest.mark.parametrize("edit", [*faults.BROKEN_ON_IMPORT, *faults.BROKEN_AT_RUN])
def test_a_bad_commit_fits_the_file_it_changes(edit):
    file, (old, new), message = edit
    text = (source_of_dags() / file).read_text()
    assert text.count(old) >= 1
    assert new != old
    assert message
    if edit in faults.BROKEN_AT_RUN:
        compile(text.replace(old, new, 1), file, "exec")
