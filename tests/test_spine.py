"""The site file, redaction, the registry, and the JSON contract."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sickbay import redact as redaction
from sickbay.config import Site, choose_model, load_site
from sickbay.errors import PluginError, SiteFileError, UnknownNameError
from sickbay.redact import MASK, redact, redact_all
from sickbay.references import resolve
from sickbay.registry import PROBES, Shelf, probe
from sickbay.terms.change import Change
from sickbay.terms.diagnosis import Answer, Diagnosis, LedgerEntry, MissingEvidence, RankedCause
from sickbay.terms.evidence import Evidence, Numbers, Rows
from sickbay.terms.finding import FindingKind, measured, unknown
from sickbay.terms.wire import plain, utc

MODEL = {"predictions": "log.parquet"}


def site(document: dict[str, Any], directory: Path = Path()) -> Site:
    return load_site(document, {}, directory)


# --- the site file ---


@pytest.mark.parametrize(
    ("document", "key", "hint"),
    [
        ({"sytem": {}}, "'sytem'", "'system'"),
        ({"system": {"nam": "x"}}, "'system.nam'", "'name'"),
        ({"model": {"m": MODEL | {"tasks": "binary"}}}, "'model.m.tasks'", "'task'"),
        ({"model": {"m": MODEL | {"columns": {"time_stamp": "t"}}}}, "'model.m.columns.time_stamp'", "'timestamp'"),
        ({"source": {"postgress": {}}}, "[source.postgress]", "'postgres'"),
        ({"model": {"m": MODEL | {"zzz": 1}}}, "'model.m.zzz'", "keys known there: task, predictions"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(document: dict[str, Any], key: str, hint: str) -> None:
    with pytest.raises(SiteFileError) as caught:
        site(document)
    assert key in str(caught.value)
    assert "the given site" in str(caught.value)
    assert hint in caught.value.hint


def test_a_blank_address_is_refused() -> None:
    with pytest.raises(SiteFileError, match=r"model\.m\.predictions.*is empty"):
        site({"model": {"m": {"predictions": "  "}}})


def test_a_dict_may_hold_a_table_in_the_place_of_an_address() -> None:
    table = object()
    assert site({"model": {"m": {"predictions": table}}}).model["m"].predictions is table


def test_a_site_is_taken_as_it_is() -> None:
    made = Site()
    assert load_site(made, {}, Path()) is made


def test_relative_paths_start_at_the_site_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "site.toml"
    file.write_text('[model.m]\npredictions = "log.parquet"\n')
    loaded = load_site(file, {}, Path("/elsewhere"))
    assert loaded.base == file.resolve().parent
    assert loaded.file == str(file)


def test_the_site_file_here_comes_before_the_one_of_the_environment(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[system]\nname = "other"\n')
    environ = {"SICKBAY_SITE": str(other)}
    assert load_site(None, environ, tmp_path).system.name == "other"
    (tmp_path / "sickbay.toml").write_text('[system]\nname = "here"\n')
    assert load_site(None, environ, tmp_path).system.name == "here"


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    assert resolve("env:PW", tmp_path, {"PW": "x"}, key="k") == resolve("env:PW", Path(), {"PW": "x"}, key="k")
    assert resolve("env:PW", tmp_path, {"PW": "x"}, key="k").text == "x"
    assert resolve("file:password", tmp_path, {}, key="k").text == "hunter2"
    assert resolve("file:password", tmp_path, {}, key="k").secret
    assert not resolve("plain", tmp_path, {}, key="k").secret


@pytest.mark.parametrize("value", ["env:PW", "file:nowhere"])
def test_a_secret_that_is_not_there_names_the_key_and_the_place(value: str, tmp_path: Path) -> None:
    with pytest.raises(SiteFileError) as caught:
        resolve(value, tmp_path, {}, key="source.postgres.password")
    assert "source.postgres.password" in str(caught.value)
    assert value.partition(":")[2] in str(caught.value)
    assert caught.value.hint


def test_the_only_model_is_chosen_and_of_several_one_must_be_named() -> None:
    one, two = site({"model": {"m": MODEL}}), site({"model": {"churn": MODEL, "fraud": MODEL}})
    assert choose_model(one, None)[0] == "m"
    assert choose_model(two, "fraud")[0] == "fraud"
    with pytest.raises(SiteFileError, match="several models: churn, fraud") as caught:
        choose_model(two, None)
    assert "--model" in caught.value.hint
    with pytest.raises(SiteFileError, match=r"no \[model.frauds\]") as caught:
        choose_model(two, "frauds")
    assert "'fraud'" in caught.value.hint
    with pytest.raises(SiteFileError, match="names no model") as caught:
        choose_model(site({}), None)
    assert "sickbay init" in caught.value.hint


# --- redaction ---

SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40)
HIDING_PLACES = (
    "postgresql://ml:{}@db.internal:5432/features",
    "Authorization: Bearer {}",
    "authorization: basic {}",
    "password={} host=db",
    'api_key: "{}"',
    "SECRET='{}'",
    "{{'token': '{}'}}",
    '{{"password": "{}"}}',
    "https://host/path?access_key={}&x=1",
    "PGPASSWORD={} psql",
    "aws_secret_access_key = {}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
)


@pytest.fixture(autouse=True)
def no_secrets_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redaction, "_known", set())
    return


@pytest.mark.parametrize("place", HIDING_PLACES)
@given(secret=SECRETS, before=st.text(max_size=30), after=st.text(max_size=30))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_a_secret_by_form_never_survives(place: str, secret: str, before: str, after: str) -> None:
    assume(secret not in before + after)
    assert secret not in redact(f"{before} {place.format(secret)} {after}")


@given(secret=SECRETS, before=st.text(max_size=30), after=st.text(max_size=30))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_a_known_secret_never_survives_wherever_it_stands(secret: str, before: str, after: str) -> None:
    redaction.remember(secret)
    nested = {f"{before}{secret}": [(after, {secret: Evidence({"x": f"{secret}{after}"})})]}
    assert secret not in repr(redact_all(nested))


def test_a_longer_secret_is_masked_whole_though_it_begins_with_another() -> None:
    redaction.remember("abcd")
    redaction.remember("abcdefgh")
    assert redact("x abcdefgh y") == f"x {MASK} y"


def test_harmless_text_stays_as_it_is() -> None:
    for text in ("accuracy 0.91 → 0.78", "https://host/path", "the token bucket is empty", "user@host", ""):
        assert redact(text) == text


def test_a_private_key_whose_end_was_cut_off_is_masked_to_the_end() -> None:
    assert "MIIE" not in redact("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg")


PIECES = ("a", "ab://", "ab://x:", "://", "token", "token=", "token ", "Bearer ", "eyJ", "eyJabcdefgh.", "-", "a.b-",
          "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "AKIA", "x@", "A" * 16, "password: ")  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_twice_the_text_is_no_more_than_about_twice_the_work(piece: str) -> None:
    """Compared in processor time of this process within one run; a pattern that looks back does four times the work."""

    def work(characters: int) -> float:
        text = piece * (characters // len(piece))
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    half, whole = (min(work(characters) for _ in range(3)) for characters in (25_000, 50_000))
    assert whole < 3 * half + 0.02


# --- the registry ---


def test_two_things_of_one_name_name_both_places() -> None:
    shelf: Shelf[int] = Shelf("probe", "none", loaded=True)
    shelf.add("nulls", 1, "one.py:3")
    shelf.add("nulls", 1, "one.py:3")
    with pytest.raises(PluginError, match=r"two probes are called 'nulls': one in one\.py:3, one in two\.py:9"):
        shelf.add("nulls", 2, "two.py:9")


def test_an_unknown_name_is_told_the_nearest_or_all() -> None:
    shelf: Shelf[int] = Shelf("probe", "none", {"nulls": 1, "drift": 2}, loaded=True)
    assert shelf.get("nulls") == 1
    with pytest.raises(UnknownNameError, match="no probe called 'null'") as caught:
        shelf.get("null")
    assert caught.value.hint == "did you mean 'nulls'?"
    with pytest.raises(UnknownNameError) as caught:
        shelf.get("zzzz")
    assert caught.value.hint == "known: drift, nulls"


def test_a_probe_that_asks_for_no_registered_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    PROBES.load()
    with pytest.raises(PluginError, match="'system' is annotated with") as caught:

        @probe(findings=[], seconds=1.0)
        def odd(system: int) -> list[Any]:
            return []

    assert "predictions" in caught.value.hint


def test_a_probe_has_at_least_twenty_seconds() -> None:
    for known in PROBES.load().values():
        assert known.deadline >= max(20.0, known.seconds)
        assert known.says
        assert known.findings


# --- the JSON contract ---

KIND = FindingKind("features.nulls_jumped", "Nulls jumped.", unit="share")

DIAGNOSIS = Diagnosis(
    system="s",
    scenario="serving-oom",
    started_at=datetime(2026, 1, 5, 4, tzinfo=timezone(timedelta(hours=1))),
    seconds=4.1,
    causes=(RankedCause("memory-leak", 0.94, "It leaks.", (LedgerEntry(KIND.id, 2.1),), ("restart",), "limit it"),),
    none_of_these=0.02,
    coverage=0.91,
    stopped="confident",
    findings=(
        measured(KIND, 3.2, statistic=0.41, evidence=Evidence({"nan": math.nan, "n": np.int64(3)})),
        unknown("x", "no data: none", evidence=Evidence({}, [Rows(("a",), ((math.inf,),)), Numbers({"b": math.nan})])),
    ),
    unexplained=("x",),
    missing=(MissingEvidence("y", "probe.y", 0.2, "timed out: 20 s"),),
    changes=(Change("deploy", datetime(2026, 1, 5, tzinfo=UTC), "v2"),),
    answers=(Answer("Why?", ("Because.",), (KIND.id,)),),
    pairs=(("a", "b", 0.2),),
    settings={"until": datetime(2026, 1, 5, tzinfo=UTC), "x": math.nan},
)


def test_a_diagnosis_has_the_keys_of_the_contract() -> None:
    wire = DIAGNOSIS.to_dict()
    assert wire["schema"] == "sickbay.diagnosis/1"
    assert set(wire) >= {
        "schema", "system", "scenario", "started_at", "seconds", "causes", "none_of_these", "coverage", "stopped",
        "findings", "unexplained", "missing",
    }  # fmt: skip
    assert set(wire["causes"][0]) >= {"id", "probability", "says", "ledger", "remedies", "prevention"}
    assert wire["causes"][0]["ledger"] == [{"finding": "features.nulls_jumped", "log_odds": 2.1}]
    assert set(wire["findings"][0]) >= {
        "id", "status", "reason", "log_ratio", "statistic", "unit", "evidence", "probe", "seconds",
    }  # fmt: skip
    assert wire["findings"][0]["unit"] == "share"
    assert set(wire["missing"][0]) >= {"finding", "probe", "information"}


def test_what_is_no_number_becomes_null_and_json_takes_the_rest() -> None:
    wire = DIAGNOSIS.to_dict()
    text = json.dumps(wire, allow_nan=False)
    assert json.loads(text) == wire
    assert wire["findings"][0]["evidence"] == {"nan": None, "n": 3}
    assert [e["kind"] for e in wire["findings"][1]["evidence"]["exhibits"]] == ["rows", "numbers"]
    assert wire["findings"][1]["evidence"]["exhibits"][0]["rows"] == [[None]]
    assert wire["settings"] == {"until": "2026-01-05T00:00:00Z", "x": None}


def test_instants_are_written_in_utc_with_a_z() -> None:
    assert DIAGNOSIS.to_dict()["started_at"] == "2026-01-05T03:00:00Z"
    assert utc(datetime(2026, 1, 5, 3)) == "2026-01-05T03:00:00Z"
    assert utc(datetime(2026, 1, 5, 3, 0, 0, 250_000, tzinfo=UTC)) == "2026-01-05T03:00:00.250Z"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_any_value_can_be_written_as_json(value: Any) -> None:
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize("number", [np.float64("nan"), np.float32("inf"), np.array(np.nan), np.datetime64("NaT", "ns")])
def test_numpy_values_that_are_no_number_become_null(number: Any) -> None:
    assert plain(number) is None


def test_the_leader_is_the_first_cause_or_nothing() -> None:
    assert DIAGNOSIS.leader is DIAGNOSIS.causes[0]
    assert replace(DIAGNOSIS, causes=()).leader is None
    assert DIAGNOSIS.finding("nowhere") is None
