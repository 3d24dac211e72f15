"""What runs over a whole table is built from few kinds of expression; the native histogram agrees with them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlglot import exp

from sickbay.config import load_site
from sickbay.sources.context import Context
from sickbay.sources.dialects import ALLOWED, render
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import bins, encoding, groups, profiling, timeline
from sickbay.stats.table import ARM, Frame


class Recorder:
    """A table that keeps the expressions it was asked for."""

    def __init__(self, inner):
        self.inner = inner
        self.asked = []
        self.kinds, self.roles, self.whole = inner.kinds, inner.roles, inner.whole
        self.layout, self.has_try_cast = inner.layout, inner.has_try_cast

    def query(self, select):
        self.asked.append(select)
        return self.inner.query(select)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    import duckdb

    path = tmp_path_factory.mktemp("log") / "log.parquet"
    duckdb.sql(
        "SELECT TIMESTAMP '2026-01-01' + to_hours(range::INT) AS ts, sin(range) * 10 AS a, "
        "CASE WHEN range % 11 = 0 THEN NULL ELSE (range % 7)::FLOAT END AS b, 'k' || (range % 3) AS c, "
        "(range % 2)::INT AS prediction, (range % 5 = 0)::INT AS label, 'x' AS arm FROM range(3000)"
    ).write_parquet(str(path))
    columns = {"timestamp": "ts", "prediction": "prediction", "label": "label", "arm": "arm"}
    site = load_site({"model": {"m": {"predictions": str(path), "columns": columns}}}, {}, path.parent)
    opened = PredictionLog.connect(Context(site, datetime(2027, 1, 1, tzinfo=UTC)))
    yield opened
    opened.close()


def test_every_expression_over_the_whole_table_is_of_an_allowed_kind(log):
    table = Recorder(log.everything())
    sample = Frame(log.everything().sample(["a", "b", "c"], 500), log.kinds, 500)
    encoder = encoding.fit(sample, ["a", "b", "c"])
    sampled = bins.sampled_edges(sample, ["a", "b", "c"])
    profiling.measure(table, {**sampled, "c": bins.LevelBins(encoder.levels["c"])})
    profiling.reference(table)
    timeline.measure(table, log.first, log.last, ["a", "b", "c"], {"c": "k1"})
    groups.measure(table, ARM)
    assert len(table.asked) >= 3
    kinds = {
        type(node).__name__ for select in table.asked for node in select.walk() if isinstance(node, exp.Expression)
    }
    assert kinds <= ALLOWED, kinds - ALLOWED


@pytest.mark.parametrize("dialect", ["postgres", "clickhouse", "spark"])
def test_what_the_embedded_engine_alone_is_asked_is_refused_elsewhere(dialect):
    hashed = exp.select(exp.Anonymous(this="hash", expressions=[exp.column("a")])).from_("rows")
    assert "HASH" in render(hashed, "duckdb", exp.to_table("t"))
    with pytest.raises(TypeError, match="outside the portable core"):
        render(hashed, dialect, exp.to_table("t"))


def test_a_sample_is_the_same_every_time(log):
    first, second = (log.everything().sample(["a"], 400)["a"] for _ in range(2))
    assert np.array_equal(first, second)
    assert len(first) == 400


def test_two_windows_share_no_row_and_lose_none(log):
    cut = datetime(2026, 2, 1)
    rows = [len(log.window(a, b).sample(["a"], 10_000)["a"]) for a, b in ((None, cut), (cut, None))]
    assert sum(rows) == log.rows
