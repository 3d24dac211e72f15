"""Two sides compared in an engine: counted by hand on the same rows, in every way that rows can meet."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sickbay
from sickbay.errors import TableError
from sickbay.sources.two_sides import open_two_sides
from sickbay.stats.skew import Tolerance, compare, differ, joining
from sickbay.stats.skew.columns import kind_of, pair_up


def sides(rows: int = 3000, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two nasty sides: nulls, NaN, infinities, missing and extra keys, differing values."""
    rng = np.random.default_rng(seed)
    offline = pd.DataFrame({
        "id": np.arange(rows), "x": rng.normal(0, 1, rows), "n": rng.integers(0, 9, rows),
        "word": rng.choice(["a", "b", "ü"], rows).astype(object), "flag": rng.random(rows) < 0.5,
        "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="m"),
    })  # fmt: skip
    online = offline.copy()
    offline.loc[::7, "x"] = np.nan
    online.loc[::14, "x"] = np.nan
    offline.loc[3, "x"] = online.loc[3, "x"] = np.inf
    online.loc[4, "x"] = -np.inf
    online.loc[5:200, "x"] *= 1.001
    online.loc[10:50, "n"] += 1
    online.loc[20:30, "word"] = None
    online.loc[40:44, "flag"] = ~online.loc[40:44, "flag"]
    online.loc[60:61, "at"] += pd.Timedelta(hours=1)
    return offline.iloc[5:], online.iloc[: rows - 10]


def compared(offline, online, **asked):
    tables = open_two_sides({"offline": offline, "online": online}, base=Path())
    try:
        return compare(tables, **asked)
    finally:
        tables.close()


def test_counts_are_those_of_a_comparison_by_hand():
    offline, online = sides()
    found = compared(offline, online, keys=["id"])
    met = offline.merge(online, on="id", suffixes=("_a", "_b"))
    assert dataclasses.astuple(found.sides)[:5] == (2995, 2990, len(met), 10, 5)
    by_hand = {}
    for name in ("x", "n", "word", "flag", "at"):
        a, b = met[f"{name}_a"], met[f"{name}_b"]
        if name in ("word", "at"):
            by_hand[name] = int((~((a == b) | (a.isna() & b.isna()))).sum())
        else:
            by_hand[name] = int(differ(a.to_numpy(float), b.to_numpy(float)).sum())
    assert {f.name: f.mismatched for f in found.features} == by_hand
    assert by_hand["n"] == 41


def test_the_sample_holds_every_mismatch_when_there_are_few():
    offline, online = sides()
    found = compared(offline, online, keys=["id"])
    for name, pairs in found.pairs.items():
        counts = next(f for f in found.features if f.name == name)
        assert int(differ(pairs.offline, pairs.online).sum()) == counts.mismatched == pairs.mismatched
        assert counts.entities == counts.mismatched


@pytest.mark.parametrize(("kind", "first"), [("int32", 0), ("int32", -(2**31)), ("int64", -(2**63)), ("uint64", 2**63)])
def test_keys_of_every_width_up_to_their_ends_are_sampled(kind, first):
    rows = 60_000
    ids = np.array([first + i for i in range(rows)], dtype=kind)
    offline = pd.DataFrame({"id": ids, "x": np.arange(rows) * 1.0})
    found = compared(offline, offline.assign(x=offline.x + 0.5), keys=["id"], sample=2000)
    assert found.sides.matched == rows
    assert 1500 < len(found.pairs["x"].offline) < 12_000


def test_a_large_sample_is_bounded_and_the_same_every_time():
    rows = 60_000
    offline = pd.DataFrame({"id": np.arange(rows), "x": np.arange(rows) * 1.0})
    online = offline.assign(x=offline.x + 0.5)
    first, second = (compared(offline, online, keys=["id"], sample=2000).pairs["x"] for _ in range(2))
    assert 1500 < len(first.offline) < 12_000
    assert np.array_equal(np.sort(first.offline), np.sort(second.offline))
    assert first.mismatched == rows


def test_tolerances_are_per_feature_and_may_be_absolute():
    offline = pd.DataFrame({"id": [1, 2, 3], "x": [100.0, 200.0, 300.0], "y": [100.0, 200.0, 300.0]})
    online = offline.assign(x=offline.x + 0.4, y=offline.y + 0.4)
    found = compared(offline, online, keys=["id"], tolerances={"x": Tolerance(0.5, 0.0)})
    assert {f.name: f.mismatched for f in found.features} == {"x": 0, "y": 3}
    found = compared(offline, online, keys=["id"], tolerance=Tolerance(0.0, 0.0021))
    assert {f.name: f.mismatched for f in found.features} == {"x": 1, "y": 1}


def test_duplicates_and_null_keys_are_counted_and_set_aside():
    offline = pd.DataFrame({"id": [1.0, 2.0, 2.0, 3.0, np.nan, 5, 6, 7, 8], "x": np.arange(9.0)})
    online = pd.DataFrame({"id": [1.0, 2.0, 3.0, 3.0, 5, 6, 7, 9, 10], "x": np.arange(9.0)})
    found = compared(offline, online, keys=["id"])
    assert found.sides.matched == 4
    assert (found.sides.offline_duplicated, found.sides.online_duplicated, found.sides.offline_keyless) == (2, 2, 1)
    assert len(found.notes) == 3


def test_keys_that_identify_nothing_are_refused():
    offline = pd.DataFrame({"user": [1, 1, 1, 2], "x": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(TableError, match="user do not identify the rows of the offline side: 3 of 4"):
        compared(offline, offline, keys=["user"])


def events(seed: int, rows: int, entities: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    time = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.permutation(rows * 3)[:rows], unit="s")
    return pd.DataFrame({"user": rng.integers(0, entities, rows), "ts": time, "x": rng.normal(0, 1, rows)})


@pytest.mark.parametrize("native", [True, False])
def test_an_as_of_join_is_that_of_pandas_with_and_without_the_engines_own(native, monkeypatch):
    offline, online = events(1, 4000, 30), events(2, 3000, 40).rename(columns={"ts": "asked"})
    prepare = joining.prepare
    monkeypatch.setattr(joining, "prepare", lambda *a: dataclasses.replace(prepare(*a), native_asof=native))
    found = compared(offline, online, keys=["user"], time="ts", online_time="asked", sample=10_000)
    met = pd.merge_asof(
        online.sort_values("asked"), offline.sort_values("ts"), left_on="asked", right_on="ts", by="user"
    ).dropna(subset=["x_y"])
    pairs = found.pairs["x"]
    assert found.sides.matched == len(met)
    assert found.sides.online_only == len(online) - len(met)
    assert sorted(zip(pairs.offline, pairs.online, strict=True)) == sorted(zip(met.x_y, met.x_x, strict=True))


def test_a_side_without_time_meets_the_latest_row_of_each_entity():
    offline = events(1, 500, 20)
    online = offline.sort_values("ts").groupby("user").tail(1)[["user", "x"]]
    found = compared(offline, online, keys=["user"], time="ts")
    assert found.sides.matched == len(online)
    assert [f.mismatched for f in found.features] == [0]
    assert "latest" in found.notes[0]


def test_time_is_a_key_where_both_sides_have_it_and_dates_the_mismatches():
    offline = events(3, 400, 5)
    online = offline.assign(x=offline.x + (offline.ts > "2026-01-01 00:10:00"))
    counts = compared(offline, online, keys=["user"], time="ts").features[0]
    wrong = online.ts[online.ts > "2026-01-01 00:10:00"]
    assert counts.mismatched == len(wrong)
    assert (counts.first, counts.last) == (wrong.min().timestamp(), wrong.max().timestamp())


def test_segments_say_where_the_mismatches_are():
    offline = pd.DataFrame({"id": range(100), "land": ["DE", "FR"] * 50, "x": np.arange(100.0)})
    online = offline.assign(x=offline.x + (offline.land == "FR"))
    found = compared(offline, online, keys=["id"], segments=["land"])
    assert found.segments["x"]["land"]["FR"] == (1.0, 0.0)


def test_types_that_differ_are_compared_by_what_they_hold():
    offline = pd.DataFrame({"id": [1, 2, 3], "a": [1, 2, 3], "b": [True, False, True], "c": ["1.0", "2", "x"]})
    online = pd.DataFrame({"id": ["1", "2", "3"], "a": [1.0, 2.5, 3.0], "b": [1, 0, 0], "c": [1.0, 2.0, 3.0]})
    found = compared(offline, online, keys=["id"])
    assert {f.name: f.mismatched for f in found.features} == {"a": 1, "b": 1, "c": 1}
    assert "matched as text" in found.notes[0]


def test_what_cannot_be_compared_is_unknown_with_its_reason():
    offline = pd.DataFrame({"id": [1, 2], "vector": [[1, 2], [3]], "x": [1.0, 2.0]})
    by_name = {f.name: f for f in compared(offline, offline, keys=["id"]).features}
    assert "cannot be compared value by value" in by_name["vector"].unknown
    assert by_name["x"].unknown == ""
    when = pair_up("t", ("TIMESTAMP", "BIGINT"), try_cast=True)
    assert isinstance(when, str)
    assert "type differs" in when


@pytest.mark.parametrize(
    ("engine_type", "kind"),
    [("DECIMAL(10,2)", "number"), ("Int64", "whole"), ("timestamp without time zone", "time"), ("INTEGER[]", "nested"),
     ("DATE", "time"), ("TIME", "other"), ("ENUM('a')", "text"), ("bigint", "whole"), ("double precision", "number")],
)  # fmt: skip
def test_a_type_is_read_in_any_engines_spelling(engine_type, kind):
    assert kind_of(engine_type) == kind


def test_a_window_is_found_also_where_not_every_entity_has_its_events_fetched(tmp_path):
    rng = np.random.default_rng(2)
    start, users, day = pd.Timestamp("2026-03-01"), 1300, 86_400
    events = pd.DataFrame({
        "user": np.repeat(np.arange(users), 30), "sec": rng.random(users * 30) * 20 * day,
        "amount": np.round(rng.lognormal(3, 1, users * 30), 2),
    })  # fmt: skip
    asked = pd.DataFrame({"user": np.repeat(np.arange(users), 4), "sec": (10 + 10 * rng.random(users * 4)) * day})
    both = asked.reset_index().merge(events, on="user", suffixes=("", "_event"))

    def spent(days):
        inside = both[(both.sec_event <= both.sec) & (both.sec_event > both.sec - days * day)]
        return inside.groupby("index").amount.sum().reindex(asked.index, fill_value=0.0).round(2)

    for table in (asked, events):
        table["ts"] = start + pd.to_timedelta(table.pop("sec"), unit="s")
    found = sickbay.skew(
        asked.assign(spent=spent(7)), asked.assign(spent=spent(5)), keys=["user"], time="ts", events=events
    )
    first = found.features[0].explanations[0]
    assert first.hypothesis == "window-length"
    assert first.coverage > 0.95


def test_text_that_is_no_number_is_counted_and_not_called_missing():
    offline = pd.DataFrame({"id": range(200), "x": np.arange(200) * 1.0, "at": pd.Timestamp("2026-01-01")})
    online = offline.assign(x=offline.x.astype(str), at="2026-01-01 00:00:00")
    online.loc[::10, "x"] = "n/a"
    online.loc[::40, "x"] = None
    online.loc[7:8, "at"] = "soon"
    for first, second, side in ((offline, online, "online"), (online, offline, "offline")):
        found = {f.name: f for f in compared(first, second, keys=["id"]).features}
        assert f"15 {side} values cannot be read as numbers and count as missing" in found["x"].note
        assert f"2 {side} values cannot be read as times" in found["at"].note
        assert (found["x"].mismatched, found["at"].mismatched) == (20, 2)


def test_a_key_in_other_letters_is_named():
    offline = pd.DataFrame({"USER_ID": [1], "x": [1.0]})
    with pytest.raises(TableError, match="no column 'user_id'") as refused:
        compared(offline, offline, keys=["user_id"])
    assert "did you mean 'USER_ID'" in refused.value.hint
