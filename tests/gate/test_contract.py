"""Feature contracts: written from a table, kept by it, broken by what breaks a model; and changes weighed."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import yaml

from sickbay.cli import main
from sickbay.errors import UserError
from sickbay.gate import contract, contract_check


@pytest.fixture
def tables(tmp_path):
    rows = 400
    now = pd.Timestamp.now(tz="UTC")
    table = pd.DataFrame({
        "user_id": range(rows), "amount": [float(k % 50) + 0.5 for k in range(rows)],
        "count": [k % 7 for k in range(rows)],
        "country": [("DE", "FR", "PL")[k % 3] for k in range(rows)],
        "gap": [None if k % 20 == 0 else float(k) for k in range(rows)], "ts": now - pd.Timedelta(hours=1),
    })  # fmt: skip
    table.to_parquet(tmp_path / "offline.parquet")
    table.to_parquet(tmp_path / "online.parquet")
    return table


def run(tmp_path, monkeypatch, *arguments):
    monkeypatch.chdir(tmp_path)
    return main(["skew", "--contract", "c.odcs.yaml", *arguments])


SIDES = ("--offline", "offline.parquet", "--online", "online.parquet")


def test_a_written_contract_is_kept_by_its_own_table_and_is_of_the_standard(tables, tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, "--write", "--offline", "offline.parquet", "--time", "ts") == 0
    document = yaml.safe_load((tmp_path / "c.odcs.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("v3.0.2", "DataContract")
    assert run(tmp_path, monkeypatch, *SIDES) == 0
    read = contract.read(tmp_path / "c.odcs.yaml")
    assert read.fresh_hours == 24
    assert read.fields["country"].values == ("DE", "FR", "PL")
    assert read.fields["amount"].required
    assert contract.text(read) == (tmp_path / "c.odcs.yaml").read_text(), "what was read is what was written"
    assert run(tmp_path, monkeypatch, "--write", "--offline", "offline.parquet") == 2, "it is not written over"


@pytest.mark.parametrize(
    ("column", "change", "what"),
    [
        ("amount", lambda s: s * 100, "maximum"),
        ("amount", lambda s: s.astype(str), "type"),
        ("amount", lambda s: s.where(s.index % 2 == 0), "nulls"),
        ("country", lambda s: s.replace("DE", "276"), "values"),
        ("gap", lambda s: s.where(s.index % 2 == 0), "nulls"),
        ("ts", lambda s: s - pd.Timedelta(days=3), "freshness"),
        ("count", None, "there"),
    ],
)
def test_what_breaks_a_model_breaks_the_contract(tables, tmp_path, monkeypatch, capsys, column, change, what):
    run(tmp_path, monkeypatch, "--write", "--offline", "offline.parquet", "--time", "ts")
    served = tables.drop(columns=column) if change is None else tables.assign(**{column: change(tables[column])})
    served.to_parquet(tmp_path / "online.parquet")
    assert run(tmp_path, monkeypatch, *SIDES) == 1
    said = capsys.readouterr().out
    assert f"online: {column} {what}" in said
    assert "offline:" not in said


def test_a_change_is_weighed_for_readers_and_for_stored_rows(tables, tmp_path):
    old = contract_check.draft(str(tmp_path / "offline.parquet"), name="f", features=None, base=tmp_path)
    stored = {"offline": str(tmp_path / "offline.parquet")}
    assert contract_check.migration(old, old, stored) == []
    fields = dict(old.fields)
    fields.pop("count")
    fields["amount"] = replace(fields["amount"], type="integer", maximum=10_000.0)
    fields["country"] = replace(fields["country"], values=("DE", "FR", "PL", "XK"))
    fields["new"] = contract.Field("new", "number", required=True)
    broken = {(c.side, c.feature, c.what) for c in contract_check.migration(old, replace(old, fields=fields), stored)}
    assert {
        ("both sides", "count", "there"), ("both sides", "amount", "type"), ("online", "amount", "maximum"),
        ("online", "country", "values"), ("stored rows", "new", "there"), ("stored rows, offline", "amount", "type"),
    } <= broken  # fmt: skip


def test_whole_numbers_that_become_numbers_break_nobody(tables, tmp_path):
    old = contract_check.draft(str(tmp_path / "offline.parquet"), name="f", features=["count"], base=tmp_path)
    new = replace(old, fields={"count": replace(old.fields["count"], type="number")})
    assert [c.outcome for c in contract_check.migration(old, new)] == ["kept"]


@pytest.mark.parametrize(
    ("text", "says"),
    [("kind: [", "not YAML"), ("a: 1", "no data contract"), ("", "no settings"),
     ("{apiVersion: v3.0.2, kind: DataContract, schema: []}", "one table"),
     ("{apiVersion: v3.0.2, kind: DataContract, schema: [{name: t, properties: [{name: a, logicalType: float}]}]}",
      "logicalType"),
     ("{apiVersion: v3.0.2, kind: DataContract, schema: [{name: t, properties: [{name: a, logicalType: number, "
      "logicalTypeOptions: {minimum: low}}]}]}", "not a number")],
)  # fmt: skip
def test_a_contract_that_is_none_is_said_with_its_file(tmp_path, text, says):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=says) as error:
        contract.read(file)
    assert str(file) in str(error.value)


def test_an_empty_table_is_unknown_not_kept(tables, tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, "--write", "--offline", "offline.parquet")
    tables.head(0).to_parquet(tmp_path / "online.parquet")
    found = contract_check.check(contract.read(tmp_path / "c.odcs.yaml"), {"online": str(tmp_path / "online.parquet")})
    assert {c.outcome for c in found if c.what == "rows"} == {"unknown"}
