"""Two sides compared inside every engine: the same counts and the same sampled pairs, number for number."""

from __future__ import annotations

import numpy as np
import pytest

from sickbay.errors import TableError
from sickbay.sources.two_sides import open_two_sides
from sickbay.stats.skew import compare, digests
from tests.services import nasty
from tests.services import postgres as postgres_server

ROWS = 3_000
ENGINES = [
    "duckdb",
    "duckdb by digests",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("clickhouse", marks=pytest.mark.clickhouse),
    pytest.param("spark", marks=pytest.mark.spark),
]
FEATURES = ["plain", "single", "heavy", "zeros", "odd", "constant", "empty", "flag", "kind", 'a "name", really']


def table(side: int) -> list[list[object]]:
    """Return the nasty table with its whole column as a key that is unique, and some values changed online."""
    made = nasty.rows(1, ROWS)
    place = list(nasty.COLUMNS).index
    rng = np.random.default_rng(5)
    for i, row in enumerate(made):
        row[place("whole")] = i
        row[place("at")] = f"2026-01-{1 + i % 28:02d} 00:00:00"
        if side and rng.random() < 0.2:
            row[place("heavy")] = float(np.round(row[place("heavy")], 1))
            row[place("plain")] = None
            row[place("kind")] = "other"
            row[place("odd")] = 4.0
    return made[: ROWS - 50 * side]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sides")
    for side, name in enumerate(("offline", "online")):
        nasty.write_parquet(directory / f"{name}.parquet", table(side))
    return directory


@pytest.fixture(scope="module")
def postgres():
    with postgres_server.server() as address:
        for side, name in enumerate(("offline", "online")):
            nasty.write_postgres(address, name, table(side))
        yield address


@pytest.fixture(params=ENGINES)
def opened(request, files, monkeypatch):
    roles = ("offline", "online")
    match request.param:
        case "postgres":
            given = {role: f"{request.getfixturevalue('postgres')}#public.{role}" for role in roles}
        case "clickhouse":
            given = {role: f"chdb://#{role}.parquet" for role in roles}
        case "spark":
            read = request.getfixturevalue("spark").read
            given = {role: read.parquet(str(files / f"{role}.parquet")) for role in roles}
        case _:
            given = {role: str(files / f"{role}.parquet") for role in roles}
    tables = open_two_sides(given, base=files)
    if "digests" in request.param:
        monkeypatch.setattr(digests, "LARGE", 0)
        monkeypatch.setattr(digests, "GLANCED", 300)
        monkeypatch.setattr(digests, "ENOUGH", 100)
    yield tables
    tables.close()


@pytest.fixture(scope="module")
def expected(files):
    tables = open_two_sides({role: str(files / f"{role}.parquet") for role in ("offline", "online")}, base=files)
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


def test_sides_in_different_engines_are_refused_with_what_to_do(files):
    pytest.importorskip("chdb")
    with pytest.raises(TableError, match="different engines") as refused:
        open_two_sides({"offline": "offline.parquet", "online": "chdb://#online.parquet"}, base=files)
    assert "copy one of them" in refused.value.hint
