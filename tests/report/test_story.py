from __future__ import annotations

from dataclasses import replace

from sickbay import redact
from sickbay.report.glossary import Glossary
from sickbay.report.story import tell
from sickbay.report.terminal import by_reason
from sickbay.terms.diagnosis import Answer, MissingEvidence
from tests.report import sample


def told(name="rich"):
    return tell(sample.ALL[name](), sample.GLOSSARY)


def test_none_of_these_always_has_its_place_in_the_ranking():
    for name, make in sample.ALL.items():
        rows = told(name).hypotheses
        if name != "empty":
            assert [row.id for row in rows].count("") == 1
            assert len(rows) == len(make().causes) + 1
    assert next(row.title for row in told("none_leads").hypotheses) == "None of these"


def test_the_ledger_is_ordered_by_weight_and_compares_the_first_two():
    story = told()
    assert [reason.id for reason in story.reasons][:2] == ["features.nulls_jumped", "onset.sudden"]
    assert (story.reasons[1].leader, story.reasons[1].rival) == (1.4, -0.8)


def test_an_unknown_finding_is_an_open_question_and_not_a_statement():
    says = [gap.says for gap in told().gaps]
    assert "Whether the host ran out of memory" in says
    assert "The host ran out of memory." not in says


def test_missing_evidence_comes_most_useful_first_and_unknown_findings_follow():
    assert [gap.id for gap in told().gaps] == ["arms.one_bad", "host.memory_full", "versions.old_still_good"]


def test_what_other_systems_could_tell_is_one_line_unless_it_could_change_the_ranking():
    away = [
        MissingEvidence(f"airflow.thing_{k}", "pipeline.state", bits, "no data: the site file names no airflow, logs")
        for k, bits in enumerate((0.0, 0.0, 0.2))
    ]
    story = tell(replace(sample.rich(), missing=(*sample.rich().missing, *away)), sample.GLOSSARY)
    assert "airflow.thing_2" in [gap.id for gap in story.gaps]
    assert "airflow.thing_0" not in [gap.id for gap in story.gaps]
    assert story.elsewhere.startswith("Not looked at: 2 findings of other scenarios")
    assert "airflow and logs" in story.elsewhere
    assert told().elsewhere == ""


def test_an_unanswered_question_says_why():
    assert told().replies[-1].why_not == "Not answered: no data: the site names no arm column."
    bare = replace(sample.rich(), answers=(Answer("Why?", ()),))
    assert tell(bare, sample.GLOSSARY).replies[0].why_not.startswith("Not answered: nothing that was measured")


def test_no_remedy_is_proposed_on_priors_alone():
    story = told("nothing_measured")
    assert story.steps == ()
    assert any("no evidence went into them" in caveat for caveat in story.caveats)


def test_an_unmeasured_symptom_is_said_at_the_head():
    known = sample.rich()
    findings = tuple(
        replace(f, status="unknown", log_ratio=0.0, reason="no data: no labels") if f.id == known.symptom else f
        for f in known.findings
    )
    story = tell(replace(known, findings=findings), sample.GLOSSARY)
    assert any("Whether the symptom is there was not measured" in caveat for caveat in story.caveats)


def test_a_remedy_that_knowledge_does_not_describe_is_named():
    assert tell(sample.rich(), Glossary()).steps[0].says == "Repair feature pipeline."


def test_a_planted_secret_does_not_come_out():
    redact.remember("hunter2-hunter2")
    known = sample.rich()
    leaky = replace(known, findings=(replace(known.findings[0], says="dsn is hunter2-hunter2"),))
    assert "hunter2" not in str(tell(leaky, sample.GLOSSARY))


def test_without_evidence_the_ranking_is_not_called_one_of_causes():
    assert told("nothing_measured").ranking.startswith("Before any evidence")
    assert told("empty").hypotheses == ()


def test_gaps_with_one_reason_are_one_line():
    lines = by_reason(told("nothing_measured").gaps)
    assert len(lines) == 3
    assert lines[-1].startswith("Refused: connection to the store refused. This leaves open whether")
    assert lines[-1].endswith("and 6 more.")
