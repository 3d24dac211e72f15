"""Faults of what comes in: the world's inputs move, the traffic mix moves, or the pipeline delivers wrong values."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sickbay.lab.faults.choosing import affected, difficulty, leaned_on, ranked_columns
from sickbay.lab.systems.batch import Batch, stream
from sickbay.lab.systems.scoring import ScoringSystem, Stage
from sickbay.registry import fault


def hung(system: ScoringSystem, stage: Stage, change: Callable[[Batch, ScoringSystem], None]) -> Iterator[None]:
    """Hook a change in, yield, take it out: the whole life of most faults."""
    take_out = system.hook(stage, change)
    yield
    take_out()


@fault(produces="data-drift", system="scoring")
def attract_harder_customers(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Lets customers come whose payments are harder to judge, by several inputs at once; what is true of each stays."""

    def weight(batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        lean = difficulty(system, batch)
        return np.exp((0.8 + 2.2 * strength) * batch.ramp * np.clip(lean, -3, 3))

    take_out = system.prefer(weight)
    yield
    take_out()


@fault(produces="data-drift", system="fraud")
def inflate_amounts(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Raises prices and attracts newer customers: amounts, balances, account ages and baskets move together."""

    def move(batch: Batch, _: ScoringSystem) -> None:
        c, r = batch.columns, batch.ramp
        c["amount"] = np.round(c["amount"] * np.exp(r * (0.35 + 0.75 * strength)), 2)
        c["balance"] = np.round(c["balance"] * np.exp(r * 0.4 * strength), 2)
        c["account_days"] = np.round(c["account_days"] * np.exp(-r * (0.4 + 1.0 * strength)), 0)
        c["customer_age"] = np.clip(np.round(c["customer_age"] - r * 6 * strength), 18, 92)
        c["distance_km"] = np.round(c["distance_km"] * np.exp(r * 0.5 * strength), 1)

    yield from hung(system, "inputs", move)


@fault(produces="segment-shift", system="scoring")
def win_weak_market(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Brings more traffic from the segments where the model was always weak; inside each segment nothing changes."""
    segments = system.world.segments
    reference = system.reference
    loss = np.abs(reference.prediction - reference.label)
    cells = [_cell(reference, segments, i) for i in range(reference.rows)]
    rows: dict[tuple[str, ...], list[float]] = {}
    for cell, value in zip(cells, loss, strict=True):
        rows.setdefault(cell, []).append(float(value))
    overall = float(loss.mean())
    excess = {cell: (sum(v) + 20 * overall) / (len(v) + 20) - overall for cell, v in rows.items()}
    top = max(excess.values()) or 1.0

    def weight(batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        lean = np.array([excess.get(_cell(batch, segments, i), 0.0) for i in range(batch.rows)]) / top
        return np.exp((1.2 + 3.2 * strength) * batch.ramp * np.clip(lean, 0, 1))

    take_out = system.prefer(weight)
    yield
    take_out()


def _cell(batch: Batch, segments: tuple[str, ...], row: int) -> tuple[str, ...]:
    return tuple(str(batch.columns[name][row]) for name in segments)


@fault(produces="feature-pipeline-broken", system="scoring")
def drop_values(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers nulls in columns the model leans on, for a share of the rows."""
    rng = stream(seed, "drop")
    names = list(rng.permutation(ranked_columns(system)[:4])[: 1 + int(strength > 0.6)])

    def lose(batch: Batch, _: ScoringSystem) -> None:
        gone = affected(batch, 0.25 + 0.75 * strength, stream(seed, "drop rows"))
        for name in names:
            values = batch.columns[name].copy()
            values[gone] = None if values.dtype == object else np.nan
            batch.columns[name] = values

    yield from hung(system, "features", lose)


@fault(produces="feature-pipeline-broken", system="scoring")
def fill_with_default(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers a default value in place of the real one, for a share of the rows."""
    name = leaned_on(system, stream(seed, "default"))

    def fill(batch: Batch, _: ScoringSystem) -> None:
        hit = affected(batch, 0.3 + 0.7 * strength, stream(seed, "default rows"))
        values = batch.columns[name].copy()
        values[hit] = values[~batch.after][0] if values.dtype == object else 0.0
        batch.columns[name] = values

    yield from hung(system, "features", fill)


@fault(produces="feature-pipeline-broken", system="scoring")
def change_unit(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers a number in another unit: a hundred, a thousand, or a sixtieth of what it was."""
    rng = stream(seed, "unit")
    name = leaned_on(system, rng, kind="number")
    factor = float(rng.choice([100.0, 1000.0, 1 / 60, 0.01]))

    def scale(batch: Batch, _: ScoringSystem) -> None:
        values = batch.columns[name].astype(np.float64).copy()
        hit = affected(batch, 0.4 + 0.6 * strength, stream(seed, "unit rows"))
        values[hit] *= factor
        batch.columns[name] = values

    yield from hung(system, "features", scale)


@fault(produces="feature-pipeline-broken", system="scoring")
def swap_columns(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers two numbers under each other's name."""
    rng = stream(seed, "swap")
    a, b = (str(name) for name in rng.permutation(ranked_columns(system, kind="number")[:4])[:2])

    def swap(batch: Batch, _: ScoringSystem) -> None:
        x, y = batch.columns[a].copy(), batch.columns[b].copy()
        x[batch.after], y[batch.after] = batch.columns[b][batch.after], batch.columns[a][batch.after]
        batch.columns[a], batch.columns[b] = x, y

    yield from hung(system, "features", swap)


@fault(produces="feature-pipeline-broken", system="scoring")
def rename_levels(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers categories in another spelling, which the model has never seen. It hurts accuracy little and hides."""
    name = leaned_on(system, stream(seed, "rename"), kind="category")

    def rename(batch: Batch, _: ScoringSystem) -> None:
        values = batch.columns[name].copy()
        hit = np.flatnonzero(affected(batch, 0.5 + 0.5 * strength, stream(seed, "rename rows")))
        values[hit] = [f"{v}".upper() + "_X" for v in values[hit]]
        batch.columns[name] = values

    yield from hung(system, "features", rename)


@fault(produces="feature-pipeline-broken", system="scoring")
def join_wrong_rows(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers each row the values of another row, in the columns of one source: distributions stay, ties break."""
    rng = stream(seed, "join")
    names = list(rng.permutation(ranked_columns(system, kind="number")[:5])[:3])

    def mix(batch: Batch, _: ScoringSystem) -> None:
        rows = np.flatnonzero(affected(batch, 0.6 + 0.4 * strength, stream(seed, "join rows")))
        order = stream(seed, "join order").permutation(rows)
        for name in names:
            values = batch.columns[name].copy()
            values[rows] = batch.columns[name][order]
            batch.columns[name] = values

    yield from hung(system, "features", mix)
