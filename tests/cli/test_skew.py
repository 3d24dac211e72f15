"""``sickbay skew`` as a user calls it, and ``sickbay.skew``; bad input ends in a clear error or an unknown."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import sickbay
from sickbay.cli import main

ROWS = 2_000


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sides")
    rng = np.random.default_rng(3)
    offline = pd.DataFrame({
        "user_id": np.arange(ROWS), "amount": np.round(rng.lognormal(3, 1, ROWS), 4), "score": rng.normal(0, 1, ROWS),
        "country": rng.choice(["DE", "FR", "UK"], ROWS), "ts": pd.Timestamp("2026-01-01", tz="UTC"),
    })  # fmt: skip
    online = offline.assign(amount=offline.amount.round(1), score=offline.score + rng.normal(0, 1e-14, ROWS))
    offline.to_parquet(directory / "offline.parquet")
    online.iloc[10:].to_parquet(directory / "online.parquet")
    offline.to_csv(directory / "offline.csv", index=False)
    offline.head(0).to_parquet(directory / "empty.parquet")
    (directory / "nothing.parquet").write_bytes(b"")
    online.rename(columns={"user_id": "uid"}).to_parquet(directory / "other_keys.parquet")
    offline.assign(user_id=offline.user_id // 2).to_parquet(directory / "doubled.parquet")
    offline.assign(vector=[[1.0, 2.0]] * ROWS).to_parquet(directory / "nested.parquet")
    return directory


@pytest.fixture(autouse=True)
def there(tables, monkeypatch):
    monkeypatch.chdir(tables)


def run(capsys, *arguments):
    code = main(["skew", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


NAMES = ("offline.parquet", "online.parquet", "user_id")
SIDES = ("--offline", "offline.parquet", "--online", "online.parquet", "--keys", "user_id")


def test_the_json_is_one_object_of_the_contract(capsys):
    code, out, _ = run(capsys, *SIDES, "--json")
    found = json.loads(out)
    assert (code, found["schema"]) == (0, "sickbay.skew/1")
    assert {"matched", "offline_only", "online_only"} <= set(found["rows"])
    assert found["rows"]["matched"] == ROWS - 10
    by_name = {feature["name"]: feature for feature in found["features"]}
    assert set(by_name) == {"amount", "score", "country", "ts"}
    first = by_name["amount"]["explanations"][0]
    assert (first["hypothesis"], first["parameters"], first["coverage"]) == ("rounding", {"digits": 1}, 1.0)
    assert by_name["score"]["explanations"] == [] == by_name["country"]["explanations"]
    assert by_name["country"]["mismatch_share"] == 0.0
    assert isinstance(by_name["amount"]["would_separate"], list)
    assert len(by_name["amount"]["examples"]) == 5


def test_the_gate_fails_only_when_it_is_asked_to(capsys):
    assert run(capsys, *SIDES)[0] == 0
    assert run(capsys, *SIDES, "--fail-on-skew")[0] == 1
    assert run(capsys, *SIDES, "--fail-on-skew", "--features", "score,country")[0] == 0
    assert run(capsys, *SIDES, "--fail-on-skew", "--features", "amount", "--tolerance", "amount=abs:0.051")[0] == 0


def test_the_page_says_what_why_and_what_to_fix_and_needs_nothing_from_elsewhere(capsys, tmp_path):
    page = tmp_path / "skew.html"
    assert run(capsys, *SIDES, "--html", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert all(
        said in text for said in ("rounding", "rounded to 1 decimal", "What to fix", "Five rows", "1 of 4 features")
    )
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_whole_numbers_are_shown_as_whole_numbers(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    offline = pd.DataFrame({"user_id": np.arange(ROWS), "age": np.arange(ROWS) % 71 + 18})
    offline.to_parquet("offline.parquet")
    offline.assign(age=offline.age.clip(upper=65)).to_parquet("online.parquet")
    assert run(capsys, *SIDES, "--html", "skew.html")[0] == 0
    page = (tmp_path / "skew.html").read_text(encoding="utf-8")
    assert ">65<" in page
    assert "65.0" not in page


def test_large_identifiers_are_compared_to_the_last_digit():
    count = np.arange(ROWS)
    offline = pd.DataFrame({"user_id": count, "account": 10**12 + 7 * count, "session": 2**60 + 3 * count})
    online = offline.assign(
        account=offline.account + 100 * (count % 4 == 0), session=offline.session + (count % 4 == 0)
    )
    report = sickbay.skew(offline, online, keys="user_id")
    assert {f.name: f.mismatch_share for f in report.features} == {"account": 0.25, "session": 0.25}
    assert report["account"].counts.entities == ROWS // 4
    first = report["account"].explanations[0]
    assert (first.hypothesis, first.parameters["intercept"]) == ("affine", 100)
    assert "beyond" in report["session"].explained.notes[0]


def test_the_terminal_names_the_rule(capsys):
    _, out, _ = run(capsys, *SIDES)
    assert "1 of 4 features differ" in out
    assert "rounding" in out


def test_text_files_and_in_memory_tables_give_the_same(capsys):
    _, out, _ = run(capsys, "--offline", "offline.csv", "--online", "online.parquet", "--keys", "user_id", "--json")
    by_name = {f["name"]: f for f in json.loads(out)["features"]}
    assert by_name["amount"]["explanations"][0]["hypothesis"] == "rounding"
    import polars

    offline, online = polars.read_parquet("offline.parquet"), pd.read_parquet("online.parquet")
    report = sickbay.skew(offline, online, keys="user_id")
    assert report["amount"].explanations[0].parameters == {"digits": 1}
    assert "rounding" in report._repr_html_()
    assert [f.name for f in report.skewed] == ["amount"]
    assert sickbay.skew(offline.to_arrow(), offline, keys=["user_id"]).skewed == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("offline.parquet", "other_keys.parquet", "user_id"), "the online side has no column 'user_id'"),
        (("gone.parquet", "online.parquet", "user_id"), "--offline: there is no file"),
        (("nothing.parquet", "online.parquet", "user_id"), "the file is empty"),
        (("doubled.parquet", "online.parquet", "user_id"), "do not identify the rows"),
        ((*NAMES, "--features", "ammount"), "did you mean 'amount'"),
        ((*NAMES, "--time", "amount"), "is of type DOUBLE"),
        ((*NAMES, "--online-time", "ts"), "--online-time needs --time"),
        ((*NAMES, "--tolerance", "much"), "write a width such as"),
        ((*NAMES, "--tolerance", "ammount=1e-3"), "did you mean 'amount'"),
        ((*NAMES, "--segments", "contry"), "did you mean 'country'"),
        (("nested.parquet", "nested.parquet", "vector"), "rows cannot be matched by"),
        (("offline.parquet", "oracle://x#t", "a"), "is not an engine"),
    ],
)  # fmt: skip
def test_bad_input_names_the_thing_and_is_exit_two(capsys, arguments, said):
    offline, online, keys, *more = arguments
    code, out, err = run(capsys, "--offline", offline, "--online", online, "--keys", keys, *more)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("empty", ["offline", "online"])
def test_an_empty_side_is_unknown_and_exit_three(capsys, empty):
    files = {"offline": "offline.parquet", "online": "online.parquet", empty: "empty.parquet"}
    code, out, _ = run(
        capsys, "--offline", files["offline"], "--online", files["online"], "--keys", "user_id", "--json"
    )
    found = json.loads(out)
    assert code == 3
    assert all(f["skewed"] is None and "has no rows" in f["unknown"] for f in found["features"])
    assert found["rows"]["matched"] == 0


def test_one_reason_for_many_features_is_printed_once(capsys):
    code, out, _ = run(capsys, "--offline", "offline.parquet", "--online", "empty.parquet", "--keys", "user_id")
    assert code == 3
    assert out.count("the online side has no rows") == 1
    assert "amount, score, country, ts: the online side has no rows" in out


def test_sides_that_have_nothing_but_the_keys_in_common_are_said(capsys, tmp_path):
    pd.DataFrame({"user_id": np.arange(ROWS), "elsewhere": 1.0}).to_parquet(tmp_path / "other.parquet")
    code, out, _ = run(
        capsys, "--offline", "offline.parquet", "--online", tmp_path / "other.parquet", "--keys", "user_id"
    )
    assert code == 3
    assert "nothing was compared" in out


def test_two_thousand_features_are_compared_and_those_that_differ_come_first(capsys, tmp_path):
    rng = np.random.default_rng(5)
    wide = pd.DataFrame({"id": np.arange(200), **{f"f{k:04d}": rng.normal(0, 1, 200) for k in range(2_000)}})
    wide.to_parquet(tmp_path / "a.parquet")
    wide.assign(f1999=wide.f1999.round(2), f0007=wide.f0007 * 100).to_parquet(tmp_path / "b.parquet")
    code, out, _ = run(capsys, "--offline", tmp_path / "a.parquet", "--online", tmp_path / "b.parquet", "--keys", "id")
    assert code == 0
    assert "2 of 2000 features differ" in out
    assert out.index("f0007") < out.index("f1999") < out.index("f0000")
    assert len(out.splitlines()) < 100


def test_times_that_became_one_are_told_as_a_time():
    ts = pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(300) * 7919, unit="s"))
    offline = pd.DataFrame({"id": np.arange(300), "seen": ts})
    report = sickbay.skew(offline, offline.assign(seen=pd.Timestamp("2020-01-01", tz="UTC")), keys="id")
    assert report["seen"].explanations[0].hypothesis == "default-for-null"
    assert "2020-01-01T00:00:00Z" in report["seen"].explanations[0].says


def test_keys_that_never_meet_are_unknown_and_exit_three(capsys):
    offline = pd.DataFrame({"id": [1, 2], "x": [1.0, 2.0]})
    report = sickbay.skew(offline, offline.assign(id=[3, 4]), keys="id")
    assert not report.measured
    assert (report.sides.offline_only, report.sides.online_only) == (2, 2)


def test_a_nested_column_is_unknown_beside_the_others(capsys):
    _, out, _ = run(capsys, "--offline", "nested.parquet", "--online", "nested.parquet", "--keys", "user_id", "--json")
    by_name = {f["name"]: f for f in json.loads(out)["features"]}
    assert by_name["vector"]["skewed"] is None
    assert "cannot be compared value by value" in by_name["vector"]["unknown"]
    assert by_name["amount"]["skewed"] is False


def test_a_column_of_mixed_types_is_compared_as_text():
    mixed = pd.DataFrame({"id": [1, 2, 3], "x": [1, "a", 2.5]})
    report = sickbay.skew(mixed, mixed, keys="id")
    assert report["x"].counts.kind == "text"
    assert report["x"].skewed is False


def test_zones_that_differ_are_said():
    naive = pd.DataFrame({"id": [1, 2], "ts": pd.to_datetime(["2026-01-01", "2026-01-02"]), "x": [1.0, 2.0]})
    aware = naive.assign(ts=naive.ts.dt.tz_localize("UTC"))
    report = sickbay.skew(naive, aware, keys="id", time="ts")
    assert any("declare different zones" in note for note in report.notes)
    assert report.sides.matched == 2
    tokyo = naive.assign(ts=naive.ts.dt.tz_localize("Asia/Tokyo"))
    assert sickbay.skew(tokyo, aware, keys="id", time="ts").sides.matched == 0


def test_two_thousand_features_are_compared():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (300, 2000))
    offline = pd.DataFrame(values, columns=[f"f{i}" for i in range(2000)]).assign(id=np.arange(300))
    changed = values.copy()
    changed[:, ::100] = changed[:, ::100].round(2)
    online = pd.DataFrame(changed, columns=[f"f{i}" for i in range(2000)]).assign(id=np.arange(300))
    report = sickbay.skew(offline, online, keys="id")
    assert len(report.features) == 2000
    assert {f.name for f in report.skewed} == {f"f{i}" for i in range(0, 2000, 100)}
    assert {f.explanations[0].hypothesis for f in report.skewed} == {"rounding"}
