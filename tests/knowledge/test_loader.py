"""Knowledge files: what is wrong is named with file and key, and counts move strengths."""

from __future__ import annotations

import pytest

from sickbay.engine.learning import strength_from_counts
from sickbay.errors import KnowledgeError
from sickbay.knowledge.loader import explain_missing, load, read
from sickbay.registry import KINDS, PROBES
from sickbay.terms.cause import STRENGTHS, Knowledge

FILE = """
[scenario]
id = "house"
title = "House"
symptom = "it smells"
says = "It smells."

[cause.flood]
says = "Water got in."
prior = 0.1
basis = "made up"
shows = { wet = "usually", cold = { strength = "often", on = 18, of = 20 } }
scaled_by = { deploy = 2.0 }
remedies = ["pump"]

[remedy.pump]
says = "Pump."
risk = "none"
"""


def knows(text: str = FILE, name: str = "house.toml") -> Knowledge:
    return read([(name, text)])


def refuses(old: str, new: str, *named: str, hint: str = "") -> None:
    """The file with one thing changed is refused; the message names the file and what is wrong."""
    assert old in FILE
    with pytest.raises(KnowledgeError) as caught:
        knows(FILE.replace(old, new, 1))
    for name in ("house.toml", *named):
        assert name in str(caught.value)
    assert hint in caught.value.hint


def test_words_become_strengths() -> None:
    link = knows().causes["flood"].shows["wet"]
    assert link.strength == STRENGTHS["usually"]
    assert link.basis == "made up"


def test_counts_move_the_strength_and_say_where_it_comes_from() -> None:
    link = knows().causes["flood"].shows["cold"]
    assert link.strength == strength_from_counts(STRENGTHS["often"], 18, 20)
    assert link.strength > STRENGTHS["often"]
    assert link.basis == "18 of 20 injections"


def test_a_cause_carries_its_scenario_and_a_title() -> None:
    cause = knows().causes["flood"]
    assert (cause.scenario, cause.title, cause.remedies) == ("house", "flood", ("pump",))
    assert knows().advice["pump"].risk == "none"


def test_a_file_that_is_not_toml_is_named() -> None:
    refuses("[scenario]", "[scenario", "not TOML")


def test_a_misspelt_key_is_named_with_the_nearest() -> None:
    refuses("prior =", "priior =", "cause.flood", hint="")
    refuses('basis = "made up"', 'basis = "made up"\nremedie = ["x"]', "cause.flood.remedie", hint="remedies")


def test_a_misspelt_strength_is_named_with_the_nearest() -> None:
    refuses('"usually"', '"usualy"', "cause.flood.shows.wet", "'usualy'", hint="'usually'")


def test_a_strength_like_none_of_them_lists_them_all() -> None:
    refuses('"usually"', '"0.9"', "cause.flood.shows.wet", hint="always, usually, often")


def test_a_change_that_does_not_exist_is_named_with_the_nearest() -> None:
    refuses("deploy =", "deploi =", "cause.flood.scaled_by", "'deploi'", hint="'deploy'")


@pytest.mark.parametrize("prior", ["0", "1", "1.5", "-0.1", '"often"'])
def test_a_prior_that_is_no_probability_is_refused(prior: str) -> None:
    refuses("prior = 0.1", f"prior = {prior}", "cause.flood.prior")


def test_counts_that_make_no_sense_are_refused() -> None:
    refuses("on = 18", "on = 28", "cause.flood.shows.cold", "28 of 20")


def test_half_a_count_is_refused() -> None:
    refuses("on = 18, ", "", "cause.flood.shows.cold", "on", "of")


@pytest.mark.parametrize("factor", ["0", "-2.0"])
def test_a_change_factor_that_is_not_positive_is_refused(factor: str) -> None:
    refuses("deploy = 2.0", f"deploy = {factor}", "cause.flood.scaled_by")


def test_a_missing_key_is_named() -> None:
    refuses('says = "Water got in."', "", "cause.flood.says")


@pytest.mark.parametrize("thing", ["scenario house", "cause flood", "remedy pump"])
def test_a_name_used_twice_names_both_files(thing: str) -> None:
    noun, name = thing.split()
    other = FILE.replace('id = "house"', 'id = "shed"').replace("cause.flood", "cause.storm")
    other = other.replace("remedy.pump", "remedy.dig").replace('"pump"', '"dig"')
    new = {"scenario": 'id = "shed"', "cause": "cause.storm", "remedy": "remedy.dig"}[noun]
    old = {"scenario": 'id = "house"', "cause": "cause.flood", "remedy": "remedy.pump"}[noun]
    with pytest.raises(KnowledgeError) as caught:
        read([("one.toml", FILE), ("two.toml", other.replace(new, old))])
    assert str(caught.value) == f"{thing} stands twice: in one.toml and in two.toml"
    assert name in str(caught.value)


def test_a_missing_name_is_explained_by_the_nearest_or_the_list() -> None:
    assert explain_missing("hose", {"house": 1}) == "did you mean 'house'?"
    assert explain_missing("zzz", {"house": 1, "shed": 2}) == "known: house, shed"
    assert explain_missing("zzz", {}) == "known: none"


# --- what is installed ---


def test_every_finding_a_cause_shows_is_one_that_a_probe_can_report() -> None:
    kinds = KINDS.load()
    shown = {(cause.id, name) for cause in load().causes.values() for name in cause.shows}
    assert {(cause, name) for cause, name in shown if name not in kinds} == set()


def test_every_remedy_named_is_described() -> None:
    known = load()
    assert {r for cause in known.causes.values() for r in cause.remedies} <= set(known.advice)


def test_every_scenario_names_probes_findings_and_causes_that_exist() -> None:
    known, probes, kinds = load(), PROBES.load(), KINDS.load()
    for scenario in known.scenarios.values():
        assert set(scenario.first) <= set(probes)
        assert {name for question in scenario.questions for name in question.answered_by} <= set(kinds)
        assert {cause for pair in scenario.inseparable for cause in pair} <= set(known.causes)


def test_every_cause_shows_something_and_says_on_what_basis() -> None:
    for cause in load().causes.values():
        assert cause.shows
        assert cause.basis
        assert cause.says
        assert 0 < cause.prior < 0.5
