"""Small prediction logs to damage, and a run of the command line over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sickbay.cli import main
from sickbay.cli.rooms import Door, Rooms

ROLES = 'columns = { timestamp = "ts", prediction = "prediction", score = "score", label = "label", id = "id" }'


def log(rows: int = 240, seed: int = 3) -> pd.DataFrame:
    """A healthy log: a score that follows ``amount``, one category, ten rows an hour from 2026-01-01."""
    random = np.random.default_rng(seed)
    amount = random.normal(size=rows)
    score = 1 / (1 + np.exp(-2 * amount))
    return pd.DataFrame(
        {
            "ts": pd.date_range("2026-01-01", periods=rows, freq="6min", tz="UTC"),
            "id": [f"r{i}" for i in range(rows)],
            "prediction": (score > 0.5).astype(np.int64),
            "score": score,
            "label": (random.random(rows) < score).astype(np.int64),
            "amount": amount,
            "channel": random.choice(["web", "app", "shop"], rows),
        }
    )


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, its JSON, and what it said on stderr."""

    code: int
    out: str
    err: str

    @property
    def diagnosis(self) -> dict[str, Any]:
        return json.loads(self.out)  # type: ignore[no-any-return]

    @property
    def measured(self) -> set[str]:
        return {f["id"] for f in self.diagnosis["findings"] if f["status"] == "measured"}

    def refused(self, *named: str, hint: str | None = None) -> None:
        """It was refused as the user's to fix: exit code 2, what is wrong is named, a next step, no traceback."""
        assert self.code == 2, self.err or self.out
        assert self.out == ""
        assert "Traceback" not in self.err
        for name in named:
            assert name in self.err
        assert "hint: " in self.err
        assert hint is None or hint in self.err

    def modest(self) -> None:
        """It answered without claiming: no cause believed, unknown findings with a reason, 3 when nothing was seen."""
        assert "Traceback" not in self.err
        assert self.code == (0 if self.measured else 3), self.err
        diagnosis = self.diagnosis
        assert all(cause["probability"] < 0.9 for cause in diagnosis["causes"]), diagnosis["causes"][:3]
        for finding in diagnosis["findings"]:
            assert (finding["status"] == "unknown") == bool(finding["reason"])
            assert "crashed" not in (finding["reason"] or ""), finding
        if not self.measured:
            assert diagnosis["stopped"] != "confident"


class Desk:
    """A directory with a site file and tables, and the command line called in it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys

    def put(self, name: str, table: pd.DataFrame) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".csv"):
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, index=False)

    def site(self, predictions: str = "log.parquet", more: str = "", roles: str = ROLES) -> None:
        text = f'[system]\nname = "desk"\n[model.m]\npredictions = "{predictions}"\n{roles}\n{more}\n'
        (self.directory / "sickbay.toml").write_text(text)

    def call(self, *arguments: str) -> Ran:
        code = main(arguments, Door(Rooms(), {}, self.directory))
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def investigate(self, *arguments: str) -> Ran:
        return self.call("investigate", "--json", "--quiet", *arguments)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)
