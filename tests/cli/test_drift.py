"""``sickbay drift`` and ``sickbay profile`` as a user calls them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sickbay.cli import main

rng = np.random.default_rng(11)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    import pandas as pd

    directory = tmp_path_factory.mktemp("tables")
    for name, moved in (("before", 0), ("now", 1)):
        frame = pd.DataFrame({
            "amount": rng.lognormal(3 + 0.5 * moved, 1, 6000),
            "steady": rng.normal(0, 1, 6000),
            "country": rng.choice(["DE", "FR", "UK" if not moved else "GB"], 6000),
            "mixed": rng.normal(0, 1, 6000) if not moved else ["text"] * 6000,
        })  # fmt: skip
        frame.drop(columns=["steady"] if moved == 2 else []).to_parquet(directory / f"{name}.parquet")
    (directory / "empty.csv").write_text("amount,steady\n")
    (directory / "broken.profile").write_text('{"schema":"sickbay.profile/1","rows":3,"columns":[{"name":"x"}]}')
    return directory


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_json_is_one_object_of_the_schema(tables, capsys):
    code, out, _ = run(
        capsys, "drift", "--reference", tables / "before.parquet", "--current", tables / "now.parquet", "--json"
    )
    found = json.loads(out)
    assert (code, found["schema"]) == (0, "sickbay.drift/1")
    by_name = {column["name"]: column for column in found["columns"]}
    assert {"psi", "js", "ks", "wasserstein", "nulls", "drifted"} <= set(by_name["amount"])
    assert {name: column["drifted"] for name, column in by_name.items()} == {
        "amount": True, "steady": False, "country": True, "mixed": True,
    }  # fmt: skip
    assert "'GB'" in " ".join(by_name["country"]["quality"])
    assert "was a number and is a category" in by_name["mixed"]["because"]


def test_a_saved_profile_gives_what_the_table_itself_gives(tables, capsys, tmp_path):
    saved = tmp_path / "model.profile"
    assert run(capsys, "profile", tables / "before.parquet", "-o", saved)[0] == 0
    answers = [
        json.loads(run(capsys, "drift", "--reference", side, "--current", tables / "now.parquet", "--json")[1])
        for side in (saved, tables / "before.parquet")
    ]
    assert answers[0]["columns"] == answers[1]["columns"]
    assert saved.stat().st_size < 30_000


def test_the_page_holds_every_column_and_needs_nothing_from_elsewhere(tables, capsys, tmp_path):
    page = tmp_path / "drift.html"
    sides = ("--reference", tables / "before.parquet", "--current", tables / "now.parquet")
    assert run(capsys, "drift", *sides, "--html", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("amount", "steady", "country", "mixed", "<svg"))
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_nothing_to_compare_is_exit_three_and_not_normal(tables, capsys):
    sides = ("--reference", tables / "before.parquet", "--current", tables / "empty.csv", "--columns", "steady")
    code, out, _ = run(capsys, "drift", *sides, "--json")
    assert code == 3
    assert json.loads(out)["columns"][0]["drifted"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--reference", "before.parquet", "--current", "nothing.parquet"), "there is no file nothing.parquet"),
        (
            ("--reference", "before.parquet", "--current", "now.parquet", "--columns", "ammount"),
            "did you mean 'amount'",
        ),
        (("--reference", "broken.profile", "--current", "now.parquet"), "the profile is damaged at columns[0]"),
        (("--reference", "before.parquet", "--current", "broken.profile"), "only the reference can be a profile"),
        (("--reference", "before.parquet", "--current", "oracle://x#t"), "is not an engine sickbay runs on"),
        (("--reference", "before.parquet", "--current", "env:NO_SUCH"), "NO_SUCH"),
    ],
)
def test_bad_input_names_the_thing_and_the_next_step(tables, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tables)
    code, out, err = run(capsys, "drift", *arguments)
    assert (code, out) == (2, "")
    assert said in err
