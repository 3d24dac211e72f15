"""Without a scenario the symptoms decide: what is looked for, what is found, and what the diagnosis is called."""

from __future__ import annotations

import pytest

from sickbay.conformance.cases import Case, write_tables
from sickbay.errors import UnknownNameError
from sickbay.investigation import investigate
from sickbay.lab.systems.processes import free_port

HEALTHY = Case("none", "healthy")
BROKEN = Case("none", "broken", set={"amount": "CASE WHEN late THEN NULL ELSE amount END", "truth": "score > 0.4"})


@pytest.fixture
def nobody():
    """A tracking server whose port nobody listens on."""
    return {"mlflow": {"url": f"http://127.0.0.1:{free_port()}"}}


def test_a_tracking_server_that_is_away_is_found_beside_a_healthy_model(tmp_path, nobody):
    found = investigate(write_tables(HEALTHY, tmp_path) | {"source": nobody})
    assert found.scenario == "tracking-down"
    assert found.causes[0].id == "tracking-server-down"
    assert "not given" in found.settings["scenario"]


def test_a_sick_model_is_found_where_nothing_else_can_be_looked_at(tmp_path):
    found = investigate(write_tables(BROKEN, tmp_path))
    assert found.scenario == "model-degradation"
    assert found.causes[0].id == "feature-pipeline-broken"
    assert found.answers, "the questions are those of the scenario that was concluded"


def test_a_scenario_that_does_not_exist_names_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="tracking-dwn") as caught:
        investigate(write_tables(HEALTHY, tmp_path), "tracking-dwn")
    assert "tracking-down" in caught.value.hint
