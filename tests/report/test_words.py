from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

from sickbay.report import glossary, html, markdown, notebook, story, terminal, words
from sickbay.report.charts import distribution, ledger, series, svg
from sickbay.terms.finding import measured
from tests.report import sample

MODULES = (glossary, html, markdown, notebook, story, terminal, words, distribution, ledger, series, svg)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_examples_in_docstrings_run(module):
    assert doctest.testmod(module).failed == 0


def test_the_verdict_names_the_leader_and_its_probability():
    assert words.verdict(sample.rich()) == "Broken feature pipeline, very probably (94%)."


def test_nothing_measured_is_said_first_and_no_cause_is_named():
    first = words.verdict(sample.nothing_measured())
    assert first.startswith("Nothing could be measured")
    assert "11 findings are unknown" in first
    assert "pipeline" not in first


def test_no_probe_is_not_a_healthy_system():
    said = words.verdict(sample.empty())
    assert "no probe ran" in said
    assert "normal" not in said
    assert "healthy" not in said


def test_none_of_these_leads_honestly():
    said = words.verdict(sample.none_leads())
    assert said.startswith("No catalogued cause explains what was measured (none of these: 68%)")


def test_an_absent_symptom_is_said_to_be_absent_and_nothing_more():
    known = sample.none_leads()
    off = tuple(measured(f.id, -3.0) if f.id == known.symptom else f for f in known.findings)
    assert words.verdict(replace(known, findings=off)).startswith("The symptom was not found")


def test_an_unbelieved_leader_is_not_a_claim():
    assert words.verdict(sample.interrupted()).startswith("No cause is established; the likeliest is")


def test_two_faults_are_named_together():
    two = replace(sample.rich(), pairs=(("data-drift", "feature-pipeline-broken", 0.72),))
    assert words.verdict(two) == "Two faults at once, probably (72%): data drift and broken feature pipeline."


def test_certainty_is_never_claimed():
    assert words.percent(1.0) == ">99%"
    assert words.percent(0.0) == "<1%"


def test_the_command_that_runs_it_again_holds_every_setting():
    assert words.again(sample.rich()) == (
        "sickbay investigate model-degradation --model fraud --since 21d --budget 60s --mode balanced"
    )


def test_the_command_quotes_what_a_shell_would_split():
    odd = replace(sample.rich(), settings={"model": "a b; rm 'x'"})
    assert "--model 'a b; rm '\\''x'\\'''" in words.again(odd)
