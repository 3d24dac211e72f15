"""Served rows beside the rows of training and beside the history: which value was served, and how old it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sickbay.errors import SourceError
from sickbay.sources.feature_store import FeatureStore

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
DIGITS = 6
"""Significant digits that values are told apart by: float noise is no difference."""
FEWEST = 30


@dataclass(frozen=True, slots=True)
class Aligned:
    """Served rows that met a row of training, in no order. Indices point into the history; −1 where there is none.

    ``truth``: the row that held at the time of serving; ``version``: the row that was served, by its values, the
    nearest one at or before; ``trained``: the row that training has; ``wrong``: whether the two sides differ.
    """

    entity: Indices
    time: Floats
    stamp: Floats | None
    wrong: Mapping[str, NDArray[np.bool_]]
    truth: Indices
    version: Indices
    trained: Indices
    offline: Mapping[str, Any]
    online: Mapping[str, Any]
    codes: Mapping[Any, int]
    history_time: Floats
    superseded: Floats
    created: Floats | None

    @property
    def any_wrong(self) -> NDArray[np.bool_]:
        """Whether any feature differs."""
        return np.asarray(np.any(list(self.wrong.values()), axis=0))


def names(store: FeatureStore) -> list[str]:
    """Return the features that both sides have: those of the site, else all common columns without a role."""
    given = store.given
    both = [n for n in store.tables.types["offline"] if n in store.tables.types["online"]]
    aside = {*given.keys, *given.entity, given.time, given.online_time, given.stamp}
    wanted = given.features if given.features is not None else [n for n in both if n not in aside]
    return [n for n in wanted if n in both]


def onsets(store: FeatureStore, features: Sequence[str]) -> dict[str, float]:
    """Return how far into the time looked at the differences of features begin; empty without a time or history."""
    try:
        pairs = aligned(store)
    except SourceError:
        return {}
    low, high = float(pairs.time.min()), float(pairs.time.max())
    found = {}
    for name in features:
        wrong = pairs.wrong.get(name)
        if wrong is not None and wrong.sum() >= 10 and high > low:
            found[name] = float((np.quantile(pairs.time[wrong], 0.05) - low) / (high - low))
    return found


def aligned(store: FeatureStore) -> Aligned:
    """Return the rows aligned; done once an investigation. SourceError when time or history is not named."""
    return store.once("aligned", lambda: _aligned(store))


def _aligned(store: FeatureStore) -> Aligned:
    given = store.given
    if given.time is None or store.online_time is None:
        raise SourceError("no data: [source.feature_store] names no time")
    features = names(store)
    at, moment = store.online_time, given.time
    keys = list(dict.fromkeys([*given.keys, *store.entity]))
    stamp = [given.stamp] if given.stamp else []
    served = store.fetch("online", [*keys, at, *features, *stamp])
    trained = store.fetch("offline", [*given.keys, moment, *features])
    left, right = _met(served, trained, given.keys, at, moment)
    if len(left) < FEWEST:
        raise SourceError(f"no data: {len(left)} rows of the two sides meet, {FEWEST} are needed")
    entity, codes = _codes([served[name][left] for name in store.entity], {})
    time = np.asarray(served[at][left], dtype=np.float64)
    first, second = (_texts(side, rows, features) for side, rows in ((served, left), (trained, right)))
    wrong = {name: first[:, i] != second[:, i] for i, name in enumerate(features)}
    past = _history(store, features, codes)
    made = [_versions(past, entity, time, _joined(rows)) for rows in (first, second)]
    return Aligned(
        entity, time, np.asarray(served[given.stamp][left], dtype=np.float64) if given.stamp else None, wrong,
        _as_of(past, entity, time), made[0], made[1], {n: np.asarray(trained[n])[right] for n in features},
        {n: np.asarray(served[n])[left] for n in features}, codes, past.time, past.superseded, past.created,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _History:
    """Rows sorted by entity and time."""

    entity: Indices
    time: Floats
    created: Floats | None
    superseded: Floats
    values: NDArray[np.object_]


def _history(store: FeatureStore, features: Sequence[str], codes: dict[Any, int]) -> _History:
    given, types = store.given, store.tables.types.get("history")
    moment = given.history_time or given.time or ""
    if types is None or moment not in types or any(n not in types for n in (*features, *store.entity)):
        empty = np.zeros(0)
        return _History(empty.astype(np.int64), empty, None, empty, np.zeros(0, dtype=object))
    more = [given.created] if given.created else []
    raw = store.fetch("history", [*store.entity, moment, *features, *more])
    entity = coded([raw[name] for name in store.entity], codes)
    kept = np.flatnonzero(entity >= 0)
    time = np.asarray(raw[moment], dtype=np.float64)
    order = kept[np.lexsort((time[kept], entity[kept]))]
    entity, time = entity[order], time[order]
    following = np.append(time[1:], np.inf) if len(time) else time
    last = np.append(entity[1:] != entity[:-1], True) if len(entity) else np.zeros(0, dtype=bool)
    superseded = np.where(last, np.inf, following)
    created = np.asarray(raw[given.created], dtype=np.float64)[order] if given.created else None
    return _History(entity, time, created, superseded, _joined(_texts(raw, order, features)))


def _met(
    served: Mapping[str, Any], trained: Mapping[str, Any], keys: Sequence[str], online_time: str, time: str
) -> tuple[Indices, Indices]:
    """Return positions of served rows and of the training rows of the same keys and time."""
    listed = [_keyed(side, keys, moment) for side, moment in ((trained, time), (served, online_time))]
    place: dict[Any, int] = {key: i for i, key in enumerate(listed[0])}
    pairs = [(i, place[key]) for i, key in enumerate(listed[1]) if key in place]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _keyed(side: Mapping[str, Any], keys: Sequence[str], moment: str) -> list[Any]:
    times = np.round(np.asarray(side[moment], dtype=np.float64), 3).tolist()
    return list(zip(*(np.asarray(side[name]).tolist() for name in keys), times, strict=True))


def _codes(columns: Sequence[Any], codes: dict[Any, int]) -> tuple[Indices, dict[Any, int]]:
    """Return entities as numbers, new ones added to the numbers by entity."""
    rows = list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))
    return np.array([codes.setdefault(row, len(codes)) for row in rows], dtype=np.int64), codes


def coded(columns: Sequence[Any], codes: Mapping[Any, int]) -> Indices:
    """Return entities as the numbers that they have; −1 for those that have none."""
    rows = list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))
    return np.array([codes.get(row, -1) for row in rows], dtype=np.int64)


def _texts(side: Mapping[str, Any], rows: Indices, features: Sequence[str]) -> NDArray[np.object_]:
    """Return values as texts of ``DIGITS`` digits, rows × features; so that they can be told apart and looked up."""
    made = np.empty((len(rows), len(features)), dtype=object)
    for i, name in enumerate(features):
        values = np.asarray(side[name])[rows]
        if values.dtype.kind in "fiub":
            made[:, i] = [f"{v + 0.0:.{DIGITS}g}" for v in values.astype(np.float64).tolist()]
        else:
            made[:, i] = ["nan" if v is None or v != v else _text(v) for v in values.tolist()]
    return made


def _text(value: Any) -> str:
    return f"{float(value):.{DIGITS}g}" if isinstance(value, int | float) else str(value)


def _joined(texts: NDArray[np.object_]) -> NDArray[np.object_]:
    made = np.empty(len(texts), dtype=object)
    made[:] = ["\x1f".join(row) for row in texts.tolist()]
    return made


def _as_of(past: _History, entity: Indices, time: Floats) -> Indices:
    """Return the history's row that held for each entity at each time, −1 where there was none."""
    found = np.full(len(entity), -1, dtype=np.int64)
    starts, ends = np.searchsorted(past.entity, entity, "left"), np.searchsorted(past.entity, entity, "right")
    for k, (low, high) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        place = int(np.searchsorted(past.time[low:high], time[k], "right")) - 1
        if place >= 0:
            found[k] = low + place
    return found


def _versions(past: _History, entity: Indices, time: Floats, values: NDArray[np.object_]) -> Indices:
    """Return the history's row with the same values: the last at or before the time, else the first after; or −1."""
    rows: dict[tuple[int, Any], list[int]] = {}
    for i, (who, what) in enumerate(zip(past.entity.tolist(), past.values.tolist(), strict=True)):
        rows.setdefault((who, what), []).append(i)
    found = np.full(len(entity), -1, dtype=np.int64)
    for k, key in enumerate(zip(entity.tolist(), values.tolist(), strict=True)):
        places = rows.get(key)
        if places:
            before = [i for i in places if past.time[i] <= time[k]]
            found[k] = before[-1] if before else places[0]
    return found
