"""Two sides compared inside every engine: the same counts and the same sampled pairs, number for number."""

from __future__ import annotations

import pytest

from sickbay.errors import TableError
from sickbay.sources.two_sides import open_two_sides
from sickbay.stats.skew import compare, digests
from tests.services.sides import FEATURES

ROWS = 3_000
ENGINES = [
    "duckdb",
    "duckdb by digests",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("clickhouse", marks=pytest.mark.clickhouse),
    pytest.param("spark", marks=pytest.mark.spark),
]


@pytest.fixture(params=ENGINES)
def opened(request, side_files, monkeypatch):
    roles = ("offline", "online")
    match request.param:
        case "postgres":
            given = {role: f"{request.getfixturevalue('side_postgres')}#public.{role}" for role in roles}
        case "clickhouse":
            given = {role: f"chdb://#{role}.parquet" for role in roles}
        case "spark":
            read = request.getfixturevalue("spark").read
            given = {role: read.parquet(str(side_files / f"{role}.parquet")) for role in roles}
        case _:
            given = {role: str(side_files / f"{role}.parquet") for role in roles}
    tables = open_two_sides(given, base=side_files)
    if "digests" in request.param:
        monkeypatch.setattr(digests, "LARGE", 0)
        monkeypatch.setattr(digests, "GLANCED", 300)
        monkeypatch.setattr(digests, "ENOUGH", 100)
    yield tables
    tables.close()


@pytest.fixture(scope="module")
def expected(side_files):
    tables = open_two_sides(
        {role: str(side_files / f"{role}.parquet") for role in ("offline", "online")}, base=side_files
    )
    yield {how: compare(tables, **asked) for how, asked in ASKED.items()}
    tables.close()


ASKED = {
    "equal": {"keys": ["whole"], "features": FEATURES},
    "as of": {"keys": ["whole"], "time": "at", "online_time": "at", "features": FEATURES},
    "text key, drawn": {"keys": ["many", "whole"], "features": FEATURES, "sample": 200},
    "drawn": {"keys": ["whole"], "features": FEATURES, "sample": 200},
}


@pytest.mark.parametrize("how", ASKED)
def test_counts_and_pairs_are_the_same_on_every_engine(opened, expected, how):
    found, wanted = compare(opened, **ASKED[how]), expected[how]
    assert found.sides == wanted.sides
    assert [(f.name, f.kind, f.mismatched, f.offline_null, f.online_null) for f in found.features] == [
        (f.name, f.kind, f.mismatched, f.offline_null, f.online_null) for f in wanted.features
    ]
    assert {f.name: f.mismatched > 300 for f in found.features} == {
        name: name in ("heavy", "plain", "kind", "odd") for name in FEATURES
    }
    for name, pairs in wanted.pairs.items():
        assert listed(found.pairs[name]) == listed(pairs), name


def listed(pairs) -> list[tuple[str, str, str]]:
    """Return the pairs in an order of their own; an infinity may arrive as missing (JSON has none)."""
    return sorted(
        (str(who), _text(a), _text(b))
        for who, a, b in zip(pairs.entity, pairs.offline.tolist(), pairs.online.tolist(), strict=True)
    )


def _text(value: object) -> str:
    return (f"{value:.12g}" if abs(value) < float("inf") else "none") if isinstance(value, float) else str(value)


def test_sides_in_different_engines_are_refused_with_what_to_do(side_files):
    pytest.importorskip("chdb")
    with pytest.raises(TableError, match="different engines") as refused:
        open_two_sides({"offline": "offline.parquet", "online": "chdb://#online.parquet"}, base=side_files)
    assert "copy one of them" in refused.value.hint
