"""A scoring system in parts: world → feature pipeline → router → model server → label feed → prediction log.

Every part can be hooked by a fault from an instant on, so that what follows is what really follows: a broken feature
goes through the trained model, a fallback answer lands in the log with its status. The finished log is never edited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import numpy as np

from sickbay.lab.systems.batch import Array, Batch, Floats, stream
from sickbay.lab.systems.models import Model, train

Stage = Literal["traffic", "inputs", "truth", "features", "routing", "model", "answer", "labels"]
Hook = Callable[[Batch, "ScoringSystem"], None]
CANDIDATES = 5
"""Rows drawn for each row of traffic when a fault chooses among them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What varies between two installations of the same system; times are UTC without zone."""

    rows: int = 24_000
    days: int = 30
    start: datetime = datetime(2026, 1, 5)
    onset: float = 0.75
    """Where in the log a fault sets in, as a share of its span."""
    ramp: float = 0.0
    """How long a change takes to come in full, as a share of the span after the onset; 0 is at once."""
    base_rate: float = 0.2
    label_delay_days: float = 2.0
    noise_features: int = 3
    challenger_share: float = 0.3
    """Share of the traffic in the second arm; 0 is no experiment."""
    with_status: bool = True
    with_latency: bool = True
    with_version: bool = True
    with_segments: bool = True
    with_reference: bool = True
    vocabulary: Mapping[str, str] = field(
        default_factory=lambda: {"ok": "ok", "error": "error", "timeout": "timeout", "fallback": "fallback"}
    )
    names: Mapping[str, str] = field(default_factory=dict)
    """Role → column name where it differs from the usual one."""


class World(Protocol):
    """Where the rows come from: raw inputs over time, and what is true of them."""

    name: str
    segments: tuple[str, ...]
    defaults: Mapping[str, Any]
    """Settings that this world starts with where they differ from the usual ones."""

    def rows(self, settings: Settings, seed: int, count: int, *, history: bool) -> tuple[Array, dict[str, Array]]:
        """Return times and raw columns: of the log's span, or (history) of the time before it, for training."""
        ...

    def logit(self, columns: Mapping[str, Array], settings: Settings, seed: int) -> Floats | None:
        """Return the log odds of a positive label, or None where the labels are recorded in the column ``__truth``."""
        ...


class ScoringSystem:
    """One installation. ``hooks`` hold what faults have hung in; ``run`` produces the log as it would have been."""

    def __init__(self, world: World, settings: Settings, seed: int) -> None:
        self.world = world
        self.settings = settings
        self.seed = seed
        self.hooks: dict[Stage, list[Hook]] = {
            stage: [] for stage in ("traffic", "inputs", "truth", "features", "routing", "model", "answer", "labels")
        }
        self.preferences: list[Callable[[Batch], Floats]] = []
        """Weights of candidates after the onset, from faults that change who comes, not what is true of them."""
        self.history = self._history()
        train_part, self.reference = _split(self.history)
        self.models: dict[str, Model] = {"2025.11": train(train_part, seed=seed)}
        # the challenger saw fewer rows: about as good, as a candidate that passed a gate is
        challenger = _take(train_part, stream(seed, "challenger").random(train_part.rows) < 0.7)
        self.models["2025.12-rc"] = train(challenger, seed=seed + 1)
        self.champion, self.challenger = "2025.11", "2025.12-rc"
        _score(self.reference, self.models[self.champion])

    def hook(self, stage: Stage, function: Hook) -> Callable[[], None]:
        """Hang a function in; the returned function takes it out again."""
        self.hooks[stage].append(function)
        return lambda: self.hooks[stage].remove(function)

    def prefer(self, weight: Callable[[Batch], Floats]) -> Callable[[], None]:
        """Let a fault choose among candidates; several choose together. The returned function takes it out again."""
        self.preferences.append(weight)
        return lambda: self.preferences.remove(weight)

    @property
    def onset(self) -> datetime:
        """When a fault sets in."""
        return self.settings.start + timedelta(days=self.settings.days * self.settings.onset)

    @property
    def end(self) -> datetime:
        """End of the log."""
        return self.settings.start + timedelta(days=self.settings.days)

    def random(self, part: str) -> np.random.Generator:
        """Return the random stream of a part of this installation."""
        return stream(self.seed, part)

    def run(self) -> Batch:
        """Produce the prediction log."""
        batch = self._traffic()
        self._apply("inputs", batch)
        self._truth(batch)
        self._apply("truth", batch)
        self._draw_labels(batch)
        self._apply("features", batch)
        self._route(batch)
        self._apply("routing", batch)
        self._answer(batch)
        self._labels(batch)
        return batch

    def _history(self) -> Batch:
        """Return labelled rows from before the log: what the model was trained and accepted on."""
        count = 12_000
        times, columns = self.world.rows(self.settings, self.seed, count, history=True)
        batch = Batch(times, columns, np.zeros(len(times), dtype=bool), np.zeros(len(times)))
        self._truth(batch)
        self._draw_labels(batch, "history")
        return batch

    def _traffic(self) -> Batch:
        s = self.settings
        candidates = s.rows * (CANDIDATES if self.preferences else 1)
        times, columns = self.world.rows(s, self.seed, candidates, history=False)
        onset = np.datetime64(self.onset, "us")
        after = times >= onset
        length = max(s.ramp, 1e-9) * (np.datetime64(self.end, "us") - onset).astype(float)
        ramp = np.clip((times - onset).astype(float) / length, 0.0, 1.0) * after
        batch = Batch(times, columns, after, ramp)
        self._apply("traffic", batch)
        if self.preferences:
            weight = np.prod([prefer(batch) for prefer in self.preferences], axis=0)
            batch.keep(self._choose(batch, weight))
        return batch

    def _choose(self, batch: Batch, weight: Floats) -> Array:
        """Return which candidates become traffic: after the onset by weight, before it at random, at the usual rate."""
        rng = self.random("choose")
        weight = np.where(batch.after, weight, 1.0)
        kept = np.zeros(batch.rows, dtype=bool)
        for side in (batch.after, ~batch.after):
            rows = np.flatnonzero(side)
            # a row's chance follows its weight (Efraimidis and Spirakis 2006: weighted sampling without replacement)
            keys = rng.exponential(size=len(rows)) / np.maximum(weight[rows], 1e-12)
            kept[rows[np.argsort(keys)[: len(rows) // CANDIDATES]]] = True
        return kept

    def _truth(self, batch: Batch) -> None:
        logit = self.world.logit(batch.columns, self.settings, self.seed)
        if logit is None:
            batch.label = np.asarray(batch.columns.pop("__truth"), dtype=np.float64)
            batch.logit = np.where(batch.label > 0.5, 6.0, -6.0)
        else:
            batch.logit = logit

    def _draw_labels(self, batch: Batch, part: str = "truth") -> None:
        if not len(batch.label):
            chance = 1 / (1 + np.exp(-batch.logit))
            batch.label = (self.random(f"{part} draw").random(batch.rows) < chance).astype(np.float64)

    def _route(self, batch: Batch) -> None:
        challenger = self.random("router").random(batch.rows) < self.settings.challenger_share
        batch.arm = np.where(challenger, "challenger", "control").astype(object)
        batch.version = np.where(challenger, self.challenger, self.champion).astype(object)
        batch.threshold = np.full(batch.rows, 0.5)

    def _answer(self, batch: Batch) -> None:
        rng = self.random("server")
        self._apply("model", batch)
        batch.score = np.full(batch.rows, np.nan)
        for version in sorted(set(batch.version.tolist())):
            rows = batch.version == version
            batch.score[rows] = self.models[version].score({n: v[rows] for n, v in batch.columns.items()})
        words = self.settings.vocabulary
        failed = rng.random(batch.rows) < 0.002
        batch.status = np.where(failed, words["error"], words["ok"]).astype(object)
        batch.latency = 18 + rng.gamma(2.0, 6.0, batch.rows) + 120 * (rng.random(batch.rows) < 0.01)
        batch.prediction = (batch.score >= batch.threshold).astype(np.float64)
        batch.score[failed] = 0.0
        batch.prediction[failed] = 0.0
        self._apply("answer", batch)
        batch.score = np.round(batch.score, 6)

    def _labels(self, batch: Batch) -> None:
        delay = self.random("delay").exponential(max(self.settings.label_delay_days, 1e-6), batch.rows)
        arrived = batch.time + (delay * 86400e6).astype("timedelta64[us]") <= np.datetime64(self.end, "us")
        batch.seen_label = np.where(arrived, batch.label, np.nan)
        self._apply("labels", batch)

    def _apply(self, stage: Stage, batch: Batch) -> None:
        for function in self.hooks[stage]:
            function(batch, self)


def _split(history: Batch) -> tuple[Batch, Batch]:
    cut = np.arange(history.rows) % 3 != 0
    return _take(history, cut), _take(history, ~cut)


def _take(batch: Batch, mask: Array) -> Batch:
    part = replace(batch)
    part.keep(mask)
    return part


def _score(batch: Batch, model: Model) -> None:
    batch.score = np.round(model.score(batch.columns), 6)
    batch.prediction = (batch.score >= 0.5).astype(np.float64)
    batch.seen_label = batch.label
