"""Two sides in two engines, Parquet beside PostgreSQL, ClickHouse and Spark: they say what one engine would say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

import sickbay
from sickbay.cli import main
from sickbay.errors import TableError
from sickbay.stats.skew import apart
from tests.services.sides import FEATURES

ENGINES = [
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("clickhouse", marks=pytest.mark.clickhouse),
    pytest.param("spark", marks=pytest.mark.spark),
]
FEW = 1_500
"""Rows carried when a sample is to be drawn."""


@pytest.fixture(params=ENGINES)
def there(request, side_files, monkeypatch):
    """Return a side as a table of another engine than the files'."""
    monkeypatch.chdir(side_files)

    def side(role: str):
        match request.param:
            case "postgres":
                return f"{request.getfixturevalue('side_postgres')}#public.{role}"
            case "clickhouse":
                return f"chdb://#{role}.parquet"
            case _:
                return request.getfixturevalue("spark").read.parquet(str(side_files / f"{role}.parquet"))

    return side


ASKED = {
    "equal": {"keys": ["whole"]},
    "equal at a time": {"keys": ["whole"], "time": "at"},
    "as of": {"keys": ["whole"], "time": "at", "online_time": "at"},
    "text first": {"keys": ["many", "whole"]},
}


@pytest.mark.parametrize("how", ASKED)
@pytest.mark.parametrize("far", ["offline", "online"])
def test_all_rows_of_two_engines_say_what_one_engine_says(there, far, how):
    given = {"offline": "offline.parquet", "online": "online.parquet"}
    wanted = sickbay.skew(**given, features=FEATURES, **ASKED[how])
    found = sickbay.skew(**{**given, far: there(far)}, features=FEATURES, **ASKED[how])
    assert found.sampled.whole
    assert found.sides == wanted.sides
    assert [counted(f) for f in found.features] == [counted(f) for f in wanted.features]
    assert said(found) == said(wanted)


@pytest.mark.parametrize("key", ["whole", "many"])
def test_a_sample_is_the_same_whichever_side_is_elsewhere(there, monkeypatch, key):
    monkeypatch.setattr(apart, "ROWS", FEW)
    given = {"offline": "offline.parquet", "online": "online.parquet"}
    keys = ["whole"] if key == "whole" else ["many", "whole"]
    first, second = (sickbay.skew(**{**given, far: there(far)}, keys=keys, features=FEATURES) for far in given)
    assert first.sides == second.sides
    assert [counted(f) for f in first.features] == [counted(f) for f in second.features]
    assert first.sampled.share < 1
    assert first.sampled.key == keys[0]
    assert first.sides.online_only == 0
    about, low, high = first.sampled.alone(0, first.sides)
    assert low <= 50 <= high
    assert about > 0


@pytest.mark.parametrize("how", ["as of", "equal at a time"])
def test_times_meet_to_the_microsecond(there, how):
    found = sickbay.skew("offline.parquet", there("online"), features=["plain"], **ASKED[how])
    assert found.sides.matched == 2_950


@pytest.mark.postgres
def test_the_command_says_what_was_sampled(side_postgres, side_files, monkeypatch, capsys):
    monkeypatch.chdir(side_files)
    monkeypatch.setattr(apart, "ROWS", FEW)
    sides = ("--offline", "offline.parquet", "--online", f"{side_postgres}#public.online", "--keys", "whole")
    assert main(["skew", *sides, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "sickbay.skew/1"
    assert found["sampled"]["engines"] == ["files or memory", "PostgreSQL"]
    assert found["sampled"]["key"] == "whole"
    assert found["sampled"]["offline"]["rows"] == 3_000
    assert found["sampled"]["offline"]["compared"] == found["rows"]["offline"] <= 1.1 * FEW
    low, high = found["sampled"]["offline"]["only_interval"]
    assert low <= 50 <= high
    assert "a sample was compared" in found["notes"][0]
    assert {f["name"]: f["types"] for f in found["features"]}["plain"] == ["DOUBLE", "double precision"]
    assert main(["skew", *sides]) == 0
    assert "a sample was compared" in " ".join(capsys.readouterr().out.split())


@pytest.mark.postgres
def test_times_beyond_those_of_python_are_compared_and_no_end(side_postgres, tmp_path):
    import psycopg

    at = [datetime(2026, 1, 1, tzinfo=UTC) if i % 4 else None for i in range(400)]
    offline = pd.DataFrame({"id": range(400), "until": pd.Series(at, dtype="datetime64[us, UTC]")})
    with psycopg.connect(side_postgres) as con:
        con.execute(
            "CREATE TABLE until AS SELECT i id, (CASE i % 8 WHEN 0 THEN 'infinity' WHEN 4 THEN '-infinity' ELSE "
            "'2026-01-01 00:00:00+00' END)::timestamptz until FROM generate_series(0, 399) i"
        )
    found = sickbay.skew(offline, f"{side_postgres}#public.until", keys="id")
    assert found["until"].counts.mismatched == 100
    inside = sickbay.skew(f"{side_postgres}#public.until", f"{side_postgres}#public.until", keys="id")
    assert inside["until"].counts.mismatched == 0


@pytest.mark.postgres
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_text_that_is_not_stored_in_utf_8_is_compared_or_refused(side_postgres, encoding, monkeypatch):
    import psycopg

    with psycopg.connect(side_postgres, autocommit=True) as con:
        con.execute(f"CREATE DATABASE {encoding.lower()} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")
    address = f"{side_postgres.rpartition('/')[0]}/{encoding.lower()}"
    offline = pd.DataFrame({"id": range(2_000), "name": [f"ü{i}" for i in range(2_000)]})
    offline["word"] = np.where(offline.id % 4 == 0, "é", "ü")
    with psycopg.connect(address, client_encoding="utf8") as con:
        con.execute(
            "CREATE TABLE t AS SELECT i id, 'ü' || i AS name, CASE WHEN i % 2 = 0 THEN 'é' ELSE 'ü' END word "
            "FROM generate_series(0, 1999) i"
        )
    found = sickbay.skew(offline, f"{address}#public.t", keys="id")
    assert {f.name: f.counts.mismatched for f in found.features} == {"name": 0, "word": 500}
    monkeypatch.setattr(apart, "ROWS", 600)
    assert sickbay.skew(offline, f"{address}#public.t", keys="id").sampled.share == 0.25
    if encoding == "LATIN1":
        with pytest.raises(TableError, match="another hash of the key 'name'"):
            sickbay.skew(offline, f"{address}#public.t", keys="name")


def counted(feature) -> tuple[object, ...]:
    counts = feature.counts
    return counts.name, counts.kind, counts.pairs, counts.mismatched, counts.offline_null, counts.online_null


def said(report) -> dict[str, list[str]]:
    return {f.name: [one.hypothesis for one in f.explanations] for f in report.features}
