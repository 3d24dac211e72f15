from __future__ import annotations

import pytest

from sickbay.investigation import investigate
from sickbay.lab.operations import start

pytestmark = pytest.mark.flights


def test_the_weather_that_is_missing_at_the_end_of_2013_is_found(tmp_path):
    """The weather table of the data ends on 30 December 18:00: a real break, which nobody put there."""
    lab = start(tmp_path / "flights", system="flights")
    diagnosis = investigate(lab.site_file, "model-degradation")
    assert diagnosis.leader is not None
    assert diagnosis.leader.id == "feature-pipeline-broken"
    broken = diagnosis.finding("features.values_broken")
    assert broken is not None
    assert {"temp", "visib", "humid"} <= set(broken.evidence.numbers["columns"])
    dated = diagnosis.finding("onset.instant")
    assert dated is not None
    assert "2013-12-30" in dated.says
