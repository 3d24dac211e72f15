"""One behaviour suite over every engine: the same table gives the same profile, number for number."""

from __future__ import annotations

import dataclasses
import math
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from sickbay.errors import SickbayError, SourceForbidden, TableError
from sickbay.sources.relations import open_relation
from sickbay.stats import profiling
from sickbay.stats.bins import LevelBins, NumberBins
from sickbay.stats.judging import judge
from tests.services import nasty
from tests.services import postgres as postgres_server

ROWS = 6_000
ENGINES = [
    "duckdb",
    "duckdb, asked by rows",
    "duckdb, without TRY_CAST",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("clickhouse", marks=pytest.mark.clickhouse),
    pytest.param("spark", marks=pytest.mark.spark),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("nasty")
    for name, seed, shift in (("reference", 1, 0.0), ("current", 2, 0.6)):
        nasty.write_parquet(directory / f"{name}.parquet", nasty.rows(seed, ROWS, shift))
    return directory


@pytest.fixture(scope="module")
def postgres():
    with postgres_server.server() as address:
        for name, seed, shift in (("reference", 1, 0.0), ("current", 2, 0.6)):
            nasty.write_postgres(address, name, nasty.rows(seed, ROWS, shift))
        yield address


@pytest.fixture(params=ENGINES)
def opened(request, files):
    """Return a function name → relation of the engine in question."""
    made = []

    def opener(name: str):
        match request.param:
            case "postgres":
                relation = open_relation(f"{request.getfixturevalue('postgres')}#public.{name}", base=files, key="it")
            case "clickhouse":
                relation = open_relation(f"chdb://#{name}.parquet", base=files, key="it")
            case "spark":
                frame = request.getfixturevalue("spark").read.parquet(str(files / f"{name}.parquet"))
                relation = open_relation(frame, base=files, key="it")
            case _:
                relation = open_relation(str(files / f"{name}.parquet"), base=files, key="it")
                relation.layout = "rows" if "rows" in request.param else "columns"
                relation.has_try_cast = "TRY_CAST" not in request.param
        made.append(relation)
        return relation

    yield opener
    for relation in made:
        relation.close()


@pytest.fixture(scope="module")
def expected(files):
    """What embedded DuckDB says in its quickest form."""
    reference = open_relation(str(files / "reference.parquet"), base=files, key="it")
    current = open_relation(str(files / "current.parquet"), base=files, key="it")
    before = profiling.reference(reference)
    now = profiling.measure(current, before.bins)
    yield before, now
    reference.close()
    current.close()


def test_a_reference_profile_is_the_same_on_every_engine(opened, expected):
    assert differences(profiling.reference(opened("reference")), expected[0], approximate=("distinct",)) == []


def test_a_profile_over_given_bins_is_the_same_on_every_engine(opened, expected):
    assert differences(profiling.measure(opened("current"), expected[0].bins), expected[1]) == []


def test_the_verdicts_are_the_same_on_every_engine(opened, expected):
    before, now = profiling.reference(opened("reference")), profiling.measure(opened("current"), expected[0].bins)
    verdicts = [(judged.name, judged.drifted) for judged in judge(before, now)]
    assert verdicts == [(judged.name, judged.drifted) for judged in judge(*expected)]


def test_counts_agree_with_counting_by_hand(opened):
    table = nasty.rows(1, ROWS)
    found = profiling.reference(opened("reference")).columns
    place = list(nasty.COLUMNS).index
    odd = [row[place("odd")] for row in table]
    assert found["odd"].nulls == sum(v is None for v in odd)
    assert found["odd"].nans == sum(v is not None and math.isnan(v) for v in odd)
    assert found["odd"].infinite == sum(v is not None and math.isinf(v) for v in odd)
    for name in ("plain", "whole", "heavy", "zeros", "constant"):
        values = np.array([row[place(name)] for row in table if row[place(name)] is not None], dtype=float)
        edges = found[name].edges
        by_hand = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        assert found[name].counts.tolist() == by_hand.tolist(), name
        assert found[name].mean == pytest.approx(values.mean(), rel=1e-9)
        assert (found[name].low, found[name].high) == (values.min(), values.max())
    flags = [row[place("flag")] for row in table]
    counted = dict(zip(found["flag"].levels, found["flag"].counts, strict=False))
    assert counted == {"true": flags.count(True), "false": flags.count(False)}


def test_quantiles_are_within_two_percent_in_rank(opened):
    table = nasty.rows(1, ROWS)
    found = profiling.reference(opened("reference")).columns
    for name in ("plain", "heavy", "single"):
        values = np.sort(
            [row[list(nasty.COLUMNS).index(name)] for row in table if row[list(nasty.COLUMNS).index(name)] is not None]
        )
        for level in (0.01, 0.1, 0.5, 0.9, 0.99):
            rank = np.searchsorted(values, found[name].quantile(level)) / len(values)
            assert abs(rank - level) < 0.02, (name, level, rank)


def differences(found, wanted, approximate: tuple[str, ...] = ()) -> list[str]:
    """Return what differs between two profiles, field by field, except for rounding of sums."""
    said = [] if found.rows == wanted.rows else [f"rows {found.rows} {wanted.rows}"]
    if list(found.columns) != list(wanted.columns):
        return [*said, f"columns {list(found.columns)} {list(wanted.columns)}"]
    for name, column in wanted.columns.items():
        other = found.columns[name]
        for part in dataclasses.fields(column):
            a, b = getattr(other, part.name), getattr(column, part.name)
            if not _same(a, b, loosely=part.name in approximate):
                said.append(f"{name}.{part.name}: {a} instead of {b}")
    return said


def _same(a, b, *, loosely: bool = False) -> bool:
    if isinstance(b, NumberBins):
        return np.array_equal(a.edges, b.edges) and _same(a.low, b.low) and _same(a.high, b.high) and a.step == b.step
    if isinstance(b, LevelBins):
        return sorted(a.levels) == sorted(b.levels) and a.complete == b.complete
    if isinstance(b, np.ndarray):
        return a.tolist() == b.tolist()
    if isinstance(b, float):
        return a == pytest.approx(b, rel=0.1 if loosely else 1e-9, abs=1e-12, nan_ok=True)
    return a == b


@pytest.mark.postgres
def test_a_table_that_is_not_there_and_one_that_is_forbidden_are_told_apart(postgres):
    import psycopg

    with pytest.raises(TableError, match=r"there is no table public\.nothing"):
        open_relation(f"{postgres}#public.nothing", base=Path(), key="--current")
    with psycopg.connect(postgres) as con:
        con.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger-secret'")
    stranger = postgres.replace("postgres@", "stranger:stranger-secret@")
    relation = open_relation(f"{stranger}#public.current", base=Path(), key="--current")
    with pytest.raises(SourceForbidden, match="permission denied"):
        profiling.reference(relation)
    relation.close()


@pytest.mark.postgres
def test_the_session_cannot_write(postgres):
    relation = open_relation(f"{postgres}#public.current", base=Path(), key="it")
    with pytest.raises(SickbayError, match="read-only"):
        relation.run("DELETE FROM public.current")
    relation.close()


@pytest.mark.postgres
def test_a_server_that_is_away_is_an_error_that_shows_no_password():
    with pytest.raises(SickbayError) as caught:
        open_relation("postgresql://me:hunter2@127.0.0.1:1/x#t", base=Path(), key="--current")
    assert "hunter2" not in str(caught.value)


@pytest.mark.spark
def test_spark_reads_the_table_once(spark, files, expected):
    relation = open_relation(spark.read.parquet(str(files / "current.parquet")), base=files, key="it")
    asked = []
    run = relation.run
    relation.run = lambda sql: asked.append(sql) or run(sql)
    profiling.measure(relation, expected[0].bins)
    assert len(asked) == 1
    plan = spark.sql(f"EXPLAIN FORMATTED {asked[0]}").collect()[0][0]
    assert plan.count("(1) Scan parquet") >= 1
    assert len({line for line in plan.splitlines() if "Scan parquet" in line and line.startswith("(")}) == 1
    relation.close()


@pytest.mark.spark
def test_spark_runs_in_several_processes(spark):
    executors = spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
    assert len(executors) >= 3, "a driver and two executors"
    assert os.getpid() > 0


@pytest.mark.postgres
def test_a_log_that_stays_in_postgres_is_watched_there_like_a_file(postgres, tmp_path):
    import psycopg

    from sickbay.config import load_site
    from sickbay.monitor.store import Store
    from sickbay.monitor.watching import Watch

    rng = np.random.default_rng(8)
    with psycopg.connect(postgres) as con:
        for table, days in (("seen", 1), ("log", 6)):
            con.execute(f"CREATE TABLE {table} (ts timestamp, x float8, score float8, prediction int, label boolean)")
            with con.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for i in range(2000 * days):
                    x = float(rng.normal(1.0 if table == "log" and i >= 10_000 else 0.0, 1))
                    score = 1 / (1 + math.exp(-x))
                    moment = f"2026-01-0{1 + i // 2000} {i % 2000 // 100:02}:{i % 60:02}:00"
                    copy.write_row((moment, x, score, int(score > 0.5), bool(rng.random() < score)))
    columns = {"timestamp": "ts", "prediction": "prediction", "score": "score", "label": "label"}
    model = {"predictions": f"{postgres}#log", "reference": f"{postgres}#seen", "columns": columns}
    site = load_site({"model": {"m": model}, "monitor": {"d": {"window": "1d"}}}, {}, tmp_path)
    store = Store(tmp_path / "watch.db")
    (done,) = Watch(site, store, environ={}).turn(datetime(2026, 1, 7, 1, tzinfo=UTC))
    assert done.error == ""
    assert [pane.profile.rows for pane in store.panes("d", 0, 2**40)] == [2000] * 6
    assert {e.series for e in done.events} == {"x/values", "(score)/values"}
    assert store.panes("d", 0, 2**40)[0].performance.labelled == 2000
