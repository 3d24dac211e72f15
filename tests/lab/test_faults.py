from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sickbay.investigation import investigate
from sickbay.knowledge.loader import load
from sickbay.lab.operations import WORLDS, Broken, in_force, open_lab, start
from sickbay.lab.systems.fraud import Fraud
from sickbay.lab.systems.scoring import ScoringSystem, Settings
from sickbay.registry import FAULTS, SYSTEMS

pytestmark = pytest.mark.lab

SEED = 2026
WRITTEN = ("scoring", *WORLDS)
NAMES = sorted(name for name, fault in FAULTS.load().items() if fault.system in WRITTEN)
HURTS_LITTLE = {"rename_levels": "an unseen category goes in as missing, and the model hardly leans on it: it hides"}


@pytest.fixture(scope="module")
def system():
    return ScoringSystem(Fraud(), Settings(rows=16_000), SEED)


@pytest.fixture(scope="module")
def healthy(system):
    return system.run()


def rows_of(batch):
    return {
        "score": batch.score,
        "prediction": batch.prediction,
        "seen": batch.seen_label,
        "status": batch.status,
        **batch.columns,
    }


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(a.values(), b.values(), strict=True))


def run_and_fail(system, fault):
    """Run the broken system, then fail in the middle of the work: the fault must heal all the same."""
    try:
        with in_force(fault, system, Broken(fault.name, 1, 0.8)):
            broken = system.run()
            raise ZeroDivisionError
    except ZeroDivisionError:
        return broken


def loss_after_onset(batch):
    known = batch.after & np.isfinite(batch.seen_label)
    return float(np.abs(batch.prediction - batch.seen_label)[known].mean())


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_breaks_and_heals_also_after_a_failing_body(name, system, healthy):
    fault = FAULTS.get(name)
    assert fault.says.endswith(".")
    assert fault.produces in {"", *load().causes}
    broken = run_and_fail(system, fault)
    assert same(rows_of(system.run()), rows_of(healthy)), f"{name} does not heal"
    assert not same(rows_of(broken), rows_of(healthy)) or broken.rows != healthy.rows, f"{name} breaks nothing"
    rise = loss_after_onset(broken) - loss_after_onset(healthy)
    if fault.produces and name not in HURTS_LITTLE:
        assert rise > 0.012, f"{name} hardly hurts: the loss rises by {rise:.3f}"
    if not fault.produces:
        assert rise < 0.02, f"{name} is said to be harmless, and the loss rises by {rise:.3f}"


@pytest.mark.parametrize("name", [n for n in NAMES if FAULTS.get(n).produces])
def test_no_file_that_a_probe_reads_gives_the_fault_away(name, tmp_path):
    import duckdb

    lab = start(tmp_path / "lab", seed=SEED, rows=3000)
    lab.break_(name, seed=3, strength=0.7)
    text = lab.site_file.read_text(encoding="utf-8")
    con = duckdb.connect()
    for table in ("predictions/*/*.parquet", "reference.parquet"):
        path = str(lab.directory / table)
        columns = con.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        text += " ".join(row[0] for row in columns)
        for column, kind, *_ in columns:
            if kind == "VARCHAR":
                text += " ".join(
                    str(r[0]) for r in con.execute(f"SELECT DISTINCT \"{column}\" FROM '{path}'").fetchall()
                )
    assert name not in text
    assert FAULTS.get(name).produces not in text


def test_every_other_fault_breaks_a_live_system_that_has_tests_of_its_own():
    services = "".join(file.read_text() for file in (Path(__file__).parent.parent / "services").glob("test_*.py"))
    for fault in FAULTS.load().values():
        if fault.system not in WRITTEN:
            assert fault.system in SYSTEMS.load(), f"{fault.name} breaks {fault.system}, which does not exist"
            assert f'live.start("{fault.system}"' in services, f"no test in tests/services starts {fault.system}"


def test_healing_gives_back_the_very_same_files(tmp_path):
    lab = start(tmp_path / "lab", seed=SEED, rows=3000)
    before = {p.relative_to(tmp_path): p.read_bytes() for p in sorted(tmp_path.rglob("*.*")) if p.is_file()}
    lab.break_("change_unit", seed=1)
    assert open_lab(lab.directory).status()["broken"][0]["fault"] == "change_unit"
    open_lab(lab.directory).heal()
    after = {p.relative_to(tmp_path): p.read_bytes() for p in sorted(tmp_path.rglob("*.*")) if p.is_file()}
    assert before == after


ONE_EACH = {
    "data-drift": "attract_harder_customers",
    "feature-pipeline-broken": "drop_values",
    "concept-drift": "teach_new_trick",
    "serving-infrastructure": "time_out",
    "bad-deployment": "release_worse_model",
    "ab-misconfiguration": "break_one_arm",
    "segment-shift": "win_weak_market",
    "label-problem": "flip_labels",
}


@pytest.mark.parametrize(("cause", "fault"), ONE_EACH.items())
def test_the_investigation_puts_the_cause_first(cause, fault, tmp_path):
    lab = start(tmp_path / "lab", seed=77, rows=20_000)
    lab.break_(fault, seed=5, strength=0.85)
    diagnosis = investigate(lab.site_file, "model-degradation")
    assert diagnosis.leader is not None
    assert diagnosis.leader.id == cause, [(c.id, round(c.probability, 2)) for c in diagnosis.causes]


def test_a_healthy_system_accuses_nobody(tmp_path):
    lab = start(tmp_path / "lab", seed=78, rows=20_000)
    diagnosis = investigate(lab.site_file, "model-degradation")
    assert diagnosis.none_of_these > 0.5, [(c.id, round(c.probability, 2)) for c in diagnosis.causes]
