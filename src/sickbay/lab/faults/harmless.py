"""Changes that hurt nobody: controls, on which nothing may be accused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np

from sickbay.lab.faults.choosing import affected, ranked_columns
from sickbay.lab.faults.inputs import hung
from sickbay.lab.systems.batch import Batch, stream
from sickbay.lab.systems.models import train
from sickbay.lab.systems.scoring import ScoringSystem
from sickbay.registry import fault


@fault(produces="", system="scoring")
def thin_traffic(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Lets fewer requests come after the onset; nothing else changes."""

    def thin(batch: Batch, _: ScoringSystem) -> None:
        batch.keep(~batch.after | (stream(seed, "thin").random(batch.rows) < 1 - 0.6 * strength))

    yield from hung(system, "traffic", thin)


@fault(produces="", system="scoring")
def double_traffic(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Lets up to three times the requests come after the onset, alike in kind."""

    def thin(batch: Batch, _: ScoringSystem) -> None:
        batch.keep(batch.after | (stream(seed, "double").random(batch.rows) < 1 / (1 + 2 * strength)))

    yield from hung(system, "traffic", thin)


@fault(produces="", system="scoring")
def add_level(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Adds a category that was not there before, for few rows, and means nothing."""
    name = ranked_columns(system, kind="category")[-1]

    def add(batch: Batch, _: ScoringSystem) -> None:
        values = batch.columns[name].copy()
        values[affected(batch, 0.005 + 0.02 * strength, stream(seed, "level"))] = "other"
        batch.columns[name] = values

    yield from hung(system, "inputs", add)


@fault(produces="", system="fraud")
def drift_unused_input(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Moves an input that means nothing and that the model hardly uses."""

    def move(batch: Batch, _: ScoringSystem) -> None:
        unused = [name for name in batch.columns if name.startswith("signal_")] or ["basket_items"]
        values = batch.columns[unused[-1]].astype(np.float64)
        shift = batch.ramp * (0.3 + 0.9 * strength) * values.std()
        if np.all(values == np.round(values)):  # a count stays a count, or it would be broken, not drifted
            shift = stream(seed, "unused").poisson(shift).astype(np.float64)
        batch.columns[unused[-1]] = values + shift

    yield from hung(system, "inputs", move)


@fault(produces="", system="scoring")
def release_equal_model(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a version trained on the same rows with another random order: as good as the old one."""
    half = stream(seed, "equal").random(system.history.rows) < 0.9
    h = system.history
    part = Batch(
        h.time[half], {n: v[half] for n, v in h.columns.items()}, h.after[half], h.ramp[half], label=h.label[half]
    )
    system.models["2026.01"] = train(part, seed=seed)

    def release(batch: Batch, s: ScoringSystem) -> None:
        batch.version[batch.after & (batch.version == s.champion)] = "2026.01"

    yield from hung(system, "model", release)
    del system.models["2026.01"]


@fault(produces="", system="scoring")
def lose_few_values(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Delivers nulls in half a percent of the rows of one column."""
    name = ranked_columns(system, kind="number")[-1]

    def lose(batch: Batch, _: ScoringSystem) -> None:
        values = batch.columns[name].astype(np.float64).copy()
        values[affected(batch, 0.005, stream(seed, "few"))] = np.nan
        batch.columns[name] = values

    yield from hung(system, "features", lose)


@fault(produces="", system="scoring")
def long_weekend(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Ends the log on quiet days: only a quarter of the traffic comes in the last three days, less of it by day."""

    def rest(batch: Batch, s: ScoringSystem) -> None:
        late = batch.time >= np.datetime64(s.end - timedelta(days=3), "us")
        hour = batch.time.astype("datetime64[h]").astype(int) % 24
        chance = np.where((hour >= 9) & (hour < 17), 0.15, 0.4)
        batch.keep(~late | (stream(seed, "weekend").random(batch.rows) < chance))

    yield from hung(system, "traffic", rest)
