"""Faults of what answers: the service fails, a release is worse, an experiment is set up wrongly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sickbay.lab.faults.choosing import affected, ranked_columns
from sickbay.lab.faults.inputs import hung
from sickbay.lab.systems.batch import Batch, stream
from sickbay.lab.systems.models import Model, train
from sickbay.lab.systems.scoring import ScoringSystem
from sickbay.registry import fault


@fault(produces="serving-infrastructure", system="scoring")
def time_out(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Lets a share of the requests run into the time limit; a default answer is logged for them."""

    def slow(batch: Batch, s: ScoringSystem) -> None:
        rng = stream(seed, "time out")
        batch.latency[batch.after] *= 1.5 + 3 * strength * rng.random(int(batch.after.sum()))
        hit = affected(batch, 0.15 + 0.5 * strength, rng)
        batch.latency[hit] = 1000 + rng.normal(0, 3, int(hit.sum()))
        batch.status[hit] = s.settings.vocabulary["timeout"]
        batch.score[hit] = 0.5
        batch.prediction[hit] = 0.0

    yield from hung(system, "answer", slow)


@fault(produces="serving-infrastructure", system="scoring")
def fail_under_load(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Lets requests fail in the busy hours: an error status, no score, and a cautious decision in its place."""

    def fail(batch: Batch, s: ScoringSystem) -> None:
        rng = stream(seed, "fail")
        hour = batch.time.astype("datetime64[h]").astype(int) % 24
        busy = (hour >= 8) & (hour < 20)
        hit = affected(batch, 0.1 + 0.35 * strength, rng) & busy
        batch.latency[batch.after & busy] *= 2 + 2 * strength
        batch.status[hit] = s.settings.vocabulary["error"]
        batch.score[hit] = np.nan
        batch.prediction[hit] = 1.0

    yield from hung(system, "answer", fail)


@fault(produces="serving-infrastructure", system="scoring")
def fall_back_silently(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Answers a share of the requests with a constant from the cache and logs them as served."""

    def answer(batch: Batch, s: ScoringSystem) -> None:
        hit = affected(batch, 0.25 + 0.6 * strength, stream(seed, "fall back"))
        batch.score[hit] = round(s.settings.base_rate, 2)
        batch.prediction[hit] = 0.0
        batch.latency[hit] = 3.0

    yield from hung(system, "answer", answer)


def _worse_model(system: ScoringSystem, rng: np.random.Generator, seed: int, strength: float) -> Model:
    """Return a really trained model that is really worse: damaged labels, a lost column, or a lopsided sample."""
    history = system.history
    kind = rng.choice(["labels", "column", "sample"])
    if kind == "labels":
        labels = history.label.copy()
        hit = rng.random(len(labels)) < 0.25 + 0.22 * strength
        labels[hit] = rng.permutation(labels[hit])
        wrong = rng.random(len(labels)) < 0.08 + 0.27 * strength
        labels[wrong] = 1 - labels[wrong]
        return train(history, seed=seed, labels=labels)
    if kind == "column":
        lost = ranked_columns(system)[: 1 + round(2 * strength)]
        columns = {n: rng.permutation(v) if n in lost else v for n, v in history.columns.items()}
        return train(Batch(history.time, columns, history.after, history.ramp, label=history.label), seed=seed)
    name = ranked_columns(system, kind="number")[0]
    values = history.columns[name].astype(np.float64)
    keep = values <= np.quantile(values, 0.55 - 0.4 * strength)
    columns = {n: v[keep] for n, v in history.columns.items()}
    part = Batch(history.time[keep], columns, history.after[keep], history.ramp[keep], label=history.label[keep])
    return train(part, seed=seed, small=True)


@fault(produces="bad-deployment", system="scoring")
def release_worse_model(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a version that was trained on damaged data, to all traffic or step by step."""
    rng = stream(seed, "release")
    version = str(rng.choice(["2026.02", "v7", "20260131-1"]))
    gradual = bool(rng.random() < 0.3)
    system.models[version] = _worse_model(system, rng, seed, strength)

    def release(batch: Batch, s: ScoringSystem) -> None:
        share = np.clip(0.2 + 2.5 * _progress(batch, s), 0, 1) if gradual else np.ones(batch.rows)
        share = np.where(batch.after, share, 0.0)
        batch.version[stream(seed, "release rows").random(batch.rows) < share] = version

    yield from hung(system, "model", release)
    del system.models[version]


def _progress(batch: Batch, s: ScoringSystem) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return how much of the time from onset to end has passed (0…1)."""
    onset, end = np.datetime64(s.onset, "us"), np.datetime64(s.end, "us")
    passed = (batch.time - onset).astype(np.float64) / max(float((end - onset).astype(np.float64)), 1.0)
    return np.asarray(np.clip(passed, 0, 1), dtype=np.float64)


def _turned(system: ScoringSystem, seed: int, strength: float) -> dict[str, str]:
    """Return column → the column read in its place: neighbours in what the model leans on, heavier ones when strong."""
    names = ranked_columns(system, kind="number")
    first = int(stream(seed, "turn").integers(0, 2)) + round(3 * (1 - strength))
    part = names[first : first + 2 + round(2 * strength)]
    return dict(zip(part, [*part[1:], part[0]], strict=True))


@fault(produces="bad-deployment", system="scoring")
def release_wrong_threshold(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a configuration with another decision threshold; the model and its scores stay."""
    low = bool(stream(seed, "threshold").random() < 0.5)
    limit = 0.5 - 0.46 * (0.5 + 0.5 * strength) if low else 0.5 + 0.46 * (0.5 + 0.5 * strength)

    def configure(batch: Batch, _: ScoringSystem) -> None:
        batch.threshold[batch.after] = limit

    yield from hung(system, "model", configure)


@fault(produces="bad-deployment", system="scoring")
def release_mixed_up_inputs(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Releases a version that reads some columns in another order than it was trained on; the log is right."""
    turned = _turned(system, seed, strength)
    good = system.models[system.champion]
    system.models["2026.03"] = Model(tuple(turned.get(n, n) for n in good.columns), good.levels, good.fitted)

    def release(batch: Batch, _: ScoringSystem) -> None:
        batch.version[batch.after] = "2026.03"

    yield from hung(system, "model", release)
    del system.models["2026.03"]


@fault(produces="ab-misconfiguration", system="scoring")
def break_one_arm(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Feeds one arm's model with columns in the wrong order; the other arm is served as before."""
    arm = str(stream(seed, "arm").choice(["challenger", "control"], p=[0.7, 0.3]))
    turned = _turned(system, seed, strength)

    def misfeed(batch: Batch, s: ScoringSystem) -> None:
        hit = batch.after & (batch.arm == arm)
        for version in sorted(set(batch.version[hit].tolist())):
            good = s.models[version]
            rows = hit & (batch.version == version)
            wrong = Model(tuple(turned.get(n, n) for n in good.columns), good.levels, good.fitted)
            batch.score[rows] = wrong.score({n: v[rows] for n, v in batch.columns.items()})
            batch.prediction[rows] = (batch.score[rows] >= batch.threshold[rows]).astype(np.float64)

    yield from hung(system, "answer", misfeed)


@fault(produces="ab-misconfiguration", system="scoring")
def route_to_weak_arm(system: ScoringSystem, *, seed: int, strength: float) -> Iterator[None]:
    """Sends nearly all traffic to the weak challenger, whatever split is configured."""
    history = system.history
    few = np.arange(history.rows) < 260 + 500 * (1 - strength)
    part = Batch(
        history.time[few], {n: v[few] for n, v in history.columns.items()}, history.after[few], history.ramp[few],
        label=history.label[few],
    )  # fmt: skip
    before = system.models[system.challenger]
    # the weak arm is weak from the start: what changes at the onset is only who is sent there
    system.models[system.challenger] = train(part, seed=seed, small=True)

    def route(batch: Batch, s: ScoringSystem) -> None:
        hit = batch.after & (stream(seed, "route").random(batch.rows) < 0.6 + 0.4 * strength)
        batch.arm[hit] = "challenger"
        batch.version[hit] = s.challenger

    yield from hung(system, "routing", route)
    system.models[system.challenger] = before
