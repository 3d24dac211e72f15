from __future__ import annotations

import pytest

from sickbay.errors import UserError
from sickbay.lab import metrics
from sickbay.lab.bench import bench, plan
from sickbay.lab.operations import open_lab, start


def case(truth, ranked, **more):
    return metrics.Case(0, 0, tuple(truth), (), tuple(ranked), 0.1, 5, 1.0, **more)


def test_the_figures_of_a_set_that_can_be_counted_by_hand():
    cases = [
        case(["a"], [("a", 0.95), ("b", 0.02)]),
        case(["a"], [("b", 0.6), ("a", 0.3)]),
        case(["a", "b"], [("b", 0.9), ("a", 0.8)]),
        case([], [("a", 0.55)]),
        case([], []),
    ]
    figures = metrics.summarise(cases)
    assert figures["top1"] == pytest.approx(2 / 3)
    assert figures["top3"] == 1.0
    assert figures["both_in_top2"] == 1.0
    assert figures["false_claims_50"] == 0.5
    assert figures["right_at_90"] == 1.0
    assert figures["share_at_90"] == pytest.approx(2 / 5)
    assert figures["counts"] == {
        "cases": 5, "single": 2, "double": 1, "controls": 2, "claims_90": 2, "errors": 0,
    }  # fmt: skip


def test_no_case_is_no_figure_not_zero():
    figures = metrics.summarise([])
    assert figures["top1"] is None
    assert figures["ece"] is None


def test_a_claim_counts_in_the_bin_of_its_probability():
    table, ece = metrics.reliability([case(["a"], [("a", 0.95)]), case(["a"], [("b", 0.95)])])
    assert table == [{"from": 0.9, "cases": 2, "claimed": 0.95, "right": 0.5}]
    assert ece == pytest.approx(0.45)


def test_link_counts_take_single_faults_only():
    cases = [
        case(["a"], [], findings={"f": True}),
        case(["a"], [], findings={"f": False}),
        case(["a", "b"], [], findings={"f": True}),
    ]
    assert metrics.link_counts(cases) == {"a": {"f": (1, 2)}}


def test_a_case_depends_on_seed_and_index_alone():
    assert plan("model-degradation", 5, 17) == plan("model-degradation", 5, 17)
    assert plan("model-degradation", 5, 17) != plan("model-degradation", 6, 17)


def test_an_unknown_scenario_or_no_case_is_refused():
    with pytest.raises(UserError, match="no benchmark"):
        bench("model-degredation", cases=1)
    with pytest.raises(UserError, match="at least one case"):
        bench(cases=0)


def test_the_lab_refuses_what_it_cannot_start(tmp_path):
    with pytest.raises(UserError, match="no system"):
        start(tmp_path, system="frod")
    with pytest.raises(UserError, match="no setting"):
        start(tmp_path, row=5)
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UserError, match="not empty"):
        start(tmp_path)
    with pytest.raises(UserError, match="no lab system was started"):
        open_lab(tmp_path)


@pytest.mark.lab
def test_the_benchmark_prints_its_contract():
    printed = bench(cases=2, seed=1, workers=1).to_dict()
    assert printed["schema"] == "sickbay.bench/1"
    for key in ("scenario", "top1", "top3", "false_claims_50", "right_at_90", "ece", "median_seconds", "cases"):
        assert key in printed
    assert {"seed", "truth", "ranked", "probes", "seconds"} <= set(printed["cases"][0])
