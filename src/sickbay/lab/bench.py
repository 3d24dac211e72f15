"""The benchmark: break systems in every catalogued way, investigate each as a user would, and report what came out.

Seeds below 1000 are for reports, seeds from 1000 on for tuning; a case depends on (seed, index) alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from sickbay.errors import SickbayError, UserError, nearest
from sickbay.lab import live_bench
from sickbay.lab.metrics import Case, summarise
from sickbay.lab.operations import Broken, start
from sickbay.registry import FAULTS, SYSTEMS, Fault

SCHEMA = "sickbay.bench/1"
SHARES = {"single": 0.62, "double": 0.14, "control": 0.24}
GRADUAL = ("data-drift", "concept-drift", "segment-shift")
VOCABULARIES = (
    {"ok": "ok", "error": "error", "timeout": "timeout", "fallback": "fallback"},
    {"ok": "200", "error": "500", "timeout": "504", "fallback": "299"},
    {"ok": "SERVED", "error": "FAILED", "timeout": "DEADLINE_EXCEEDED", "fallback": "DEFAULTED"},
)
NAMES: tuple[dict[str, str], ...] = (
    {},
    {"timestamp": "event_time", "score": "probability", "label": "outcome", "arm": "variant"},
    {"timestamp": "scored_at", "prediction": "decision", "version": "model", "status": "result"},
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one case does, settled before anything is generated."""

    scenario: str
    seed: int
    index: int
    system: str
    faults: tuple[str, ...]
    strengths: tuple[float, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All cases of one benchmark and their figures."""

    scenario: str
    seed: int
    cases: tuple[Case, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the contract ``sickbay.bench/1``; figures are null where there was no case to take them from."""
        return {
            "schema": SCHEMA,
            "scenario": self.scenario,
            "seed": self.seed,
            **summarise(self.cases),
            "cases": [
                {
                    "seed": c.seed,
                    "index": c.index,
                    "truth": list(c.truth),
                    "faults": list(c.faults),
                    "ranked": [[name, round(p, 4)] for name, p in c.ranked],
                    "none_of_these": round(c.none, 4),
                    "probes": c.probes,
                    "seconds": round(c.seconds, 2),
                    "settings": dict(c.settings),
                    "error": c.error or None,
                }
                for c in self.cases
            ],
        }


def bench(
    scenario: str = "model-degradation",
    *,
    cases: int = 200,
    seed: int = 0,
    on_case: Callable[[Case], None] | None = None,
    workers: int | None = None,
    system: str | None = None,
) -> BenchResult:
    """Run ``cases`` cases in several processes and return what came out; ``on_case`` hears of each as it ends.

    Raises UserError for a scenario the lab has no benchmark of.
    """
    live = {found.scenario: found.name for found in SYSTEMS.load().values()}
    known = ("model-degradation", *live)
    if scenario not in known:
        raise UserError(
            f"the lab has no benchmark of {scenario!r}", hint=nearest(scenario, known) or f"known: {', '.join(known)}"
        )
    if cases < 1:
        raise UserError("a benchmark needs at least one case", hint="--cases 200")
    if scenario in live:
        found = live_bench.run(scenario, live[scenario], cases=cases, seed=seed, on_case=on_case)
        return BenchResult(scenario, seed, tuple(found))
    plans = [plan(scenario, seed, index, system) for index in range(cases)]
    done: list[Case] = []
    processes = workers or os.cpu_count() or 1
    if processes == 1 or cases == 1:
        for p in plans:
            done.append(run(p))
            if on_case:
                on_case(done[-1])
    else:
        with get_context("spawn").Pool(min(processes, cases)) as pool:
            for case in pool.imap_unordered(run, plans):
                done.append(case)
                if on_case:
                    on_case(case)
    return BenchResult(scenario, seed, tuple(sorted(done, key=lambda c: c.index)))


def plan(scenario: str, seed: int, index: int, system: str | None = None) -> Plan:
    """Settle a case from (seed, index): kind, faults, strengths, and an installation unlike the last one."""
    rng = np.random.default_rng([seed, index])
    faults = FAULTS.load()
    world = system or "fraud"
    usable = [f for f in faults.values() if f.system in ("scoring", world)]
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    chosen = _choose(rng, usable, kind)
    settings = _settings(rng, [f.name for f in chosen], {f.produces for f in chosen})
    strengths = tuple(round(float(rng.uniform(0.3, 1.0)), 3) for _ in chosen)
    return Plan(scenario, seed, index, world, tuple(f.name for f in chosen), strengths, settings)


def _choose(rng: np.random.Generator, usable: list[Fault], kind: str) -> list[Fault]:
    """Return the faults of a case: causes alike often, then one fault of the cause; a quarter of the controls bare."""
    causes: dict[str, list[Fault]] = {}
    for fault in usable:
        causes.setdefault(fault.produces, []).append(fault)
    harmless = causes.pop("", [])
    if kind == "control":
        return [] if rng.random() < 0.3 else [harmless[int(rng.integers(len(harmless)))]]
    names = [str(name) for name in rng.permutation(sorted(causes))[: 2 if kind == "double" else 1]]
    picked = [causes[name][int(rng.integers(len(causes[name])))] for name in names]
    return sorted(picked, key=lambda f: f.name)


def _settings(rng: np.random.Generator, faults: list[str], causes: set[str]) -> dict[str, Any]:
    arms = "ab-misconfiguration" in causes or rng.random() < 0.6
    gradual = bool(causes & set(GRADUAL)) and rng.random() < 0.5
    return {
        "rows": int(rng.integers(8, 50)) * 1000,
        "days": int(rng.integers(20, 56)),
        "onset": round(float(rng.uniform(0.5, 0.85)), 3),
        "ramp": round(float(rng.uniform(0.3, 0.9)), 2) if gradual else 0.0,
        "base_rate": round(float(rng.uniform(0.08, 0.35)), 3),
        "label_delay_days": round(float(rng.choice([0.0, rng.uniform(0.2, 4.0)])), 2),
        "noise_features": int(rng.integers(0, 9)),
        "challenger_share": round(float(rng.choice([0.1, 0.2, 0.5])), 2) if arms else 0.0,
        "with_status": bool("serving-infrastructure" in causes or rng.random() < 0.7),
        "with_latency": bool(rng.random() < 0.7),
        "with_version": bool("bad-deployment" in causes or rng.random() < 0.8),
        "with_segments": bool("segment-shift" in causes or rng.random() < 0.7),
        "with_reference": bool(rng.random() < 0.8),
        "vocabulary": VOCABULARIES[int(rng.integers(len(VOCABULARIES)))],
        "names": NAMES[int(rng.integers(len(NAMES)))],
    }


def run(p: Plan) -> Case:
    """Generate, break and investigate one case in a directory of its own; an error is part of the result."""
    from sickbay.investigation import investigate

    directory = Path(tempfile.mkdtemp(prefix="sickbay-bench-"))
    truth = tuple(sorted({c for name in p.faults if (c := FAULTS.get(name).produces)}))
    try:
        lab = start(directory, system=p.system, seed=p.seed * 100_003 + p.index, **p.settings)
        lab.broken = [Broken(name, p.index, strength) for name, strength in zip(p.faults, p.strengths, strict=True)]
        if lab.broken:
            lab.refresh()
        diagnosis = investigate(lab.site_file, p.scenario)
    except SickbayError as error:
        return Case(
            p.seed, p.index, truth, p.faults, (), 0.0, 0, 0.0, {}, asdict(p), f"{type(error).__name__}: {error}"
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return Case(
        seed=p.seed,
        index=p.index,
        truth=truth,
        faults=p.faults,
        ranked=tuple((c.id, c.probability) for c in diagnosis.causes),
        none=diagnosis.none_of_these,
        probes=len({f.probe for f in diagnosis.findings}),
        seconds=diagnosis.seconds,
        findings={f.id: f.on for f in diagnosis.findings if f.status == "measured" and abs(f.log_ratio) > 0.7},
        settings={"strengths": list(p.strengths), **p.settings},
    )
