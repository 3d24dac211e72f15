"""Explanations that need the inputs, sought at the time that a served value bears and not at that of its serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sickbay.errors import SickbayError
from sickbay.probes.aligned import aligned, coded
from sickbay.sources.feature_store import FeatureStore
from sickbay.stats.skew import EXACT, Explanation, History, Pairs, Tolerance, explain
from sickbay.stats.skew.report import FeatureSkew
from sickbay.stats.table import Array, Floats

COMPUTED = frozenset({"timezone", "window-length"})
"""Hypotheses that recompute a feature from its inputs."""
ENOUGH = 0.8
"""Share of the differences from which on what the report has said already is left at that."""
VAGUE = frozenset({"other-source", "affine", "unit-scale", "clip", "late-events", "truncation"})


def recomputed(store: FeatureStore, skewed: Sequence[FeatureSkew]) -> list[FeatureSkew]:
    """Return the features with the better of two explanations: the report's, or one from inputs at the value's time."""
    if store.given.stamp is None or not store.has("events"):
        return list(skewed)
    numbers = [f for f in skewed if f.counts.kind == "number" and _open(f)]
    if not numbers:
        return list(skewed)
    try:
        found = _explained(store, [f.name for f in numbers])
    except SickbayError:  # what the inputs lack, the probe of the inputs says
        return list(skewed)
    return [
        replace(f, explained=replace(f.explained, explanations=found[f.name])) if f.name in found else f for f in skewed
    ]


def _open(feature: FeatureSkew) -> bool:
    leader = feature.explained.leader
    return leader is None or leader.coverage < ENOUGH or leader.hypothesis in VAGUE


def _explained(store: FeatureStore, names: Sequence[str]) -> Mapping[str, tuple[Explanation, ...]]:
    pairs = aligned(store)
    events = _events(store, pairs.codes)
    made: dict[str, tuple[Explanation, ...]] = {}
    if pairs.stamp is None or not events:
        return made
    for name in names:
        offline, online = (_numbers(side[name]) for side in (pairs.offline, pairs.online))
        width = store.given.tolerance.get(name)
        given = Pairs(name, "number", offline, online, pairs.entity.astype(object), pairs.stamp)
        told = explain(given, events=events, tolerance=EXACT if width is None else Tolerance(EXACT.absolute, width))
        best = [e for e in told.explanations if e.hypothesis in COMPUTED and e.coverage >= 0.3]
        if best:
            made[name] = told.explanations
    return made


def _events(store: FeatureStore, codes: Mapping[object, int]) -> dict[str, History]:
    """Return the number columns of the inputs by entity and time."""
    types = store.tables.types["events"]
    times = [n for n, t in types.items() if "timestamp" in t.lower() or t.lower() == "datetime"]
    if not times or any(name not in types for name in store.entity):
        return {}
    moment = store.given.time if store.given.time in times else times[0]
    assert moment is not None
    words = ("double", "float", "int", "decimal", "real", "numeric")
    numbers = [n for n, t in types.items() if n not in store.entity and any(word in t.lower() for word in words)][:8]
    raw = store.fetch("events", [*store.entity, moment, *numbers])
    entity = coded([raw[n] for n in store.entity], codes)
    kept = entity >= 0
    time: Floats = np.asarray(raw[moment], dtype=np.float64)[kept]
    who: Array = entity[kept].astype(object)
    return {n: History(who, time, _numbers(raw[n])[kept]) for n in numbers} or {
        "events": History(who, time, np.ones(len(time)))
    }


def _numbers(values: Array) -> Floats:
    if values.dtype.kind == "O":
        return np.array([np.nan if v is None else float(v) for v in values.tolist()], dtype=np.float64)
    return np.asarray(values, dtype=np.float64)
