from __future__ import annotations

from sickbay.cli import main
from sickbay.config import load_site
from sickbay.lab.operations import start


def test_a_log_partitioned_by_date_is_one_table(tmp_path, monkeypatch, capsys):
    start(tmp_path / "lab", rows=3000)
    (tmp_path / "lab" / "sickbay.toml").unlink()
    monkeypatch.chdir(tmp_path / "lab")
    assert main(["init"]) == 0
    site = load_site("sickbay.toml", {}, tmp_path / "lab")
    model = site.model["main"]
    assert model.predictions == "predictions"
    assert model.reference == "reference.parquet"
    assert model.columns.timestamp == "ts"
    assert model.columns.label == "label"
