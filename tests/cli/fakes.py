"""Rooms for the doors to open onto: the commands are tested here, the operations in their own rooms.

Argued: what a command prints, writes and returns as exit code does not depend on how a diagnosis came about, and the
awkward ones (nothing measured, interrupted, a defect) cannot be had from a real run at will.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sickbay.cli.rooms import Door, Rooms
from sickbay.errors import TableError
from sickbay.registry import Fault, SourceKind
from sickbay.sources.context import Check
from sickbay.terms.cause import Cause, Knowledge, Link, Question, Scenario
from sickbay.terms.change import Change
from sickbay.terms.diagnosis import Diagnosis
from sickbay.terms.finding import measured, unknown
from sickbay.terms.probe import Probe
from tests.report import sample


@dataclass
class ProbeStarted:
    probe: str


@dataclass
class ProbeEnded:
    probe: str
    findings: tuple[Any, ...]
    seconds: float


@dataclass
class Leading:
    cause: str
    probability: float


def null_rate(predictions, *, columns="", least=0.01, deep=False):
    """Share of nulls per column, before and after.

    More is said here.
    """


def drop_join(system, *, seed):
    """Lose the join that fills merchant_age_days."""


class Predictions:
    """The prediction log."""


@dataclass
class FakeLab:
    site_file: Path
    did: list[str] = field(default_factory=list)

    def break_(self, fault, *, seed, strength=1.0):
        self.did.append(f"break {fault} {seed} {strength}")

    def heal(self):
        self.did.append("heal")

    def stop(self):
        self.did.append("stop")

    def close(self):
        """Nothing runs."""


class FakeRooms(Rooms):
    def __init__(
        self,
        diagnosis: Diagnosis | None = None,
        error: BaseException | None = None,
        checks: tuple[Check, ...] = (),
        peek: Callable[[Path], Any] | None = None,
    ) -> None:
        self.diagnosis = diagnosis or sample.rich()
        self.error = error
        self.checks = checks
        self.look = peek
        self.asked: dict[str, Any] = {}
        self.lab = FakeLab(Path("demo/sickbay.toml"))

    def investigate(self, site, scenario, **asked):
        self.asked = {"site": site, "scenario": scenario, **asked}
        if self.error:
            raise self.error
        if tell := asked.get("on_event"):
            tell(ProbeStarted("features.null_rate"))
            tell(ProbeEnded("features.null_rate", self.diagnosis.findings[:2], 0.3))
            tell(Leading("feature-pipeline-broken", 0.8))
            tell(ProbeEnded("predictions.arms", (unknown("arms.one_bad", "no data: no arm column"),), 0.3))
        return self.diagnosis

    def run_probe(self, name, site, **asked):
        self.asked = {"name": name, "site": site, **asked}
        finding = measured("features.nulls_jumped", 3.0, says="Nulls rose to 61%.")
        return (finding, Change("deploy", sample.ONSET - timedelta(hours=1), "job 4.2.0"))

    def doctor(self, site, **asked):
        if self.error:
            raise self.error
        return self.checks

    def knowledge(self):
        cause = Cause(
            "feature-pipeline-broken", "Features arrive broken.", 0.15, "expert",
            {"features.nulls_jumped": Link(0.85)}, ("repair_feature_pipeline", "not_described"), "Check nulls.",
            title="Broken feature pipeline", scenario="model-degradation",
        )  # fmt: skip
        scenario = Scenario(
            "model-degradation", "Model degradation", "performance.dropped", "Accuracy fell.",
            questions=(Question("Since when?", ("onset.sudden",)),),
        )  # fmt: skip
        return Knowledge({cause.id: cause}, {scenario.id: scenario}, sample.ADVICE)

    def probes(self):
        options = {"columns": "", "least": 0.01, "deep": False}
        probe = Probe(
            "features.null_rate", null_rate, (sample.KINDS["features.nulls_jumped"],), 1.0, "light", 20.0,
            {"predictions": "predictions"}, options, "tests:1",
        )  # fmt: skip
        return {probe.name: probe}

    def kinds(self):
        return sample.KINDS

    def sources(self):
        return {"predictions": SourceKind("predictions", Predictions, "tests:2")}

    def faults(self):
        harmless = Fault("more_traffic", drop_join, "", "fraud", 0.0, "tests:4")
        return {
            "more_traffic": harmless,
            "drop_join": Fault("drop_join", drop_join, "feature-pipeline-broken", "fraud", 0.0, "tests:3"),
        }

    def start_lab(self, directory, **settings):
        self.lab.did.append(f"start {directory}")
        return self.lab

    def open_lab(self, directory):
        self.lab.did.append(f"open {directory}")
        return self.lab

    def bench(self, scenario, *, cases, seed, on_case=None):
        for _ in range(cases):
            on_case(None)
        case = {"seed": seed, "truth": ["data-drift"], "ranked": [["concept-drift", 0.7]], "probes": 3, "seconds": 1.0}
        result = {"schema": "sickbay.bench/1", "scenario": scenario, "top1": 0.95, "cases": [case]}
        return SimpleNamespace(to_dict=lambda: result)

    def peek(self, path):
        if self.look is None:
            raise TableError(f"{path} cannot be read")
        return self.look(path)


def door(rooms: Rooms, directory: Path = Path()) -> Door:
    return Door(rooms, {}, directory)
