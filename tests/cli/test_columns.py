from __future__ import annotations

import doctest

from sickbay.cli import columns, explain


def test_examples_in_docstrings_run():
    assert doctest.testmod(explain).failed == 0


def guessed(**given):
    names = list(given)
    types = [kind for kind, _ in given.values()]
    rows = list(zip(*(values for _, values in given.values()), strict=True))
    return {role: (guess.column, guess.sure) for role, guess in columns.roles(names, types, rows).items()}


def test_a_name_and_values_that_agree_are_sure():
    assert guessed(score=("DOUBLE", [0.1, 0.9]))["score"] == ("score", "sure")


def test_values_that_contradict_the_name_are_believed():
    assert "score" not in guessed(score=("DOUBLE", [310.0, 705.0]))
    assert "timestamp" not in guessed(date=("VARCHAR", ["soon", "later"]))


def test_a_type_alone_is_a_guess():
    assert guessed(when_it_was=("TIMESTAMP", [None, None]))["timestamp"] == ("when_it_was", "a guess")


def test_a_prediction_score_is_a_score_and_not_a_prediction():
    found = guessed(prediction_score=("DOUBLE", [0.1, 0.2]), decision=("VARCHAR", ["accept", "refuse"]))
    assert found["score"][0] == "prediction_score"
    assert found["prediction"][0] == "decision"


def test_text_dates_are_times_and_numbers_are_not_dates():
    assert guessed(ts=("VARCHAR", ["2026-01-05T03:00:00", "2026-01-06"]))["timestamp"] == ("ts", "sure")


def test_the_task_follows_the_label():
    roles = {"label": columns.Guess("y", "sure", "")}
    assert columns.task(["y"], [(0,), (1,)], roles).column == "binary"
    assert columns.task(["y"], [("a",), ("b",), ("c",)], roles).column == "multiclass"
    assert columns.task(["y"], [(0.12,), (3.4,), (5.1,)], roles).column == "regression"
    assert columns.task([], [], {}).sure == "a guess"


def test_an_empty_table_gives_guesses_by_name_only():
    found = columns.roles(["ts", "score"], ["TIMESTAMP", "DOUBLE"], [])
    assert found["timestamp"].column == "ts"
    assert columns.segments(["country"], ["VARCHAR"], [], set()) == {}
