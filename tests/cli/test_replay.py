"""``sickbay skew --replay`` as a user calls it: what differs, what does not, and what cannot be run at all."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from sickbay.cli import main

CALC = """
print("printed while it is imported")

def spend(rows):
    print("printed while it runs")
    return sum(row["amount"] for row in rows)

def gross(amount, country):
    return amount * 1.19

def share(rows):
    return 1 / rows[0]["count"]

def share_or_one(rows):
    return 1 / (rows[0]["count"] or 1)

def day(moment):
    return moment.date()

def next_hours_day(moment):
    from datetime import timedelta
    return (moment + timedelta(hours=1)).date()

def always_fails(rows):
    return rows[0]["amounts"]

def of_two(rows, other):
    return 0

def leaves(rows):
    import os
    os._exit(3)

number = 3
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("replay")
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    rows = [
        {"amount": 10.25 + k, "country": ("DE", "FR")[k % 2], "moment": start + timedelta(hours=k), "count": k + 1}
        for k in range(20)
    ]
    pd.DataFrame(rows).to_parquet(directory / "rows.parquet")
    pd.DataFrame(rows).assign(vector=[[1.0]] * 20).to_parquet(directory / "nested.parquet")
    pd.DataFrame(rows).head(0).to_parquet(directory / "empty.parquet")
    (directory / "calc.py").write_text(CALC)
    (directory / "broken.py").write_text("import nothing_of_that_name\n")
    (directory / "spend.sql").write_text("-- what serving computes\nSELECT sum(amount) AS spend FROM rows\n")
    return directory


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)


def run(capsys, *arguments, inputs="rows.parquet", examples=80):
    code = main(["skew", "--replay", *arguments, "--inputs", inputs, "--examples", str(examples)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("first", "second"),
    [("calc.py:spend", "SELECT sum(amount) FROM rows"), ("calc.py:gross", "SELECT amount * 1.19 FROM rows"),
     ("calc:spend", "spend.sql"), ("SELECT country FROM rows GROUP BY country", "SELECT DISTINCT country FROM rows"),
     ("SELECT moment FROM rows", "SELECT moment + INTERVAL 0 HOUR FROM rows")],
)  # fmt: skip
def test_the_same_computation_in_another_language_is_the_same(capsys, first, second):
    code, out, _ = run(capsys, first, second)
    assert code == 0
    assert "no proof" in out
    assert "printed" not in out


def test_the_smallest_input_is_printed_and_the_code_is_that_of_a_gate(capsys):
    code, out, _ = run(capsys, "calc.py:spend", "SELECT sum(amount) FROM rows WHERE country = 'DE'")
    assert code == 1
    assert "different on 1 row" in out
    assert "country = 'FR'" in out


def test_the_json_is_one_object(capsys):
    code, out, _ = run(capsys, "calc.py:day", "calc.py:next_hours_day", "--json")
    found = json.loads(out)
    assert (code, found["schema"], found["differs"], len(found["rows"])) == (1, "sickbay.replay/1", True, 1)
    assert found["first"]["result"] < found["second"]["result"]
    assert found["rows"][0]["moment"].endswith("+00:00")


def test_an_exception_on_some_inputs_is_a_difference_and_is_named(capsys):
    code, out, _ = run(capsys, "calc.py:share", "calc.py:share_or_one", "--json", examples=300)
    found = json.loads(out)
    assert code == 1
    assert found["rows"][0]["count"] == 0
    assert found["first"]["raised"] == {"type": "ZeroDivisionError", "message": "division by zero"}
    assert (found["second"]["result"], found["second"]["raised"]) == (1.0, None)


@pytest.mark.parametrize(
    ("first", "words"),
    [("calc.py:always_fails", ("fails on every row", "KeyError", "amounts")),
     ("calc.py:of_two", ("of_two(rows, other)", "cannot be called")), ("calc.py:spent", ("no spent", "spend")),
     ("calc.py:number", ("no function: int",)), ("calc.py:leaves", ("ended its process with 3",)),
     ("broken.py:f", ("cannot be imported", "nothing_of_that_name")), ("nowhere.py:f", ("no file nowhere.py",)),
     ("no_such_module:f", ("cannot be imported",)), ("what is this", ("no computation",)),
     ("SELECT sum(amounts) FROM rows", ("cannot be run", "sum(amounts)", "not found")),
     ("SELECT sum(amount FROM rows", ("cannot be run", "yntax error")),
     ("SELECT 1; DROP TABLE rows", ("not one SELECT",)), ("none.sql", ("cannot be read",)),
     ("SELECT country::INT FROM rows", ("fails on every row", "Could not convert")),
     ("feast:nowhere#view", ("nowhere",)), ("feast:repository", ("names no view",))],
)  # fmt: skip
def test_what_cannot_be_run_is_said_with_its_name_and_the_reason(capsys, first, words):
    code, out, err = run(capsys, first, "SELECT 1")
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err
    assert "hint" in err


@pytest.mark.parametrize(
    ("inputs", "word"), [("empty.parquet", "no rows"), ("none.parquet", "no file"), ("nested.parquet", "vector")]
)
def test_inputs_that_are_none_are_said(capsys, inputs, word):
    code, _, err = run(capsys, "calc.py:spend", "spend.sql", inputs=inputs)
    assert code == 2
    assert word in err


def test_functions_run_in_the_interpreter_that_is_named(capsys):
    assert run(capsys, "calc.py:spend", "calc.py:spend", "--python", sys.executable, "--python", sys.executable)[0] == 0
    code, _, err = run(capsys, "calc.py:spend", "calc.py:spend", "--python", "/no/such/python")
    assert code == 2
    assert "/no/such/python" in err


def test_the_tolerance_is_that_of_the_command(capsys):
    sql = "SELECT sum(amount) * 1.0001 FROM rows"
    assert run(capsys, "calc.py:spend", sql)[0] == 1
    assert run(capsys, "calc.py:spend", sql, "--tolerance", "0.001")[0] == 0


def test_a_computation_that_never_ends_is_given_up(capsys, place, monkeypatch):
    from sickbay.gate import computations

    monkeypatch.setattr(computations, "SECONDS", 1.0)
    (place / "waits.py").write_text("import time\n\ndef f(rows):\n    time.sleep(60)\n")
    code, _, err = run(capsys, "waits.py:f", "SELECT 1")
    assert code == 2
    assert "did not answer" in err


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
        "SELECT sum(amount * a.range * b.range) FROM rows, range(10000000) a, range(10000000) b",
        "SELECT a.range, b.range FROM range(10000000) a, range(10000000) b ORDER BY b.range - a.range",
    ],
)
def test_sql_that_never_ends_is_given_up_as_a_function_is(capsys, place, monkeypatch, sql):
    from sickbay.gate import computations

    monkeypatch.setattr(computations, "SECONDS", 1.0)
    code, out, err = run(capsys, "calc.py:spend", sql)
    assert (code, out) == (2, "")
    assert "did not answer in 1 s" in err
    assert " ".join(sql.split())[:40] in err
    assert run(capsys, "calc.py:spend", "SELECT sum(amount) FROM rows")[0] == 0
