"""The gate passes on evidence, fails on evidence, and otherwise says that it was not shown."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sickbay.cli import main
from sickbay.errors import UserError
from sickbay.gate.operation import validate
from sickbay.gate.pairs import Named

ROWS = 20_000


def tables(seed=0, rows=ROWS, noise=0.2, bad_segment=None):
    rng = np.random.default_rng(seed)
    x, country = rng.normal(size=(2, rows)), rng.choice(["DE", "FR", "UK"], rows)
    logit = 1.4 * x[0] + 0.8 * x[1]
    label = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    data = pd.DataFrame({"id": np.arange(rows), "x": x[0], "z": x[1], "country": country, "label": label})
    sides = []
    for scale in (noise, 0.2):
        made = logit + scale * rng.normal(size=rows)
        if bad_segment and not sides:
            made = np.where(country == bad_segment, rng.normal(size=rows), made)
        score = 1 / (1 + np.exp(-made))
        sides.append(pd.DataFrame({"id": np.arange(rows), "score": score, "prediction": (score > 0.5).astype(int)}))
    return sides[0], sides[1], data


def status(verdict, check):
    return next(c.status for c in verdict.checks if c.id == check)


NAMED = Named(segments=("country",))


def test_an_equal_candidate_passes():
    verdict = validate(*tables(), named=NAMED)
    assert verdict.passed, [c.says for c in verdict.reasons()]


def test_a_worse_candidate_fails_and_says_why():
    verdict = validate(*tables(noise=2.0), named=NAMED)
    assert verdict.word == "failed"
    assert status(verdict, "overall.auc") == "failed"


def test_a_loss_in_one_segment_alone_is_found():
    verdict = validate(*tables(bad_segment="UK"), named=NAMED)
    assert status(verdict, "segment.country=UK") == "failed"
    assert status(verdict, "segment.country=DE") == "passed"


def test_too_little_data_is_not_shown_and_does_not_pass():
    verdict = validate(*tables(rows=120), named=NAMED)
    assert verdict.word == "not shown"
    assert not verdict.passed


def test_the_same_predictions_pass():
    candidate, _, data = tables()
    assert validate(candidate, candidate, data).passed


def test_a_model_that_gives_no_answer_for_some_rows_fails():
    candidate, champion, data = tables()
    candidate.loc[:200, "score"] = np.nan
    verdict = validate(candidate, champion, data)
    assert status(verdict, "answers") == "failed"


def test_rows_without_a_partner_are_counted_and_fail_the_gate():
    candidate, champion, data = tables()
    verdict = validate(candidate.iloc[:17_000], champion, data)
    assert status(verdict, "answers") == "failed"
    assert any("3,000 rows" in note for note in verdict.notes)


def test_order_does_not_matter_when_there_are_ids():
    candidate, champion, data = tables()
    first = validate(candidate, champion, data)
    second = validate(candidate.sample(frac=1, random_state=1), champion, data.sample(frac=1, random_state=2))
    assert first.checks[1].difference == pytest.approx(second.checks[1].difference)


def test_a_model_that_can_be_called_is_called_on_changed_inputs():
    _, _, data = tables(rows=3000)

    def sturdy(row):
        return 1 / (1 + np.exp(-(1.4 * np.nan_to_num(row["x"]) + 0.8 * np.nan_to_num(row["z"]))))

    def brittle(row):
        return 1 / (1 + np.exp(-(1.4 * row["x"] + 0.8 * row["z"])))

    verdict = validate(brittle, sturdy, data)
    assert status(verdict, "stability.missing") == "failed"
    assert status(verdict, "latency") != "not_shown"
    assert status(validate(sturdy, sturdy, data), "stability.missing") == "passed"


def test_regression_and_words_as_classes_are_compared_too():
    rng = np.random.default_rng(4)
    truth = rng.normal(10, 3, 3000)
    data = pd.DataFrame({"target": truth})
    good, bad = (pd.DataFrame({"prediction": truth + s * rng.normal(size=3000)}) for s in (1.0, 1.5))
    assert validate(good, bad, data).passed
    assert validate(bad, good, data).word == "failed"
    words = pd.DataFrame({"label": np.where(truth > 10, "yes", "no")})
    said = pd.DataFrame({"prediction": np.where(good["prediction"] > 10, "yes", "no")})
    assert status(validate(said, said, words), "overall.accuracy") == "passed"


def test_the_rules_of_the_site_file_are_kept(tmp_path):
    candidate, champion, data = tables()
    data.loc[:100, "x"] = 99.0
    site = {
        "model": {"m": {"predictions": "log.parquet", "gate": {
            "better": True, "metric": "accuracy",
            "contract": {"x": {"max": 10.0}, "gone": {"type": "number"}, "country": {"values": ["DE", "FR", "UK"]}},
        }}}
    }  # fmt: skip
    verdict = validate(candidate, champion, data, site=site, directory=tmp_path)
    assert status(verdict, "overall.accuracy") == "not_shown"
    assert [status(verdict, f"contract.{n}") for n in ("x", "gone", "country")] == ["failed", "failed", "passed"]
    site["model"]["m"]["gate"]["allow_not_shoun"] = []
    with pytest.raises(UserError) as caught:
        validate(candidate, champion, data, site=site, directory=tmp_path)
    assert "allow_not_shown" in caught.value.hint


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, noise in (("same", 0.2), ("worse", 2.0)):
        candidate, champion, data = tables(noise=noise)
        candidate.to_parquet(f"{name}.parquet")
    champion.to_parquet("champion.parquet")
    data.to_parquet("data.parquet")
    data.drop(columns=["label"]).to_parquet("unlabelled.parquet")
    data.assign(label=None).to_csv("nolabel.csv", index=False)
    candidate.iloc[:10].drop(columns=["id"]).to_parquet("short.parquet")
    pd.concat([candidate, candidate]).to_parquet("twice.parquet")
    return tmp_path


def run(capsys, candidate, *more, data="data.parquet"):
    code = main(["validate", "--candidate", candidate, "--champion", "champion.parquet", "--data", data, *more])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_exit_codes_and_files_for_machines(files, capsys):
    code, out, _ = run(capsys, "same.parquet", "--json", "--junit", "gate.xml", "--markdown", "gate.md")
    found = json.loads(out)
    assert (code, found["schema"], found["passed"]) == (0, "sickbay.gate/1", True)
    suite = ElementTree.parse("gate.xml").getroot()
    assert (suite.get("failures"), int(suite.get("tests"))) == ("0", len(found["checks"]))
    assert "✅" in (files / "gate.md").read_text(encoding="utf-8")
    code, out, _ = run(capsys, "worse.parquet", "--junit", "gate.xml")
    assert code == 1
    assert "FAILED" in out
    assert int(ElementTree.parse("gate.xml").getroot().get("failures")) >= 1


@pytest.mark.parametrize(
    ("candidate", "more", "data", "said"),
    [
        ("nothing.parquet", (), "data.parquet", "there is no file nothing.parquet"),
        ("same.parquet", (), "unlabelled.parquet", "no column that looks like a label"),
        ("same.parquet", ("--label", "labl"), "data.parquet", "did you mean 'label'"),
        ("short.parquet", (), "data.parquet", "10 predictions for 20,000 rows"),
        ("twice.parquet", (), "data.parquet", "stands there twice"),
        ("same.parquet", ("--metric", "auk"), "data.parquet", "did you mean 'auc'"),
        ("same.parquet", ("--segment", "contry"), "data.parquet", "did you mean 'country'"),
        ("python:nowhere:f", (), "data.parquet", "No module named"),
        ("models:/fraud/1", (), "data.parquet", "needs the registry"),
    ],
)
def test_bad_input_names_the_thing_and_the_next_step(files, capsys, candidate, more, data, said):
    code, out, err = run(capsys, candidate, *more, data=data)
    assert (code, out) == (2, "")
    assert said in err


def test_without_any_label_nothing_passes(files, capsys):
    code, _, _ = run(capsys, "same.parquet", data="nolabel.csv")
    assert code != 0
