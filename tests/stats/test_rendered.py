"""What would run on Trino, Snowflake, BigQuery and Databricks: rendered and kept, for nobody ran it there.

A change of a file in ``tests/stats/rendered`` is a change of what these engines are asked: read it, then write the
files anew with ``SICKBAY_WRITE_RENDERED=1 pytest tests/stats/test_rendered.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import sqlglot
from sqlglot import exp

from sickbay.sources.dialects import render
from sickbay.sources.relations import open_relation
from sickbay.stats import profiling, slices

HERE = Path(__file__).parent / "rendered"
DIALECTS = ("trino", "snowflake", "bigquery", "databricks")
FRAME = pd.DataFrame({
    "amount": [0.5, 1.5, 2.5, 4.0, 8.0, 16.0, 1e9, None], "country": ["DE", "DE", "FR", "O'Neill", None, "x", "y", "z"],
    "spread": [1e-9, 1e-3, 1.0, 1e3, 1e6, 1e9, 1e12, 1e15],
})  # fmt: skip


class Recorder:
    """A relation that keeps the expressions it was asked for, and says it reads rows, as a warehouse does."""

    def __init__(self, inner):
        self.inner, self.asked = inner, []
        self.kinds, self.roles, self.whole, self.layout = inner.kinds, inner.roles, inner.whole, "rows"
        self.has_try_cast, self.dialect = False, inner.dialect

    def query(self, select):
        self.asked.append(select)
        return self.inner.query(select)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.fixture(scope="module")
def asked():
    relation = open_relation(FRAME, base=Path(), key="given")
    table = Recorder(relation)
    profile = profiling.reference(table)
    profiling.measure(table, profile.bins)
    cut = slices.cuts(profile)
    assert slices.count(table, cut, [(name,) for name in cut]) == [], "there is no loss to count here"
    yield table.asked
    relation.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_an_engine_is_asked_is_what_was_read_and_kept(asked, dialect):
    source = exp.to_table("warehouse.predictions")
    said = ";\n\n".join(sqlglot.transpile(render(s, dialect, source), dialect, dialect, pretty=True)[0] for s in asked)
    path = HERE / f"{dialect}.sql"
    if os.environ.get("SICKBAY_WRITE_RENDERED"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(said + ";\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == said + ";\n"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_function_is_used_that_an_engine_lacks(dialect):
    """The functions of the kept statements are of the few that all four document."""
    parsed = sqlglot.parse((HERE / f"{dialect}.sql").read_text(encoding="utf-8"), dialect=dialect)
    used = {type(node).__name__ for tree in parsed for node in tree.walk() if isinstance(node, exp.Func)}
    assert used <= {
        "Cast", "TryCast", "Case", "If", "Count", "Sum", "Min", "Max", "Abs", "Ceil", "ApproxDistinct", "RowNumber",
        "And", "Or",
    }  # fmt: skip
