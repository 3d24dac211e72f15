"""Two computations on the same inputs: what differs is found and shrunk, what does not is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import sickbay
from sickbay.errors import UserError

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
ROWS = [
    {"amount": 10.25 + k, "country": ("DE", "FR")[k % 2], "at": START + timedelta(hours=k), "count": k}
    for k in range(20)
]


def mean(rows):
    return sum(r["amount"] for r in rows) / len(rows)


def test_the_same_computation_in_python_and_sql_differs_nowhere():
    assert not sickbay.replay(mean, "SELECT avg(amount) FROM rows", ROWS, examples=60).differs


def test_another_window_is_shrunk_to_one_row_at_the_boundary():
    def six(rows):
        last = max(r["at"] for r in rows)
        return sum(r["at"] > last - timedelta(hours=6) for r in rows)

    def seven(rows):
        last = max(r["at"] for r in rows)
        return sum(r["at"] > last - timedelta(hours=7) for r in rows)

    found = sickbay.replay(six, seven, ROWS[:1] + ROWS[4:5])
    assert found.differs
    assert len(found.rows) == 2, found.says


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (mean, lambda rows: round(mean(rows), 1)),
        (lambda rows: rows[0]["country"], lambda rows: rows[0]["country"].upper()),
        (lambda rows: sum(r["count"] for r in rows), lambda rows: sum(r["count"] for r in rows if r["count"] < 25)),
        (lambda rows: rows[-1]["at"].date(), lambda rows: (rows[-1]["at"] + timedelta(hours=1)).date()),
        (lambda rows: 1 / (rows[0]["count"] + 1), lambda rows: 1 / (rows[0]["count"] or 1)),
        ("SELECT sum(amount) FROM rows", "SELECT sum(amount) FROM rows WHERE country = 'DE'"),
    ],
)
def test_a_difference_is_found_and_is_small(first, second):
    found = sickbay.replay(first, second, ROWS)
    assert found.differs
    assert len(found.rows) <= 2, found.says


def test_an_on_demand_view_is_run_by_its_own_function():
    class Transformation:
        @staticmethod
        def udf(frame):
            frame["double"] = frame["amount"] * 2
            return frame[["double"]]

    class View:
        feature_transformation = Transformation

    assert not sickbay.replay(View, lambda rows: [{"double": r["amount"] * 2} for r in rows], ROWS, examples=50).differs
    assert sickbay.replay(View, lambda rows: [{"double": r["amount"] * 2.01} for r in rows], ROWS, examples=50).differs


def test_no_rows_and_no_computation_are_said():
    with pytest.raises(UserError, match="no rows"):
        sickbay.replay(mean, mean, [])
    with pytest.raises(UserError, match="no computation"):
        sickbay.replay(3, mean, ROWS)
