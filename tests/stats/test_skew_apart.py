"""Two sides in two engines, both of them DuckDB here: what is drawn, what is said of it, and what is refused.

A second DuckDB stands for the other engine, so that this runs everywhere; `tests/services/test_skew_apart.py` holds the
same against PostgreSQL, ClickHouse and Spark.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import numpy as np
import pandas as pd
import pytest
from sqlglot import exp

from sickbay.errors import TableError
from sickbay.monitor import skewing
from sickbay.sources.apart import Apart
from sickbay.sources.relations import Relation
from sickbay.sources.tables import connection, open_table
from sickbay.stats.skew import apart, sampling

ROWS = 20_000


@dataclass
class Elsewhere:
    """An engine of its own that answers in rows; ``asked`` keeps its statements."""

    frame: pd.DataFrame
    spoil: str = ""
    asked: list[str] = field(default_factory=list)

    def relation(self) -> Relation:
        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        con.register("frame", self.frame)
        con.execute("CREATE TABLE t AS SELECT * FROM frame")

        def run(sql: str):
            self.asked.append(sql)
            answer = con.execute(sql.replace("MD5(", f"MD5({self.spoil}") if self.spoil else sql)
            return [column[0] for column in answer.description], answer.fetchall()

        types = dict(con.execute("SELECT column_name, column_type FROM (DESCRIBE t)").fetchall())
        return Relation("elsewhere", "duckdb", exp.to_table("t"), types, run, shut=con.close)


def skew(monkeypatch, near: dict[str, pd.DataFrame], far: dict[str, Elsewhere], **asked):
    """Run ``sickbay.skew`` with some tables in the embedded engine and the others elsewhere."""

    def opened(given, **_):
        con = connection()
        types = {}
        for role, frame in near.items():
            found = open_table(con, f"given_{role}", frame, None, key=role)
            types[role] = {n: t for n, t in found.columns.items() if n != "__row"}
        there = {role: one.relation() for role, one in far.items()}
        types |= {role: one.types for role, one in there.items()}
        return Apart(con, there, {role: types[role] for role in given}, dict.fromkeys(given, "a table"))

    monkeypatch.setattr(skewing, "open_sides", opened)
    tables = {**near, **{role: one.frame for role, one in far.items()}}
    return skewing.skew(tables.pop("offline"), tables.pop("online"), **tables, **asked)


def sides(rows: int = ROWS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two sides: a rounding in a tenth, keys missing on either, nulls, NaN, infinities, large identifiers."""
    rng = np.random.default_rng(4)
    ids = np.arange(rows, dtype=np.int64) * 7 - 11 * rows
    offline = pd.DataFrame({
        "id": ids, "name": [f"üser {i}" for i in ids], "amount": rng.lognormal(3, 1, rows), "big": 2**60 + ids,
        "n": rng.integers(0, 9, rows).astype(np.int32), "flag": rng.random(rows) < 0.5,
        "word": rng.choice(["a", "ß", "c"], rows).astype(object),
        "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows) * 1_000_003, unit="us"),
    })  # fmt: skip
    offline.loc[::9, "amount"] = np.nan
    offline.loc[4::1000, "amount"] = np.inf
    offline.loc[::8, "word"] = None
    online = offline.copy()
    online.loc[1::10, "amount"] = online.amount[1::10].round(1)
    online.loc[::4, "big"] += 1
    online.loc[::50, "at"] += pd.Timedelta(hours=1)
    return offline.iloc[rows // 50 :], online.iloc[: rows - rows // 20]


@pytest.mark.parametrize("far", ["offline", "online"])
@pytest.mark.parametrize("key", ["id", "name"])
def test_small_sides_are_compared_in_full_with_the_counts_of_one_engine(monkeypatch, far, key):
    both = dict(zip(("offline", "online"), sides(), strict=True))
    wanted = skewing.skew(both["offline"], both["online"], keys=key)
    near = {role: frame for role, frame in both.items() if role != far}
    found = skew(monkeypatch, near, {far: Elsewhere(both[far])}, keys=key)
    assert found.sides == wanted.sides
    assert [(f.name, f.counts.mismatched, f.counts.types) for f in found.features] == [
        (f.name, f.counts.mismatched, f.counts.types) for f in wanted.features
    ]
    assert {f.name: [e.hypothesis for e in f.explanations] for f in found.features} == {
        f.name: [e.hypothesis for e in f.explanations] for f in wanted.features
    }
    assert found["amount"].explanations[0].parameters == {"digits": 1}
    assert found.sampled.whole
    assert found.sampled.alone(1, found.sides) == (ROWS // 50,) * 3
    assert "all rows were carried" in found.notes[0]


@pytest.mark.parametrize("key", ["id", "name"])
def test_large_sides_are_compared_by_the_same_entities_of_both(monkeypatch, key):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = sides()
    other = Elsewhere(online)
    found = skew(monkeypatch, {"offline": offline}, {"online": other}, keys=key)
    drawn = found.sampled
    assert (drawn.share, drawn.keys_of) == (0.125, None)
    assert drawn.rows == (len(offline), len(online))
    if key == "id":  # the rule, by hand
        hashes = np.abs(np.fmod(offline.id, sampling.PRIME)) * sampling.FACTOR % sampling.PRIME
        assert drawn.carried[0] == int((hashes < round(0.125 * sampling.PRIME)).sum())
    assert 2_000 < drawn.carried[1] <= 3_000
    assert found.sides.matched + found.sides.offline_only == drawn.carried[0]
    assert abs(found["amount"].mismatch_share - 8 / 90) < 0.02
    for side, alone in ((0, ROWS // 20), (1, ROWS // 50)):
        about, low, high = drawn.alone(side, found.sides)
        assert low <= about <= high
        assert low <= alone <= high
    said = " ".join(found.notes)
    assert "a sample was compared" in said
    assert "all counts are of the sample" in said
    assert all("word" not in sql or "WHERE" in sql or "LIMIT 200" in sql for sql in other.asked)


def test_of_a_side_much_larger_come_the_rows_of_the_smaller_sides_keys(monkeypatch):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = sides()
    few = online.iloc[:700]
    found = skew(monkeypatch, {"offline": offline}, {"online": Elsewhere(few)}, keys="id")
    assert (found.sampled.keys_of, found.sampled.share) == (1, 1.0)
    assert (found.sides.matched, found.sides.online_only) == (300, 400)
    assert found.sampled.alone(0, found.sides) == (len(offline) - 300,) * 3
    assert found.sampled.alone(1, found.sides) == (400,) * 3
    monkeypatch.setattr(apart, "LISTED", 400)
    found = skew(monkeypatch, {"online": few}, {"offline": Elsewhere(offline)}, keys="name")
    assert (found.sampled.keys_of, found.sampled.share) == (1, 0.5)
    for side, alone in ((0, len(offline) - 300), (1, 400)):
        about, low, high = found.sampled.alone(side, found.sides)
        assert low <= alone <= high
        assert about != alone


def test_rows_without_a_key_are_no_rows_that_nothing_meets(monkeypatch):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = sides()
    offline = offline.assign(name=offline.name.where(offline.id % 3 > 0, None))
    found = skew(monkeypatch, {"offline": offline}, {"online": Elsewhere(online)}, keys="name")
    gone = int(offline.name.isna().sum())
    assert found.sampled.keyless == (gone, 0)
    alone = int((~offline.name[offline.name.notna()].isin(online.name)).sum())
    _, low, high = found.sampled.alone(0, found.sides)
    assert low <= alone <= high < gone
    assert f"{gone:,} of all offline rows have no name and are set aside" in found.notes


def test_whole_entities_are_drawn_so_that_rows_meet_as_of(monkeypatch):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    rng = np.random.default_rng(8)
    rows = 20_000
    offline = pd.DataFrame({
        "user": np.arange(rows) % 2_000, "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="s"),
        "x": rng.normal(0, 1, rows),
    })  # fmt: skip
    online = offline.assign(at=offline["at"] + pd.Timedelta(seconds=5)).rename(columns={"at": "asked"})
    found = skew(
        monkeypatch, {"offline": offline}, {"online": Elsewhere(online)}, keys="user", time="at", online_time="asked"
    )
    assert found.sampled.share < 1
    assert found["x"].counts.mismatched == 0
    assert found.sides.matched == found.sampled.carried[1] > 1_000
    assert found.sides.offline_only == 0


def test_a_history_is_read_where_it_is(monkeypatch):
    rng = np.random.default_rng(9)
    users, steps = 300, 20
    history = pd.DataFrame({
        "user": np.repeat(np.arange(users), steps), "x": np.round(rng.normal(0, 1, users * steps), 6),
        "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.tile(np.arange(steps), users) * 3600, unit="s"),
    })  # fmt: skip
    rows = history[history["at"] >= "2026-01-01 05:00"].reset_index(drop=True)
    late = rows.copy()
    stale = rng.random(len(rows)) < 0.3
    earlier = dict(zip(zip(history.user, history["at"], strict=True), history.x, strict=True))
    late.loc[stale, "x"] = [
        earlier[(u, t - pd.Timedelta(hours=2))] for u, t in zip(late.user[stale], late["at"][stale], strict=True)
    ]
    for near, far in ((("offline", "history"), ("online",)), (("offline",), ("online", "history"))):
        tables = {"offline": rows, "online": late, "history": history}
        found = skew(
            monkeypatch, {r: tables[r] for r in near}, {r: Elsewhere(tables[r]) for r in far}, keys="user", time="at"
        )
        first = found["x"].explanations[0]
        assert (first.hypothesis, first.parameters["lag_seconds"]) == ("constant-lag", 7200)


def test_an_engine_that_hashes_otherwise_is_found_out(monkeypatch):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = sides()
    with pytest.raises(TableError, match="computes another hash of the key 'name'") as refused:
        skew(monkeypatch, {"offline": offline}, {"online": Elsewhere(online, spoil="'x' || ")}, keys="name")
    assert "whole numbers" in refused.value.hint


@pytest.mark.parametrize(
    ("key", "why"),
    [("flag", "many values that both engines write alike"), ("at", "many values that both engines write alike"),
     ("kind", "many values that both engines write alike")],
)  # fmt: skip
def test_keys_that_draw_no_sample_are_refused_with_what_to_do(monkeypatch, key, why):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = (one.assign(kind=one.id % 5) for one in sides())
    with pytest.raises(TableError, match=why) as refused:
        skew(monkeypatch, {"offline": offline}, {"online": Elsewhere(online)}, keys=key)
    assert "copy one side" in refused.value.hint


def test_the_second_key_draws_where_the_first_has_few_values(monkeypatch):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = (one.assign(kind=one.id % 5) for one in sides())
    found = skew(monkeypatch, {"offline": offline}, {"online": Elsewhere(online)}, keys=["kind", "id"])
    assert (found.sampled.key, found.sampled.share) == ("id", 0.125)


def test_numbers_written_as_floats_and_as_whole_numbers_are_one_key(monkeypatch):
    monkeypatch.setattr(apart, "ROWS", 3_000)
    offline, online = sides()
    for scale in (1, 2**44):  # beyond 2^53 too
        first, second = offline.assign(id=offline.id * scale), online.assign(id=online.id * float(scale))
        found = skew(monkeypatch, {"offline": first}, {"online": Elsewhere(second)}, keys="id", features=["n"])
        assert found.sampled.share == 0.125
        assert found.sides.matched > 2_000


def test_wide_and_long_tables_are_carried_by_fewer_rows(monkeypatch):
    monkeypatch.setattr(apart, "CELLS", 20_000)
    offline, online = sides()
    assert skew(monkeypatch, {"offline": offline}, {"online": Elsewhere(online)}, keys="id").sampled.carried[0] < 2_500
    monkeypatch.undo()
    monkeypatch.setattr(apart, "TEXT", 1_000_000)
    long = [one.assign(word="x" * 400) for one in (offline, online)]
    assert skew(monkeypatch, {"offline": long[0]}, {"online": Elsewhere(long[1])}, keys="id").sampled.carried[0] < 2_500


@pytest.mark.parametrize("empty", ["offline", "online"])
def test_an_empty_side_is_unknown(monkeypatch, empty):
    offline, online = sides()
    frames = {"offline": offline, "online": online, empty: online.head(0)}
    found = skew(monkeypatch, {"offline": frames["offline"]}, {"online": Elsewhere(frames["online"])}, keys="id")
    assert not found.measured
    assert "has no rows" in found["amount"].unknown
