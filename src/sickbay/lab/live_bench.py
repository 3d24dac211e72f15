"""The benchmark on live systems: one system, broken, investigated and healed again and again.

Cases take the causes in turn, in an order drawn from the seed, with controls in between; a case depends on (seed,
index) alone. The log files are emptied between cases, as if rotated: a case must not read the last one's errors.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sickbay.errors import SickbayError
from sickbay.lab import live
from sickbay.lab.metrics import Case
from sickbay.lab.systems.processes import LabError
from sickbay.registry import FAULTS, Fault

CONTROLS = 0.2
HEALTHY = 0.3
"""Share of the controls in which nothing at all is done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one case does: the fault (None: nothing), how hard, and the seconds until somebody looks."""

    seed: int
    index: int
    fault: Fault | None
    strength: float
    wait: float


def plans(system: str, cases: int, seed: int) -> list[Plan]:
    """Return the cases of a benchmark."""
    causes: dict[str, list[Fault]] = {}
    for known in FAULTS.load().values():
        if known.system == system:
            causes.setdefault(known.produces, []).append(known)
    harmless = causes.pop("", [])
    order = np.random.default_rng([seed, 0]).permutation(sorted(causes)).tolist()
    made, turn = [], 0
    for index in range(cases):
        rng = np.random.default_rng([seed, index, 1])
        fault: Fault | None
        if rng.random() < CONTROLS:
            fault = None if rng.random() < HEALTHY or not harmless else harmless[int(rng.integers(len(harmless)))]
        else:
            kinds = causes[order[turn % len(order)]]
            fault = kinds[int(rng.integers(len(kinds)))]
            turn += 1
        made.append(Plan(seed, index, fault, round(float(rng.uniform(0.3, 1)), 3), round(float(rng.uniform(2, 7)), 1)))
    return made


def run(
    scenario: str, system: str, *, cases: int, seed: int, on_case: Callable[[Case], None] | None = None
) -> list[Case]:
    """Start the system, run the cases on it, stop it; a system that does not recover is started anew."""
    done: list[Case] = []
    with tempfile.TemporaryDirectory(prefix="sickbay-bench-") as folder:
        lab = live.start(system, Path(folder) / "0")
        try:
            for plan in plans(system, cases, seed):
                case, well = _case(scenario, lab, plan)
                done.append(case)
                if on_case:
                    on_case(case)
                if not well:
                    lab.close()
                    lab = live.start(system, Path(folder) / str(len(done)))
        finally:
            lab.close()
    return done


def _case(scenario: str, lab: live.Live, plan: Plan) -> tuple[Case, bool]:
    from sickbay.investigation import investigate

    truth = (plan.fault.produces,) if plan.fault and plan.fault.produces else ()
    names = (plan.fault.name,) if plan.fault else ()
    settings: dict[str, Any] = {"strengths": [plan.strength], "wait": plan.wait}
    error, diagnosis, well = "", None, True
    for log in lab.system.directory.glob("*.log"):
        log.write_bytes(b"")
    try:
        if plan.fault:
            lab.break_(plan.fault.name, seed=plan.seed * 1_009 + plan.index, strength=plan.strength)
        time.sleep(plan.wait)
        diagnosis = investigate(lab.site_file, scenario)
    except SickbayError as failed:
        error = f"{type(failed).__name__}: {failed}"
    try:
        lab.heal()
    except (LabError, OSError) as failed:
        error, well = error or f"not healed: {failed}", False
    if diagnosis is None:
        return Case(plan.seed, plan.index, truth, names, (), 0.0, 0, 0.0, {}, settings, error), well
    return Case(
        seed=plan.seed, index=plan.index, truth=truth, faults=names,
        ranked=tuple((c.id, c.probability) for c in diagnosis.causes), none=diagnosis.none_of_these,
        probes=len({f.probe for f in diagnosis.findings}), seconds=diagnosis.seconds,
        findings={f.id: f.on for f in diagnosis.findings if f.status == "measured" and abs(f.log_ratio) > 0.7},
        settings=settings, error=error,
    ), well  # fmt: skip
