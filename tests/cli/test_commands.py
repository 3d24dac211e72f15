from __future__ import annotations

import io
import json
import tomllib

import pytest

from sickbay.cli import main, progress
from sickbay.cli.init import addresses
from sickbay.errors import SiteFileError, TableError
from sickbay.sources.context import Check
from tests.cli.fakes import FakeRooms, Leading, ProbeEnded, ProbeStarted, door
from tests.report import sample


def test_investigate_passes_on_what_was_asked(tmp_path, capsys):
    rooms = FakeRooms()
    arguments = ["investigate", "model-degradation", "--site", "s.toml", "--since", "7d", "--budget", "2m", "--mode"]
    assert main([*arguments, "fast", "--model", "fraud"], door(rooms, tmp_path)) == 0
    asked = rooms.asked
    assert (asked["site"], asked["scenario"], asked["since"], asked["until"]) == (
        "s.toml",
        "model-degradation",
        "7d",
        None,
    )
    assert (asked["budget"], asked["mode"], asked["model"], asked["directory"]) == (120.0, "fast", "fraud", tmp_path)
    said = capsys.readouterr()
    assert said.out.startswith("Broken feature pipeline, very probably (94%).")
    assert "found: Accuracy fell" in said.err
    assert "predictions.arms: unknown: arms.one_bad (no data: no arm column)" in said.err
    assert "likeliest so far: Feature pipeline broken 80%" in said.err


def test_investigate_json_is_one_object_and_nothing_else(capsys):
    assert main(["investigate", "--json", "--quiet"], door(FakeRooms())) == 0
    said = capsys.readouterr()
    assert said.err == ""
    document = json.loads(said.out)
    assert document["schema"] == "sickbay.diagnosis/1"
    assert document["causes"][0]["id"] == "feature-pipeline-broken"


def test_investigate_writes_the_reports_it_is_asked_for(tmp_path, capsys):
    html, markdown = tmp_path / "r.html", tmp_path / "r.md"
    assert main(["investigate", "--html", str(html), "--markdown", str(markdown)], door(FakeRooms())) == 0
    assert "<!doctype html>" in html.read_text(encoding="utf-8")
    assert markdown.read_text(encoding="utf-8").startswith("# Broken feature pipeline")
    assert f"report: {html}" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_said_so(tmp_path, capsys):
    assert main(["investigate", "--html", str(tmp_path / "no" / "r.html")], door(FakeRooms())) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("nothing_measured", 3), ("empty", 3), ("interrupted", 130), ("rich", 0)])
def test_the_exit_code_tells_what_was_known(name, code, capsys):
    assert main(["investigate", "--quiet"], door(FakeRooms(sample.ALL[name]()))) == code
    assert capsys.readouterr().out


@pytest.mark.parametrize("budget", ["soon", "0", "-3s"])
def test_a_budget_that_is_no_time_is_a_usage_error(budget, capsys):
    assert main(["investigate", f"--budget={budget}"], door(FakeRooms())) == 2
    assert "60s or 2m" in capsys.readouterr().err


def test_progress_on_a_terminal_keeps_one_live_line():
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Tty()
    show = progress.Progress(stream, {"TERM": "xterm"})
    show(ProbeStarted("a.b"))
    show(Leading("data-drift", 0.4))
    show(ProbeEnded("a.b", (), 0.2))
    show(object())
    show.close()
    text = stream.getvalue()
    assert "measuring a.b" in text
    assert "likeliest: Data drift 40%" in text
    assert text.endswith("\r\x1b[K")


def test_progress_says_so_while_none_of_the_causes_leads():
    stream = io.StringIO()
    progress.Progress(stream, {})(Leading("", 0.39))
    assert stream.getvalue() == "  likeliest so far: None of these 39%\n"


def test_demo_breaks_investigates_reports_and_heals(tmp_path, capsys):
    rooms, report = FakeRooms(), tmp_path / "r.html"
    assert main(["demo", "--directory", str(tmp_path / "d"), "--html", str(report)], door(rooms)) == 0
    assert rooms.lab.did == [f"start {tmp_path / 'd'}", "break drop_join 0 1.0", "heal"]
    assert rooms.asked["scenario"] == "model-degradation"
    assert report.exists()
    said = capsys.readouterr()
    assert str(report) in said.err
    assert "truth: the fault drop_join produces feature-pipeline-broken" in said.err
    assert said.out.startswith("Broken feature pipeline")


def test_demo_heals_also_when_the_investigation_fails(tmp_path, capsys):
    rooms = FakeRooms(error=SiteFileError("broken"))
    assert main(["demo", "--directory", str(tmp_path / "d")], door(rooms)) == 2
    assert rooms.lab.did[-1] == "heal"


def test_demo_names_the_nearest_fault(capsys):
    assert main(["demo", "dropjoin"], door(FakeRooms())) == 2
    assert "did you mean 'drop_join'?" in capsys.readouterr().err


def test_doctor_shows_what_failed_and_exits_3_when_nothing_can_be_read(capsys):
    good, bad = Check("read predictions", True, "12 files"), Check("reach mlflow", False, "start it")
    assert main(["doctor"], door(FakeRooms(checks=(good, bad)))) == 0
    assert "1 of 2 checks failed." in capsys.readouterr().out
    assert main(["doctor"], door(FakeRooms(checks=(bad,)))) == 3
    assert main(["doctor"], door(FakeRooms(checks=()))) == 3
    assert main(["doctor"], door(FakeRooms(error=SiteFileError("unknown key")))) == 2
    capsys.readouterr()
    assert main(["doctor", "--json"], door(FakeRooms(checks=(good,)))) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_probe_list_and_run(capsys):
    rooms = FakeRooms()
    assert main(["probe", "list"], door(rooms)) == 0
    assert "Share of nulls per column" in capsys.readouterr().out
    options = ["--option", "columns=amount", "--option", "least=0.5", "--option", "deep=true"]
    assert main(["probe", "run", "features.null_rate", *options], door(rooms)) == 0
    assert rooms.asked["options"] == {"columns": "amount", "least": 0.5, "deep": True}
    assert "found      features.nulls_jumped (+3.0)" in capsys.readouterr().out
    assert main(["probe", "run", "features.null_rate", "--json"], door(rooms)) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["id"] == "features.nulls_jumped"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["features.nul_rate"], "did you mean 'features.null_rate'?"),
        (["features.null_rate", "--option", "colums=a"], "did you mean 'columns'?"),
        (["features.null_rate", "--option", "columns"], "not KEY=VALUE"),
        (["features.null_rate", "--option", "least=many"], "'many'"),
    ],
)
def test_a_wrong_probe_or_option_is_a_usage_error(arguments, said, capsys):
    assert main(["probe", "run", *arguments], door(FakeRooms())) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "feature-pipeline-broken",
            ["usually features.nulls_jumped", "features.null_rate", "Risk: medium", "drop_join"],
        ),
        ("features.nulls_jumped", ["Nulls jumped in few columns", "usually shown by feature-pipeline-broken"]),
        ("features.null_rate", ["More is said here", "columns = ''", "features.nulls_jumped"]),
        ("drop_join", ["Lose the join", "produces: feature-pipeline-broken"]),
        ("more_traffic", ["harmless change"]),
        ("model-degradation", ["Accuracy fell", "Since when?", "feature-pipeline-broken"]),
        ("predictions", ["The prediction log", "features.null_rate"]),
        ("repair_feature_pipeline", ["against:", "feature-pipeline-broken"]),
    ],
)
def test_explain_tells_what_belongs_to_a_name(name, says, capsys):
    assert main(["explain", name], door(FakeRooms())) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in says:
        assert part in text
    assert main(["explain", name, "--json"], door(FakeRooms())) == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["name"] == name


def test_explain_names_the_nearest(capsys):
    assert main(["explain", "features.nulls_jumpd"], door(FakeRooms())) == 2
    assert "did you mean 'features.nulls_jumped'?" in capsys.readouterr().err


def test_lab_commands_call_the_lab(tmp_path, capsys):
    rooms = FakeRooms()
    place = ["--directory", str(tmp_path)]
    assert main(["lab", "list"], door(rooms)) == 0
    assert "harmless: a control" in capsys.readouterr().out
    assert main(["lab", "start", *place], door(rooms)) == 0
    assert main(["lab", "break", "drop_join", "--seed", "7", "--strength", "0.5", *place], door(rooms)) == 0
    assert main(["lab", "heal", *place], door(rooms)) == 0
    assert [step.split()[0] for step in rooms.lab.did] == ["start", "open", "break", "open", "heal"]
    assert "break drop_join 7 0.5" in rooms.lab.did
    assert main(["lab", "break", "dropjoin", *place], door(rooms)) == 2


def test_bench_prints_the_contract_as_json_and_the_missed_cases_as_text(capsys):
    assert main(["lab", "bench", "--cases", "10", "--json"], door(FakeRooms())) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["schema"] == "sickbay.bench/1"
    assert "10 of 10 cases" in said.err
    assert main(["lab", "bench", "--cases", "1"], door(FakeRooms())) == 0
    assert "missed: seed 1000, truth data-drift, said concept-drift 70%" in capsys.readouterr().out


NAMES = ("ts", "amount", "country", "prediction", "score", "label", "model_version", "latency_ms", "txn_id")
TYPES = ("TIMESTAMP", "DOUBLE", "VARCHAR", "INTEGER", "DOUBLE", "INTEGER", "VARCHAR", "DOUBLE", "VARCHAR")
ROWS = tuple(
    (sample.START, 12.5 * i, ("DE", "FR")[i % 2], i % 2, 0.1 * (i % 9), i % 2, "v17", 20.0 + i, f"t{i}")
    for i in range(40)
)


def looking(path):
    if "corrupt" in path.name:
        raise TableError(f"{path.name} is not Parquet")
    keep = 6 if "reference" in path.name else len(NAMES)
    return NAMES[:keep], TYPES[:keep], [row[:keep] for row in ROWS]


def tables(place, *names):
    for name in names:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_init_writes_a_site_file_that_loads_and_says_how_sure_it_is(tmp_path, capsys):
    from sickbay.config import load_site

    tables(tmp_path, "data/predictions/2026-01-01.parquet", "data/predictions/2026-01-02.parquet")
    tables(tmp_path, "data/reference.parquet", "data/corrupt.parquet")
    assert main(["init"], door(FakeRooms(peek=looking), tmp_path)) == 0
    text = (tmp_path / "sickbay.toml").read_text(encoding="utf-8")
    model = load_site(None, {}, tmp_path).model["main"]
    assert model.predictions == "data/predictions/*.parquet"
    assert model.reference == "data/reference.parquet"
    assert model.task == "binary"
    assert model.segments == ("country",)
    assert model.columns.named() == {
        "timestamp": "ts", "prediction": "prediction", "score": "score", "label": "label",
        "version": "model_version", "latency": "latency_ms", "id": "txn_id",
    }  # fmt: skip
    assert 'timestamp = "ts"  # sure: its name, and its values fit' in text
    assert '# arm = "…"  # no column looks like it' in text
    said = capsys.readouterr()
    assert "left out corrupt.parquet" in said.err


def test_init_never_overwrites_without_being_told_to(tmp_path, capsys):
    tables(tmp_path, "log.csv", "sickbay.toml")
    rooms = FakeRooms(peek=looking)
    assert main(["init"], door(rooms, tmp_path)) == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "sickbay.toml").read_bytes() == b""
    assert main(["init", "--force"], door(rooms, tmp_path)) == 0
    assert (tmp_path / "sickbay.toml").read_bytes() != b""


def test_init_without_tables_says_what_to_do(tmp_path, capsys):
    assert main(["init"], door(FakeRooms(peek=looking), tmp_path)) == 2
    assert "sickbay init data/predictions" in capsys.readouterr().err


def test_a_name_that_would_break_toml_is_quoted(tmp_path):
    odd = 'a"b\n[model.x]'
    rooms = FakeRooms(peek=lambda path: ((odd, "prediction"), ("VARCHAR", "INTEGER"), [("x", 1), ("y", 0)] * 9))
    tables(tmp_path, "log.csv")
    assert main(["init"], door(rooms, tmp_path)) == 0
    document = tomllib.loads((tmp_path / "sickbay.toml").read_text(encoding="utf-8"))
    assert document["model"]["main"]["segments"] == [odd]
    assert list(document["model"]) == ["main"]


def test_parts_are_one_table_and_train_beside_live_are_two(tmp_path):
    tables(tmp_path, "parts/part-0.parquet", "parts/part-1.parquet", "two/train.csv", "two/live.csv", ".git/x.csv")
    found = [path.relative_to(tmp_path).as_posix() for path in addresses([tmp_path])]
    assert found == ["parts/*.parquet", "two/live.csv", "two/train.csv"]
