"""What several faults need: which column a model leans on, and what "hard to judge" looks like."""

from __future__ import annotations

import numpy as np

from sickbay.errors import UserError
from sickbay.lab.systems.batch import Array, Batch, Floats
from sickbay.lab.systems.models import importance
from sickbay.lab.systems.scoring import ScoringSystem


def leaned_on(system: ScoringSystem, rng: np.random.Generator, *, kind: str = "", among: int = 3) -> str:
    """Return one of the columns the champion leans on most; ``kind`` narrows to ``number`` or ``category``."""
    ranked = ranked_columns(system, kind=kind)
    if not ranked:
        raise UserError(f"this system has no column of kind {kind}")
    return str(rng.choice(ranked[:among]))


def ranked_columns(system: ScoringSystem, *, kind: str = "") -> list[str]:
    """Return columns by how much the champion leans on them, most first."""
    model = system.models[system.champion]
    order = list(importance(model, system.reference))
    return [name for name in order if not kind or (name in model.levels) == (kind == "category")]


def difficulty(system: ScoringSystem, batch: Batch, columns: int = 4) -> Floats:
    """Return a smooth direction of the inputs (about standard normal) along which the champion errs more.

    A sum of ranks of the numeric columns that go with the champion's uncertainty on the reference.
    """
    reference = system.reference
    doubt = np.minimum(reference.score, 1 - reference.score)
    ties = {}
    for name in ranked_columns(system, kind="number"):
        ties[name] = float(np.corrcoef(ranks(reference.columns[name]), ranks(doubt))[0, 1])
    used = sorted(ties, key=lambda name: -abs(ties[name]))[:columns]
    total = np.zeros(batch.rows)
    for name in used:
        known = np.sort(reference.columns[name].astype(np.float64))
        place = np.searchsorted(known, batch.columns[name].astype(np.float64)) / len(known) - 0.5
        total += np.sign(ties[name]) * place * np.sqrt(12)
    return np.asarray(total / max(1.0, np.sqrt(len(used))), dtype=np.float64)


def ranks(values: Array) -> Floats:
    """Return ranks of numbers, ties by position."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)


def affected(batch: Batch, share: float, rng: np.random.Generator) -> Array:
    """Return a random share of the rows after the onset, following the ramp."""
    return np.asarray(
        batch.after & (rng.random(batch.rows) < share * np.where(batch.ramp > 0, batch.ramp, batch.after))
    )
