"""A real Airflow read with its least role: what is well is left in peace, what is hidden is unknown with its reason."""

from __future__ import annotations

import tomllib

import pytest

from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab import live
from sickbay.lab.systems import airflow
from tests.services.looks import look, looked

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("pipeline", tmp_path_factory.mktemp("pipeline") / "system")
    yield held
    held.close()


def source(lab, **changed):
    """Return the site with Airflow alone, and of that what is changed."""
    given = tomllib.loads(lab.site_file.read_text())["source"]["airflow"]
    kept = {"url": given["url"], "username": given["username"], "password": airflow.VIEWER[1], "dags": given["dags"]}
    return {"source": {"airflow": kept | changed}}


def test_the_healthy_system_is_left_in_peace(lab):
    assert [check for check in doctor(lab.site_file) if not check.ok] == []
    diagnosis = look(lab)
    assert diagnosis.none_of_these > 0.8
    assert [f.id for f in diagnosis.findings if f.on] == []


def test_a_viewer_may_read_all_that_is_asked(lab):
    assert [check.detail for check in doctor(source(lab)) if not check.ok] == []


def test_a_wrong_password_is_said_and_reads_as_nothing_else(lab):
    for probe in ("pipeline.runs", "task.error", "scheduling.slots"):
        found = run_probe(source(lab, password="hunter2-wrong"), probe)
        assert {f.status for f in found} == {"unknown"}
        assert all(f.reason.startswith("forbidden") for f in found)
        assert "hunter2-wrong" not in repr(found)
    checks = doctor(source(lab, password="hunter2-wrong"))
    assert [check.what for check in checks if check.ok] == ["airflow health"]
    assert any("Invalid credentials" in check.detail for check in checks)


def test_a_pipeline_that_is_not_there_is_said(lab):
    found = run_probe(source(lab, dags=["no_such_pipeline"]), "pipeline.runs")
    assert {f.status for f in found} == {"unknown"}


def test_half_a_site_gets_the_diagnosis_that_the_rest_allows(lab):
    lab.break_("stop_rates_api", seed=1)
    try:
        diagnosis = investigate(source(lab), "pipeline-failure")
        whole = look(lab)
    finally:
        lab.heal()
    for one in (diagnosis, whole):
        assert one.causes[0].id == "external-api-down"
        assert one.causes[0].probability > 0.5
        assert not [cause.id for cause in one.causes[1:] if cause.probability >= 0.5]
    # how sure each is, and how much it had seen by then, hangs on where its planner stopped; what a site lacks does not
    assert diagnosis.coverage < 0.9
    half_lacks, whole_lacks = lacks(diagnosis), lacks(whole)
    assert whole_lacks < half_lacks
    assert {"endpoint.down", "network.port_refused", "database.unreachable", "data.late"} <= half_lacks - whole_lacks
    assert any(m.reason.startswith("no data: the site file names no http") for m in diagnosis.missing)


def lacks(diagnosis):
    """Return the findings that were not measured because the site names no source of theirs."""
    return {m.finding for m in diagnosis.missing if m.reason.startswith("no data: the site file names no ")}


def test_the_report_says_what_failed_what_is_late_and_what_each_way_out_costs(lab):
    lab.break_("revoke_rates_key", seed=1)
    try:
        looked(lab, "revoke_rates_key")
        diagnosis = look(lab)
    finally:
        lab.heal()
    told = {answer.asks: " ".join(answer.says) for answer in diagnosis.answers}
    assert "extract_rates failed after 2 tries" in told["What failed, and since when?"]
    assert "a rerun takes" in told["What is late, and what does each way out cost?"]
    table = diagnosis.finding("deadline.at_risk").evidence.exhibits[0]
    assert [row[0].split(",")[0] for row in table.rows] == [
        "yesterday's data", "suspend today's training", "rerun from extract_rates on", "rerun all",
    ]  # fmt: skip


def test_data_of_the_warehouse_is_read_by_partition(lab):
    found = {f.id: f for f in run_probe(lab.site_file, "data.freshness")}
    assert {f.status for f in found.values()} == {"measured"}
    assert not [f for f in found.values() if f.on]
