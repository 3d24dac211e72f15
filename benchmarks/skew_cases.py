"""Generated features whose two sides differ for a known reason: cause × rows concerned × noise × one or two causes.

``make(seed, causes)`` gives pairs with their history and events. Seeds of 1000 to 4999 are for tuning, others for
reports. Values are money, counts, ratios, heavy tails, readings, labels, times; updates are regular or not.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sickbay.stats.skew import History, Pairs

START = 1_767_225_600.0  # 2026-01-01
DAY, HOUR = 86400.0, 3600.0
PAIRS, ENTITIES = 10_000, 400
WORDS = [
    "DE", "FR", "GB", "Müller", "café", "São Paulo", "grocery", "Fuel Station", "online", "Hotel & Bar", "cash-out",
    "zürich",    "Travel", "Pharmacy", "electronics", "book store", "İstanbul", "naïve", "Øresund", "Games",
]  # fmt: skip


@dataclass
class World:
    """One feature of one system: entities with a history, pairs at random times, and the truth of both sides."""

    rng: np.random.Generator
    kind: str
    flavour: str
    entity: np.ndarray
    time: np.ndarray
    truth: np.ndarray
    history: History
    events: dict[str, History] = field(default_factory=dict)
    others: dict[str, np.ndarray] = field(default_factory=dict)
    latest: np.ndarray | None = None

    def at(self, time: np.ndarray, entity: np.ndarray | None = None) -> np.ndarray:
        return lookup(self.history, self.entity if entity is None else entity, time)


@dataclass
class Generated:
    truth: tuple[str, ...]
    flavour: str
    pairs: Pairs
    history: History | None
    events: dict[str, History]


def lookup(history: History, entity: np.ndarray, time: np.ndarray, back: int = 0) -> np.ndarray:
    """Return by a plain loop over entities what held at a time, ``back`` rows earlier."""
    floats = history.value.dtype.kind == "f"
    out = np.full(len(entity), np.nan) if floats else np.full(len(entity), None, dtype=object)
    for one in np.unique(entity):
        rows = np.flatnonzero(history.entity == one)
        rows = rows[np.argsort(history.time[rows], kind="stable")]
        mine = np.flatnonzero(entity == one)
        place = np.searchsorted(history.time[rows], time[mine], side="right") - 1 - back
        good = (place >= 0) & (place < len(rows))
        out[mine[good]] = history.value[rows[place[good]]]
    return out


def walk(rng: np.random.Generator, flavour: str, count: int) -> np.ndarray:
    """Return the values of one entity over time."""
    if flavour == "money":
        return np.round(np.exp(rng.normal(3.5, 1) + np.cumsum(rng.normal(0, 0.25, count))), 2)
    if flavour == "count":
        return np.maximum(0, rng.poisson(rng.gamma(2, 6)) + np.cumsum(rng.integers(-2, 3, count))).astype(float)
    if flavour == "ratio":
        return 1 / (1 + np.exp(-(rng.normal(0, 1) + np.cumsum(rng.normal(0, 0.4, count)))))
    if flavour == "heavy":
        return rng.pareto(1.3, count) * 50 + rng.normal(0, 1, count)
    if flavour == "reading":
        return rng.normal(20, 15) + np.cumsum(rng.normal(0, 2, count))
    if flavour == "signed":
        return np.round(rng.normal(0, 300, count), 2)
    if flavour == "label":
        return np.array(WORDS, dtype=object)[rng.integers(0, len(WORDS), count)]
    if flavour == "code":
        return np.array([f"{rng.choice(list('ABCD'))}-{k:04d}" for k in rng.integers(0, 3000, count)], dtype=object)
    if flavour == "time":
        return START + np.floor(np.cumsum(rng.exponential(HOUR * 6, count)))
    if flavour == "flag":
        return (rng.random(count) < 0.3).astype(float)
    raise ValueError(flavour)


FLAVOURS = ("money", "count", "ratio", "heavy", "reading", "signed")


def world(rng: np.random.Generator, flavour: str, pairs: int = PAIRS) -> World:
    kind = {"label": "text", "code": "text", "time": "time", "flag": "boolean"}.get(flavour, "number")
    regular = rng.random() < 0.4
    gap = float(rng.choice([HOUR, 3 * HOUR, 6 * HOUR, DAY]))
    days = 30 if gap < DAY else 90
    entities, times, values = [], [], []
    for one in range(ENTITIES if gap > HOUR else ENTITIES // 2):
        count = int(days * DAY / gap)
        when = START + (np.arange(count) * gap if regular else np.sort(rng.uniform(0, days * DAY, count)))
        entities.append(np.full(count, one))
        times.append(np.floor(when))
        values.append(walk(rng, flavour, count))
    history = History(np.concatenate(entities).astype(np.int64), np.concatenate(times), np.concatenate(values))
    entity = rng.integers(0, len(entities), pairs)
    time = START + np.floor(rng.uniform(0.3 * days * DAY, 0.9 * days * DAY, pairs))
    return World(rng, kind, flavour, entity, time, lookup(history, entity, time), history)


def concerned(w: World, share: float) -> np.ndarray:
    """Return which pairs a cause concerns: a share of the rows or of the entities."""
    if w.rng.random() < 0.3:
        chosen = w.rng.random(int(w.entity.max()) + 1) < share
        return chosen[w.entity]
    return w.rng.random(len(w.entity)) < share


def rounding(w: World) -> np.ndarray:
    options = {
        "money": [1, 0, -1],
        "ratio": [2, 3, 4],
        "heavy": [0, 1, 2],
        "reading": [0, 1, 2],
        "signed": [1, 0],
        "count": [-1],
    }
    digits = int(w.rng.choice(options[w.flavour]))
    return np.round(w.truth, digits)


def precision(w: World) -> np.ndarray:
    narrow = str(w.rng.choice(["float32", "float16"])) if np.nanmax(np.abs(w.truth)) < 60_000 else "float32"
    return w.truth.astype(narrow).astype(float)


def truncation(w: World) -> np.ndarray:
    digits = int(w.rng.choice({"ratio": [1, 2, 3]}.get(w.flavour, [0, 0, 1])))
    cut = [np.trunc, np.floor][int(w.rng.integers(2))]
    return cut(w.truth * 10**digits) / 10**digits


def unit_scale(w: World) -> np.ndarray:
    return w.truth * float(w.rng.choice([100, 0.01, 1000, 0.001, 60, 1 / 60, 3600, 1.609344, 1 / 2.54, 1024, 1.17]))


def affine(w: World) -> np.ndarray:
    scale = float(np.nanstd(w.truth)) or 1.0
    options = [
        lambda x: 1.8 * x + 32, lambda x: (x - np.nanmean(x)) / scale, lambda x: x + 0.37 * scale, lambda x: 1 - x,
        lambda x: 0.85 * x + 0.1 * scale,
    ]  # fmt: skip
    return options[int(w.rng.integers(len(options)))](w.truth)


def clip(w: World) -> np.ndarray:
    high = float(np.nanquantile(w.truth, w.rng.uniform(0.6, 0.93)))
    low = float(np.nanquantile(w.truth, w.rng.uniform(0.07, 0.3)))
    return [lambda: np.minimum(w.truth, high), lambda: np.maximum(w.truth, low), lambda: np.clip(w.truth, low, high)][
        int(w.rng.integers(3))
    ]()


def sign(w: World) -> np.ndarray:
    return np.abs(w.truth) if w.flavour == "signed" and w.rng.random() < 0.5 else -w.truth


def default_for_null(w: World) -> np.ndarray:
    default = "unknown" if w.kind == "text" else float(w.rng.choice([0.0, -1.0, -999.0, 50.0]))
    out = w.truth.copy()
    gone = np.array([v is None or v != v for v in out.tolist()])
    if gone.mean() < 0.02 or w.rng.random() < 0.3:
        out[:] = default
    else:
        out[gone] = default
    return out


def text(way: Callable[[str], str]) -> Callable[[World], np.ndarray]:
    return lambda w: np.array([None if v is None else way(v) for v in w.truth.tolist()], dtype=object)


def text_normalisation(w: World) -> np.ndarray:
    ways = [
        str.lower,
        str.upper,
        str.title,
        lambda s: f" {s} ",
        lambda s: s.replace(" ", "  ") + " ",
        lambda s: s.lower().strip(),
    ]
    return text(ways[int(w.rng.integers(len(ways)))])(w)


def encoding(w: World) -> np.ndarray:
    ways = [
        lambda s: s.encode().decode("latin-1"), lambda s: s.encode("ascii", "replace").decode(),
        lambda s: repr(s.encode()),
        lambda s: '"' + s + '"', lambda s: s.encode("ascii", "ignore").decode(), lambda s: s.encode().hex(),
    ]  # fmt: skip
    if w.flavour == "label" and w.rng.random() < 0.3:
        return text(lambda s: str(sorted(set(WORDS)).index(s) if s in WORDS else 99))(w)
    return text(ways[int(w.rng.integers(len(ways)))])(w)


def renamed_category(w: World) -> np.ndarray:
    moved = w.rng.choice(WORDS, int(w.rng.integers(1, 6)), replace=False)
    names = {word: "".join(w.rng.choice(list(string.ascii_uppercase), 4)) for word in moved.tolist()}
    return text(lambda s: names.get(s, s))(w)


def swapped_column(w: World) -> np.ndarray:
    other = world(w.rng, w.flavour, len(w.truth)).truth
    w.others["other"] = other
    w.others["third"] = world(w.rng, w.flavour, len(w.truth)).truth
    return other


def constant_lag(w: World) -> np.ndarray:
    gap = np.median(np.diff(np.sort(w.history.time[w.history.entity == 0])))
    return w.at(w.time - float(np.round(gap * w.rng.uniform(0.4, 6) / 60) * 60))


def cache(w: World) -> np.ndarray:
    gap = np.median(np.diff(np.sort(w.history.time[w.history.entity == 0])))
    return w.at(w.time - w.rng.uniform(0, gap * w.rng.uniform(2, 10), len(w.time)))


def stopped_updating(w: World) -> np.ndarray:
    since = float(np.quantile(w.time, w.rng.uniform(0.3, 0.8)))
    return w.at(np.minimum(w.time, since))


def late_events(w: World) -> np.ndarray:
    return lookup(w.history, w.entity, w.time, 1)


def future_value(w: World) -> np.ndarray:
    gap = np.median(np.diff(np.sort(w.history.time[w.history.entity == 0])))
    way = int(w.rng.integers(3))
    if way == 0:
        return w.at(np.full(len(w.time), w.history.time.max() + 1))
    if way == 1:
        return w.at(np.ceil((w.time + 1) / DAY) * DAY - 1)
    return w.at(w.time + gap * w.rng.uniform(1, 5))


def other_source(w: World) -> np.ndarray:
    if w.kind == "text":
        return np.array(WORDS, dtype=object)[w.rng.integers(0, len(WORDS), len(w.truth))]
    way = int(w.rng.integers(3))
    if way == 0:
        return w.truth * np.exp(w.rng.normal(0, 0.2, len(w.truth))) + w.rng.normal(0, 0.01, len(w.truth))
    if way == 1:
        return w.rng.gamma(2, 40, len(w.truth))
    return w.rng.normal(np.nanmean(w.truth), np.nanstd(w.truth) + 1, len(w.truth))


def event_world(rng: np.random.Generator, pairs: int = PAIRS) -> World:
    """Return a world whose feature is an aggregate over a window of events."""
    entities, times = [], []
    for one in range(ENTITIES):
        count = int(rng.poisson(rng.gamma(3, 20)))
        entities.append(np.full(count, one))
        times.append(START + np.sort(rng.uniform(0, 60 * DAY, count)))
    entity, time = np.concatenate(entities).astype(np.int64), np.floor(np.concatenate(times))
    events = History(entity, time, np.round(rng.lognormal(3, 1, len(time)), 2))
    who = rng.integers(0, ENTITIES, pairs)
    when = START + np.floor(rng.uniform(35 * DAY, 59 * DAY, pairs))
    return World(rng, "number", "events", who, when, np.zeros(pairs), events, {"amount": events})


def aggregate(w: World, start: np.ndarray, end: np.ndarray, how: str, *, left: bool = False) -> np.ndarray:
    """Return sum, count or mean of the events in (start, end], or [start, end), by a plain loop."""
    out = np.zeros(len(w.entity))
    side = "left" if left else "right"
    for one in range(ENTITIES):
        rows = w.history.entity == one
        time, value = w.history.time[rows], w.history.value[rows]
        mine = np.flatnonzero(w.entity == one)
        a, b = np.searchsorted(time, start[mine], side=side), np.searchsorted(time, end[mine], side=side)
        sums = np.concatenate(([0.0], np.cumsum(value)))
        count = (b - a).astype(float)
        with np.errstate(all="ignore"):
            out[mine] = {"sum": sums[b] - sums[a], "count": count, "mean": (sums[b] - sums[a]) / count}[how]
    return out


def window_length(w: World) -> np.ndarray:
    how = str(w.rng.choice(["sum", "count", "mean"]))
    first, second = w.rng.choice([1, 3, 7, 14, 28, 30], 2, replace=False)
    w.truth = aggregate(w, w.time - first * DAY, w.time, how)
    return aggregate(w, w.time - second * DAY, w.time, how)


def timezone(w: World) -> np.ndarray:
    if w.kind == "time":
        return w.truth + float(w.rng.choice([9, -5, 1, 5.5, -8])) * HOUR
    how, offset = str(w.rng.choice(["sum", "count"])), float(w.rng.choice([9, -5, 2, 5.5, -8])) * HOUR
    day = np.floor(w.time / DAY) * DAY
    moved = np.floor((w.time + offset) / DAY) * DAY - offset
    if w.rng.random() < 0.5:
        w.truth = aggregate(w, day, day + DAY, how, left=True)
        return aggregate(w, moved, moved + DAY, how, left=True)
    w.truth = aggregate(w, day - 0.001, w.time, how)
    return aggregate(w, moved - 0.001, w.time, how)


TIMING = ("constant-lag", "cache", "stopped-updating", "late-events", "future-value")
CAUSES: dict[str, tuple[Callable[[World], np.ndarray], tuple[str, ...]]] = {
    "rounding": (rounding, FLAVOURS),
    "precision": (precision, ("money", "ratio", "heavy", "reading", "signed")),
    "truncation": (truncation, ("money", "ratio", "heavy", "reading", "signed")),
    "unit-scale": (unit_scale, FLAVOURS),
    "affine": (affine, ("money", "ratio", "heavy", "reading", "signed")),
    "clip": (clip, FLAVOURS),
    "sign": (sign, ("money", "heavy", "reading", "signed")),
    "default-for-null": (default_for_null, (*FLAVOURS, "label")),
    "text-normalisation": (text_normalisation, ("label",)),
    "encoding": (encoding, ("label",)),
    "renamed-category": (renamed_category, ("label",)),
    "swapped-column": (swapped_column, (*FLAVOURS, "code")),
    "window-length": (window_length, ("events",)),
    "timezone": (timezone, ("events", "time")),
    "constant-lag": (constant_lag, (*FLAVOURS, "label", "flag")),
    "cache": (cache, (*FLAVOURS, "label")),
    "stopped-updating": (stopped_updating, (*FLAVOURS, "label")),
    "late-events": (late_events, (*FLAVOURS, "label")),
    "future-value": (future_value, (*FLAVOURS, "label")),
    "other-source": (other_source, ("money", "ratio", "heavy", "reading", "label")),
}
MIXED = tuple(c for c in CAUSES if c not in ("window-length", "timezone", "other-source"))
CONTROLS = ("equal", "float noise", "late rows", "noise and late rows", "nulls on both sides")


def make(seed: int | list[int], causes: tuple[str, ...], pairs: int = PAIRS) -> Generated:
    """Return a feature with these causes (none: a healthy control), the same for the same seed."""
    rng = np.random.default_rng(seed)
    flavours = [
        f for f in (*FLAVOURS, "label", "code", "time", "flag", "events") if all(f in CAUSES[c][1] for c in causes)
    ]
    if not causes:
        flavours = [*FLAVOURS, "label", "flag", "time"]
    flavour = str(rng.choice(flavours))
    w = event_world(rng, pairs) if flavour == "events" else world(rng, flavour, pairs)
    if "default-for-null" in causes or rng.random() < 0.2:
        gone = rng.random(pairs) < rng.uniform(0.05, 0.3)
        if flavour not in ("events",):
            w.truth[gone] = None if w.kind == "text" else np.nan
    online = None
    shares = [float(rng.uniform(0.05, 0.40)) for _ in causes]
    for cause, share in zip(causes, shares, strict=True):
        altered = CAUSES[cause][0](w)
        if online is None:
            online = w.truth.copy()
        mask = concerned(w, share)
        online[mask] = altered[mask]
    online = _noise(w, w.truth.copy() if online is None else online, healthy=not causes)
    known = flavour != "events" and (bool(set(causes) & {*TIMING, "other-source"}) or rng.random() < 0.5)
    offline = w.truth
    if causes == ("future-value",) and rng.random() < 0.7:
        offline, online = online, offline  # the training side saw the future
    fixed = Pairs(
        "feature", w.kind, offline, online, w.entity, w.time,  # type: ignore[arg-type]
        dict(w.others), dict(w.others),
    )  # fmt: skip
    return Generated(causes, flavour, fixed, w.history if known else None, w.events)


def _noise(w: World, online: np.ndarray, *, healthy: bool) -> np.ndarray:
    rng, n = w.rng, len(online)
    way = int(rng.integers(4))
    if healthy:
        if way in (0, 1) and w.kind == "number":
            online = online * (1 + rng.normal(0, 10.0 ** rng.uniform(-15, -7), n))
        if way in (1, 2) and w.flavour != "events":
            late = rng.random(n) < rng.uniform(0.001, 0.01)
            online[late] = lookup(w.history, w.entity, w.time, 1)[late]
        return online
    if way == 0 and w.kind == "number":
        online = online * (1 + rng.normal(0, 10.0 ** rng.uniform(-15, -11), n))
    if way == 1:
        odd = rng.random(n) < 0.005
        online[odd] = rng.permutation(online)[odd]
    return online
