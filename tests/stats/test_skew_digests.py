"""Counting by digests is counting by values, whatever differs; keys are told apart by bits as by groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sickbay.sources.two_sides import open_two_sides
from sickbay.stats.skew import Tolerance, compare, digests, odd, sampling, uniqueness

ROWS = 6_000


def table(shuffled: bool) -> pd.DataFrame:
    """Return features of every kind, a tenth of each missing, NaN and infinities among the numbers."""
    rng = np.random.default_rng(3)
    made = pd.DataFrame({
        "id": np.arange(ROWS) - 50, "x": rng.normal(0, 1, ROWS), "y": rng.normal(0, 1, ROWS).astype("float32"),
        "n": rng.integers(0, 9, ROWS), "flag": pd.array(rng.random(ROWS) < 0.5, dtype="boolean"),
        "word": rng.choice(["a", "b", "ü"], ROWS).astype(object), "zero": np.where(rng.random(ROWS) < 0.5, 0.0, -0.0),
        "level": pd.Categorical(rng.choice(["low", "high"], ROWS), categories=["low", "high"]),
        "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(ROWS), unit="m"), "empty": np.full(ROWS, np.nan),
    })  # fmt: skip
    for name in ("x", "flag", "word", "at"):
        made.loc[rng.random(ROWS) < 0.1, name] = None
    made.loc[7:9, "x"] = [np.inf, -np.inf, np.nan]
    return made.sample(frac=1.0, random_state=4) if shuffled else made


def changed(what: str, online: pd.DataFrame) -> pd.DataFrame:
    """Return the online side, altered."""
    rng = np.random.default_rng(5)
    some = rng.random(ROWS) < 0.1
    match what:
        case "one feature":
            online.loc[some, "x"] += 0.1
        case "nearly":
            online["x"] *= 1 + 1e-12
            online.loc[some, "n"] += 1
        case "a few rows":  # which a glance at the first rows does not see
            online.iloc[-3:, online.columns.get_loc("x")] = [1.0, np.nan, 7.0]
            online.iloc[-5:-2, online.columns.get_loc("word")] = "other"
        case "some of one, a few of another":
            online.loc[some, "x"] += 0.1
            online.iloc[-3:, online.columns.get_loc("n")] += 1
            online.iloc[-6:-2, online.columns.get_loc("at")] = pd.NaT
        case "the last third":
            online.iloc[-ROWS // 3 :, online.columns.get_loc("n")] += 1
        case "everything":
            online[["x", "n"]] += 1
            online["word"] += "!"
            online["flag"] = ~online.flag
            online["at"] += pd.Timedelta(hours=1)
        case "rows":
            return online.iloc[300:].assign(zero=online.zero * -1)
        case "enumerations":
            online["level"] = online.level.cat.set_categories(["high", "low"])
        case "types":
            online["n"] = online.n.astype(float)
            online["level"] = online.level.astype(str)
        case "duplicates":
            return pd.concat([online, online.iloc[:20]])
    return online


@pytest.fixture
def looking(monkeypatch):
    """Let small tables be counted by digests, and say which statements were asked."""
    monkeypatch.setattr(digests, "LARGE", 0)
    monkeypatch.setattr(digests, "GLANCED", 50)
    monkeypatch.setattr(digests, "ENOUGH", 20)
    return monkeypatch


WHAT = (
    "nothing", "one feature", "nearly", "a few rows", "some of one, a few of another", "the last third", "everything",
    "rows", "enumerations", "types", "duplicates",
)  # fmt: skip


def both_ways(offline, online, monkeypatch, **asked):
    """Return the comparison by digests and by values, and whether digests were used."""
    tables = open_two_sides({"offline": offline, "online": online}, base=Path())
    used = []
    count = digests.count

    def spied(*given):
        used.append(count(*given))
        return used[-1]

    try:
        monkeypatch.setattr(digests, "count", spied)
        first = compare(tables, **asked)
        monkeypatch.setattr(digests, "count", lambda *given: None)
        return first, compare(tables, **asked), used[0]
    finally:
        tables.close()


def listed(pairs):
    """Return the pairs of a sample, and the features beside them, in an order of their own."""
    beside = [*pairs.others_offline.values(), *pairs.others_online.values()]
    return sorted(
        zip(*(map(str, values) for values in (pairs.entity, pairs.offline, pairs.online, *beside)), strict=True)
    )


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("what", WHAT)
def test_counts_and_sample_are_those_of_comparing_all_values(what, shuffled, looking):
    offline = table(shuffled=False)
    online = changed(what, table(shuffled))
    quick, plain, used = both_ways(offline, online, looking, keys=["id"], tolerance=Tolerance(1e-12, 1e-9))
    assert used is not None
    assert quick.sides == plain.sides
    assert quick.features == plain.features
    assert {f.name for f in plain.features if f.mismatched} == {
        "one feature": {"x"}, "nearly": {"n"}, "a few rows": {"x", "word"}, "the last third": {"n"},
        "everything": {"x", "n", "word", "flag", "at"}, "some of one, a few of another": {"x", "n", "at"},
    }.get(what, set())  # fmt: skip
    assert {name: listed(pairs) for name, pairs in quick.pairs.items()} == {
        name: listed(pairs) for name, pairs in plain.pairs.items()
    }


@pytest.mark.parametrize("noted", [odd.NOTED, 2])
@pytest.mark.parametrize("key", ["whole", "text", "with a time"])
@pytest.mark.parametrize("what", ["a few rows", "some of one, a few of another"])
def test_pairs_noted_on_the_way_are_those_of_another_join(what, key, noted, looking):
    looking.setattr(odd, "NOTED", noted)
    looking.setattr(digests, "NOTED", noted)
    looking.setattr(sampling, "EQUAL", 200)
    offline = table(shuffled=False).assign(y2=lambda t: t.x * 2, word2=lambda t: t.word)
    if key == "text":
        offline["id"] = "u" + offline.id.astype(str)
    if key == "with a time":
        offline["ts"] = pd.Timestamp("2026-02-01") + pd.to_timedelta(offline.index, unit="s")
    online = changed(what, offline.copy())
    if what == "a few rows":
        looking.setattr(sampling, "EQUAL", 2 * ROWS)
    time = "ts" if key == "with a time" else None
    quick, plain, used = both_ways(offline, online, looking, keys=["id"], time=time, sample=100)
    assert (used.odd is not None) == (noted > 2)
    assert quick.features == plain.features
    assert {name: listed(pairs) for name, pairs in quick.pairs.items()} == {
        name: listed(pairs) for name, pairs in plain.pairs.items()
    }


@pytest.mark.parametrize("what", ["a few rows", "some of one, a few of another", "everything"])
def test_the_sample_by_segments_is_that_of_comparing_all_values(what, looking):
    offline = table(shuffled=False)
    online = changed(what, offline.copy())
    quick, plain, used = both_ways(offline, online, looking, keys=["id"], segments=["level"], sample=100)
    assert used is not None
    assert quick.segments == plain.segments
    assert {name: listed(pairs) for name, pairs in quick.pairs.items()} == {
        name: listed(pairs) for name, pairs in plain.pairs.items()
    }


@pytest.mark.parametrize("key", ["whole", "text", "with a time"])
@pytest.mark.parametrize("name", ["x", "word", "flag", "at"])
def test_a_sample_from_what_the_join_kept_is_that_from_the_tables(key, name, looking):
    looking.setattr(digests, "GLANCED", 2_000)
    looking.setattr(sampling, "EQUAL", 200)
    offline = table(shuffled=False).assign(y2=lambda t: t.x * 2, word2=lambda t: t.word, at2=lambda t: t["at"])
    if key == "text":
        offline["id"] = "u" + offline.id.astype(str)
    if key == "with a time":
        offline["ts"] = pd.Timestamp("2026-02-01") + pd.to_timedelta(offline.index, unit="s")
    online = offline.sample(frac=1.0, random_state=5)
    online.loc[offline.index[::9], name] = offline[name].iloc[1]
    time = "ts" if key == "with a time" else None
    quick, plain, used = both_ways(offline, online, looking, keys=["id"], time=time, sample=100)
    assert used is not None
    assert used.kept is not None
    assert used.kept.share < 0.5
    assert quick.features == plain.features
    assert listed(quick.pairs[name]) == listed(plain.pairs[name])
    assert len(quick.pairs[name].offline) > 50
    assert set(quick.pairs[name].others_offline) == set(plain.pairs[name].others_offline)
    assert quick.pairs[name].others_offline or name == "flag"


def test_what_was_kept_is_not_used_when_the_glance_expected_more(looking):
    looking.setattr(digests, "GLANCED", 2_000)
    looking.setattr(sampling, "EQUAL", 20)
    offline = table(shuffled=False)
    online = offline.copy()
    online.iloc[:1000, online.columns.get_loc("n")] += 1
    quick, plain, used = both_ways(offline, online, looking, keys=["id"], sample=100)
    assert used.kept.share < 100 / 1000
    assert listed(quick.pairs["n"]) == listed(plain.pairs["n"])


def test_the_time_of_the_mismatches_is_found_also_when_few_rows_differ(looking):
    offline = table(shuffled=False).assign(ts=lambda t: pd.Timestamp("2026-02-01") + pd.to_timedelta(t.id, unit="s"))
    online = changed("a few rows", offline.copy())
    quick, plain, used = both_ways(offline, online, looking, keys=["id"], time="ts")
    assert used is not None
    assert quick.features == plain.features
    assert {f.name: f.last for f in quick.features if f.mismatched}["x"] == online.ts.iloc[-1].timestamp()


def test_more_features_with_nulls_than_one_number_marks(looking):
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, (ROWS, 130))
    values[rng.random(values.shape) < 0.05] = np.nan
    offline = pd.DataFrame(values, columns=[f"f{i}" for i in range(130)]).convert_dtypes().assign(id=np.arange(ROWS))
    online = offline.iloc[100:].assign(f5=offline.f5.fillna(0.0))
    quick, plain, used = both_ways(offline, online, looking, keys=["id"])
    assert used is not None
    assert quick.features == plain.features
    assert all(f.offline_null > 0 for f in quick.features)


def test_a_statement_carries_only_what_differs(looking):
    offline = table(shuffled=False)
    online = changed("one feature", table(shuffled=False))
    tables = open_two_sides({"offline": offline, "online": online}, base=Path())
    asked = []
    run = tables.run
    tables.run = lambda sql: (asked.append(sql), run(sql))[1]
    found = compare(tables, keys=["id"])
    tables.close()
    counted = next(sql for sql in asked if '"g"' in sql)
    assert '"a0"' in counted
    assert '"a1"' not in counted
    assert found.pairs["x"].mismatched == next(f for f in found.features if f.name == "x").mismatched > 0


@pytest.mark.parametrize("keys", [
    pd.Series([-3, 5, 2**40]), pd.Series([1, 2, 3], dtype="int8"), pd.Series(["a", "b", "ü"]),
    pd.Series([1.5, 2, None]), pd.Series([1, None, 3], dtype="Int64"),
    pd.Series([2**62, 2**62 + 1, 2**62 + 2]),
], ids=["wide", "small", "text", "float with a gap", "whole with a gap", "huge"])  # fmt: skip
def test_unique_keys_are_found_unique_and_doubled_ones_are_counted(keys):
    for doubled, series in ((0, keys), (2, pd.concat([keys, keys.iloc[:1]]))):
        side = pd.DataFrame({"id": series, "x": np.arange(float(len(series)))})
        tables = open_two_sides({"offline": side, "online": side}, base=Path())
        sides = compare(tables, keys=["id"]).sides
        tables.close()
        assert sides.offline_rows == len(series)
        assert sides.offline_duplicated == doubled
        assert sides.offline_keyless == int(series.isna().sum())


def test_keys_too_far_apart_for_a_bit_each_are_hashed(monkeypatch):
    monkeypatch.setattr(uniqueness, "WIDEST", 10)
    test_unique_keys_are_found_unique_and_doubled_ones_are_counted(pd.Series([1, 2, 50]))
