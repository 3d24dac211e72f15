"""Faults of what is true, and of what is known of it: the concept moves, or the labels are damaged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.lab.faults.choosing import affected, ranked_columns, ranks
from sickbay.lab.faults.inputs import hung
from sickbay.lab.systems.batch import Batch, stream
from sickbay.lab.systems.scoring import ScoringSystem
from sickbay.registry import fault


@fault(produces="concept-drift", system="scoring")
def teach_new_trick(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Turns what is true in one region of the inputs: positives appear where they were rare, and the reverse."""
    rng = stream(seed, "trick")
    names = list(rng.permutation(ranked_columns(system, kind="number")[:5])[:2])
    sides = rng.random(2) < 0.5
    cuts = [float(np.median(system.reference.columns[name])) for name in names]

    def turn(batch: Batch, s: ScoringSystem) -> None:
        inside = np.ones(batch.rows, dtype=bool)
        for name, up, cut in zip(names, sides, cuts, strict=True):
            values = batch.columns[name]
            inside &= (values >= cut) if up else (values <= cut)
        hit = inside & (stream(seed, "trick rows").random(batch.rows) < (0.25 + 0.6 * strength) * batch.ramp)
        if len(batch.label):
            batch.label = np.where(hit, 1 - batch.label, batch.label)
        batch.logit = np.where(hit, -batch.logit, batch.logit)

    yield from hung(system, "truth", turn)


@fault(produces="concept-drift", system="scoring")
def turn_relation(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Lets one input the model leans on mean the opposite of what it meant."""
    rng = stream(seed, "relation")
    name = str(rng.choice(ranked_columns(system, kind="number")[:3]))

    def turn(batch: Batch, s: ScoringSystem) -> None:
        place = ranks(batch.columns[name]) / max(1, batch.rows - 1) - 0.5
        tie = np.sign(np.corrcoef(place, batch.logit)[0, 1]) or 1.0
        usual = float(np.mean(np.abs(batch.logit)))
        pull = -tie * place * usual * (1.5 + 4 * strength) * batch.ramp
        if len(batch.label):  # recorded truth: rows whose sign turns get the other label
            batch.label = np.where(np.sign(batch.logit + pull) != np.sign(batch.logit), 1 - batch.label, batch.label)
        batch.logit = batch.logit + pull

    yield from hung(system, "truth", turn)


@fault(produces="label-problem", system="scoring")
def flip_labels(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Books a share of the labels as their opposite, at random."""

    def flip(batch: Batch, _: ScoringSystem) -> None:
        hit = affected(batch, 0.06 + 0.2 * strength, stream(seed, "flip"))
        batch.seen_label = np.where(hit, 1 - batch.seen_label, batch.seen_label)

    yield from hung(system, "labels", flip)


@fault(produces="label-problem", system="scoring")
def book_positives_late(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Books rows as negative until the positive is confirmed, which takes days: the youngest rows lack positives."""

    def book(batch: Batch, s: ScoringSystem) -> None:
        rng = stream(seed, "late")
        span = (np.datetime64(s.end, "us") - np.datetime64(s.onset, "us")).astype(float)
        wait = rng.exponential((0.5 + 1.5 * strength) * span, batch.rows)
        age = (np.datetime64(s.end, "us") - batch.time).astype(float)
        pending = batch.after & (batch.label > 0.5) & (wait > age)
        batch.seen_label = np.where(batch.after, batch.label, batch.seen_label)
        batch.seen_label = np.where(pending, 0.0, batch.seen_label)

    yield from hung(system, "labels", book)


@fault(produces="label-problem", system="scoring")
def label_only_complaints(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Loses the labels of most rows and keeps those somebody complained about: mostly the wrong decisions."""

    def lose(batch: Batch, _: ScoringSystem) -> None:
        rng = stream(seed, "complaints")
        wrong = batch.prediction != batch.label
        kept = rng.random(batch.rows) < np.where(wrong, 1.0, 0.65 - 0.5 * strength)
        batch.seen_label = np.where(batch.after & ~kept, np.nan, batch.seen_label)

    yield from hung(system, "labels", lose)
