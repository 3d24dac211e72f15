"""Bad input ends in a clear error or in unknown findings: never in a traceback, a claim, or "all normal"."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from sickbay.errors import UserError
from sickbay.investigation import investigate, loop
from sickbay.terms.cause import Knowledge
from sickbay.terms.diagnosis import Diagnosis
from tests.sources.tables import ROLES, Desk, desk, log

__all__ = ["desk"]

# --- refused: the user has something to fix ---


def test_a_missing_file_is_named_with_its_key(desk: Desk) -> None:
    desk.site("nowhere.parquet")
    desk.investigate().refused("model.m.predictions", "nowhere.parquet", "sickbay.toml")


def test_a_missing_reference_is_named_with_its_key(desk: Desk) -> None:
    desk.put("log.parquet", log())
    desk.site(more='reference = "nowhere.parquet"')
    desk.investigate().refused("model.m.reference", "nowhere.parquet")


def test_a_glob_that_matches_nothing_says_where_it_looked(desk: Desk) -> None:
    desk.site("logs/*.parquet")
    desk.investigate().refused("model.m.predictions", "logs/*.parquet", hint="looked below")


@pytest.mark.parametrize("name", ["log.parquet", "log.csv"])
def test_a_file_of_no_bytes_is_refused(desk: Desk, name: str) -> None:
    (desk.directory / name).write_bytes(b"")
    desk.site(name)
    desk.investigate().refused("model.m.predictions", name, "empty")


def test_a_corrupt_file_alone_is_refused(desk: Desk) -> None:
    (desk.directory / "log.parquet").write_bytes(b"PAR1 this is no Parquet PAR1")
    desk.site()
    desk.investigate().refused("model.m.predictions", "log.parquet")


def test_a_directory_without_tables_is_refused(desk: Desk) -> None:
    (desk.directory / "logs").mkdir()
    (desk.directory / "logs" / "readme.txt").write_text("nothing here")
    desk.site("logs")
    desk.investigate().refused("model.m.predictions", "logs")


def test_a_table_without_rows_is_refused(desk: Desk) -> None:
    desk.put("log.parquet", log(5).head(0))
    desk.site()
    desk.investigate().refused("model.m.predictions", "no rows")


def test_a_reference_without_rows_is_refused(desk: Desk) -> None:
    desk.put("log.parquet", log(5))
    desk.put("reference.parquet", log(5).head(0))
    desk.site(more='reference = "reference.parquet"')
    desk.investigate().refused("model.m.reference", "no rows")


def test_a_log_without_any_prediction_lists_the_columns_there(desk: Desk) -> None:
    desk.put("log.parquet", log(50).drop(columns=["prediction", "score"]))
    desk.site()
    desk.investigate().refused("model.m.columns.prediction", "'prediction'", hint="columns there")


def test_a_binary_label_with_three_values_is_refused(desk: Desk) -> None:
    desk.put("log.parquet", log().assign(label=lambda t: np.arange(len(t)) % 3))
    desk.site()
    desk.investigate().refused("model.m", "'label'", "more than two values", hint="multiclass")


def test_a_site_file_that_is_not_toml_is_refused(desk: Desk) -> None:
    (desk.directory / "sickbay.toml").write_text("[model.m\npredictions: log.parquet")
    desk.investigate().refused("sickbay.toml", "not TOML")


def test_a_site_file_that_is_not_text_is_refused(desk: Desk) -> None:
    (desk.directory / "sickbay.toml").write_bytes(b"\xff\xfe\x00\x01")
    desk.investigate().refused("sickbay.toml")


def test_no_site_file_at_all_names_the_command_that_writes_one(desk: Desk) -> None:
    desk.investigate().refused("sickbay.toml", hint="sickbay init")


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ('prediction = "x"', "model.m.prediction", "predictions"),
        ('referense = "x"', "model.m.referense", "reference"),
        ('columns.lable = "label"', "model.m.columns.lable", "label"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest_one(desk: Desk, line: str, key: str, hint: str) -> None:
    desk.put("log.parquet", log(5))
    desk.site(more=line, roles="")
    desk.investigate().refused("sickbay.toml", key, hint=f"did you mean '{hint}'?")


def test_a_missing_key_is_named(desk: Desk) -> None:
    (desk.directory / "sickbay.toml").write_text("[model.m]\n")
    desk.investigate().refused("sickbay.toml", "model.m.predictions", "missing")


def test_a_value_of_the_wrong_type_is_named(desk: Desk) -> None:
    desk.site(more='task = "clustering"')
    desk.investigate().refused("sickbay.toml", "model.m.task", "binary")


def test_an_ending_it_does_not_read_lists_those_it_does(desk: Desk) -> None:
    (desk.directory / "log.xlsx").write_bytes(b"x")
    desk.site("log.xlsx")
    desk.investigate().refused("model.m.predictions", "log.xlsx", hint=".parquet")


def test_an_object_that_is_no_table_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.m\.predictions: a builtins\.int") as caught:
        investigate({"model": {"m": {"predictions": 3}}})
    assert "pandas" in caught.value.hint


def test_a_window_after_the_last_row_is_refused(desk: Desk) -> None:
    desk.put("log.parquet", log(50))
    desk.site()
    desk.investigate("--since", "2027-01-01").refused("--since")


# --- answered modestly: what cannot be known is unknown ---


def test_a_corrupt_file_among_good_ones_is_set_aside_and_named(desk: Desk) -> None:
    desk.put("logs/a.parquet", log(120))
    desk.put("logs/c.parquet", log(120, seed=4))
    (desk.directory / "logs" / "b.parquet").write_bytes(b"PAR1 broken on the way PAR1")
    desk.site("logs/*.parquet")
    checked = desk.call("doctor", "--json")
    assert "b.parquet" in checked.out
    assert "240 rows" in checked.out
    desk.investigate().modest()


def test_no_label_column_leaves_what_needs_labels_unknown(desk: Desk) -> None:
    desk.put("log.parquet", log().drop(columns="label"))
    desk.site(roles=ROLES.replace('label = "label", ', ""))
    ran = desk.investigate()
    ran.modest()
    assert "performance.dropped" not in ran.measured


def test_a_label_column_that_the_log_lacks_is_unknown_and_named(desk: Desk) -> None:
    desk.put("log.parquet", log().rename(columns={"label": "labels"}))
    desk.site()
    ran = desk.investigate()
    ran.modest()
    assert "performance.dropped" not in ran.measured
    assert "columns.label" in desk.call("doctor", "--json").out


def test_labels_that_are_all_null_are_unknown_not_perfect(desk: Desk) -> None:
    desk.put("log.parquet", log().assign(label=pd.array([None] * 240, dtype="Int64")))
    desk.site()
    ran = desk.investigate()
    ran.modest()
    assert "performance.dropped" not in ran.measured


def test_one_row_measures_nothing_and_exits_with_3(desk: Desk) -> None:
    desk.put("log.parquet", log(1))
    desk.site()
    ran = desk.investigate()
    ran.modest()
    assert ran.code == 3
    assert ran.measured == set()


def test_what_measured_nothing_does_not_read_as_healthy(desk: Desk) -> None:
    desk.put("log.parquet", log(1))
    desk.site()
    ran = desk.call("investigate", "--quiet")
    assert ran.code == 3
    assert not any(word in ran.out.lower() for word in ("all normal", "healthy", "nothing is wrong"))
    assert "nothing could be measured" in ran.out.lower()


def test_a_constant_column_is_no_news(desk: Desk) -> None:
    desk.put("log.parquet", log().assign(country="de", rate=1.0))
    desk.site()
    desk.investigate().modest()


def test_a_column_of_numbers_and_words_is_read(desk: Desk) -> None:
    mixed = [str(i) if i % 3 else "n/a" for i in range(240)]
    desk.put("log.csv", log().assign(amount=mixed))
    desk.site("log.csv")
    desk.investigate().modest()


def test_an_in_memory_column_of_mixed_objects_is_read() -> None:
    table = log().assign(amount=pd.Series([1.5 if i % 2 else "n/a" for i in range(240)], dtype=object))
    diagnosis = investigate({"model": {"m": {"predictions": table}}}, clock=later)
    assert any(finding.status == "measured" for finding in diagnosis.findings)
    assert all(cause.probability < 0.9 for cause in diagnosis.causes)


def test_five_thousand_columns_are_read(desk: Desk) -> None:
    random = np.random.default_rng(1)
    wide = pd.DataFrame(random.normal(size=(40, 5000)), columns=[f"x{i}" for i in range(5000)])
    desk.put("log.parquet", pd.concat([log(40), wide], axis=1))
    desk.site()
    desk.investigate().modest()


def test_times_without_a_zone_are_taken_as_utc(desk: Desk) -> None:
    zoned, plain = log(), log().assign(ts=lambda t: t["ts"].dt.tz_localize(None))
    desk.put("zoned.parquet", zoned)
    desk.put("plain.parquet", plain)
    answers = []
    for name in ("zoned", "plain"):
        desk.site(f"{name}.parquet")
        ran = desk.investigate("--since", "6h")
        ran.modest()
        answers.append([(f["id"], f["status"], f["log_ratio"]) for f in ran.diagnosis["findings"]])
    assert answers[0] == answers[1]


def test_a_few_times_in_the_future_are_left_out_and_said(desk: Desk) -> None:
    table = log()
    table.loc[:9, "ts"] = pd.Timestamp("2090-01-01", tz="UTC")
    desk.put("log.parquet", table)
    desk.site()
    assert "in the future" in desk.call("doctor", "--json").out
    desk.investigate().modest()


def test_a_log_that_lies_in_the_future_is_used_as_it_is(desk: Desk) -> None:
    desk.put("log.parquet", log().assign(ts=lambda t: t["ts"] + pd.Timedelta(days=20000)))
    desk.site()
    desk.investigate().modest()


def test_times_that_cannot_be_read_leave_the_log_without_times(desk: Desk) -> None:
    desk.put("log.parquet", log().assign(ts="yesterday-ish"))
    desk.site()
    desk.investigate().modest()


def test_duplicated_ids_are_no_crash(desk: Desk) -> None:
    desk.put("log.parquet", log().assign(id="same"))
    desk.site()
    desk.investigate().modest()


def test_infinities_are_no_numbers(desk: Desk) -> None:
    table = log()
    table.loc[::7, "amount"] = np.inf
    table.loc[::11, "amount"] = -np.inf
    table.loc[::13, "score"] = np.inf
    desk.put("log.parquet", table)
    desk.site()
    desk.investigate().modest()


def test_a_reference_of_nulls_only_is_nothing_to_compare_with(desk: Desk) -> None:
    desk.put("log.parquet", log())
    desk.put("reference.parquet", pd.DataFrame(None, index=range(240), columns=log(1).columns, dtype="float64"))
    desk.site(more='reference = "reference.parquet"')
    desk.investigate().modest()


def test_files_with_different_columns_are_read_and_named(desk: Desk) -> None:
    desk.put("logs/a.parquet", log(120))
    desk.put("logs/b.parquet", log(120, seed=4).drop(columns="channel").assign(amount=lambda t: t["amount"].map(str)))
    desk.site("logs/*.parquet")
    said = desk.call("doctor", "--json").out
    assert "'channel'" in said
    assert "'amount'" in said
    desk.investigate().modest()


# --- the same table, however it is handed over ---


def later() -> datetime:
    return datetime(2026, 2, 1, tzinfo=UTC)


def answer(diagnosis: Diagnosis) -> list[tuple[object, ...]]:
    return [(f.id, f.status, round(f.log_ratio, 6), f.reason) for f in diagnosis.findings]


def test_pandas_polars_and_arrow_give_the_answer_of_the_parquet_file(desk: Desk) -> None:
    import polars
    import pyarrow

    table = log()
    desk.put("log.parquet", table)
    handed = {
        "parquet": "log.parquet",
        "pandas": table,
        "polars": polars.from_pandas(table),
        "arrow": pyarrow.Table.from_pandas(table, preserve_index=False),
    }
    answers = {
        kind: answer(investigate({"model": {"m": {"predictions": given}}}, directory=desk.directory, clock=later))
        for kind, given in handed.items()
    }
    assert {kind for kind in answers if answers[kind] != answers["parquet"]} == set()


def test_without_knowledge_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.loader, "load", lambda: Knowledge({}, {}, {}))
    with pytest.raises(UserError, match="no knowledge is installed"):
        investigate({"model": {"m": {"predictions": log(20)}}})
