"""Airflow 2 by answers that 2.11.2 gave to a Viewer: the same nouns, the same findings, what it hides is unknown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sickbay.investigation import investigate, run_probe
from tests.sources import replay

NOW = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)


@pytest.fixture
def site():
    with replay.served(replay.answers("airflow-2.11")) as address:
        yield {"source": {"airflow": {"url": address, "username": "probe", "password": "probe"}}}


def found(site, probe):
    return {item.id: item for item in run_probe(site, probe, clock=lambda: NOW) if hasattr(item, "status")}


def test_the_failed_task_is_found_behind_the_one_that_waited_for_it(site):
    seen = found(site, "pipeline.runs")
    assert seen["pipeline.not_delivered"].on
    assert "daily_etl.extract failed after 2 tries" in seen["pipeline.task_failed"].says
    assert "1 behind it" in seen["pipeline.task_failed"].says


def test_its_error_is_read_from_the_text_of_the_log(site):
    seen = found(site, "task.error")
    assert seen["task.http_failed"].on
    assert "etl.py" in seen["task.http_failed"].says
    assert [name for name, finding in seen.items() if finding.on] == ["task.http_failed"]


def test_what_a_viewer_may_not_read_is_unknown_with_the_reason(site):
    settings = found(site, "since.changes")["since.settings_changed"]
    assert settings.status == "unknown"
    assert settings.reason.startswith("forbidden")


def test_parts_that_are_not_deployed_are_unknown_and_the_others_measured(site):
    seen = found(site, "pipeline.health")
    assert seen["pipeline.dag_processor_silent"].reason.startswith("not applicable")
    assert seen["pipeline.scheduler_silent"].status == "measured"


def test_the_investigation_names_the_cause(site):
    diagnosis = investigate(site, "pipeline-failure", clock=lambda: NOW)
    assert diagnosis.causes[0].id == "external-api-down"
    assert diagnosis.coverage < 0.9
