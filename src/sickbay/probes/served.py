"""Probes of the times of served values: how old they were, what time they bore, and from when training's values are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sickbay.errors import SourceError
from sickbay.probes.aligned import Aligned, Floats, aligned
from sickbay.registry import probe
from sickbay.sources.feature_store import FeatureStore
from sickbay.terms.evidence import Evidence
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SURE, CLEAR, LIKELY = 4.2, 3.0, 1.5
SLACK = 60.0
"""Seconds by which times may differ without meaning anything."""
QUARTER = 900.0
ENOUGH, MANY = 0.03, 0.12
ALIKE = 0.6
"""Share of the shifted times that have to be shifted by the same amount."""

OLD = FindingKind("served.old", says="Serving gives values that had been replaced by newer ones.", leak=0.05)
CONSTANT = FindingKind("served.constant_age", says="Everything served is of one constant time before.", leak=0.02)
SINCE = FindingKind("served.frozen_since", says="Nothing written after one time is served.", leak=0.02)
SPREAD = FindingKind(
    "served.spread_age",
    says="Values are served again for a while, then fresh ones: ages spread up to a bound.",
    leak=0.03,
)
AHEAD = FindingKind("served.stamps_ahead", says="Served values bear times that lie after their serving.", leak=0.01)
ODD = FindingKind(
    "served.stamps_off_clock", says="Served values bear times that are off by no whole quarter of an hour.", leak=0.01
)
WHOLE = FindingKind(
    "served.stamps_off_zone", says="Served values bear times that are off by whole quarters of an hour.", leak=0.01
)
FUTURE = FindingKind("served.training_ahead", says="Training has values that came after the row's time.", leak=0.02)
LATE = FindingKind("served.inputs_late", says="The rows that differ are those whose inputs arrived late.", leak=0.02)
TIMES = (OLD, CONSTANT, SINCE, SPREAD, AHEAD, ODD, WHOLE, FUTURE, LATE)


@probe(findings=TIMES, seconds=1.0, load="heavy", deadline=120)
def times(store: FeatureStore) -> Iterable[Finding]:
    """Finds each served value in the history, and measures how old it was and what time it bore."""
    pairs = aligned(store)
    if not len(pairs.history_time):
        yield from (
            unknown(kind, "no data: [source.feature_store] names no history with these columns") for kind in TIMES
        )
        return
    yield from _ages(pairs)
    yield from _stamps(pairs)
    yield _training(pairs)
    yield _late(pairs)


def _ages(pairs: Aligned) -> Iterable[Finding]:
    known = (pairs.version >= 0) & (pairs.truth >= 0)
    if known.sum() < 30:
        why = f"no data: {known.sum()} of {len(known)} served rows stand in the history"
        yield from (unknown(kind, why) for kind in (OLD, CONSTANT, SINCE, SPREAD))
        return
    time = pairs.time[known]
    begun, ended = pairs.history_time[pairs.version[known]], pairs.superseded[pairs.version[known]]
    stale = ended <= time
    share = float(stale.mean())
    yield measured(
        OLD, SURE if share > 2 * ENOUGH else LIKELY if share > ENOUGH else -CLEAR, statistic=share,
        says=f"{share:.1%} of {len(time):,} served rows had been replaced by newer ones.",
    )  # fmt: skip
    if share <= ENOUGH:
        yield from (
            unknown(kind, "not applicable: hardly any served value is old") for kind in (CONSTANT, SINCE, SPREAD)
        )
        return
    lag, lagged = _constant(time, begun, ended)
    at, frozen = _frozen(time, begun, ended)
    plain = 1 - share
    yield _fits(CONSTANT, lagged, plain, frozen, f"A lag of {lag / 3600:.1f} h fits {lagged:.0%} of the rows.")
    when = np.datetime64(int(at), "s")
    yield _fits(SINCE, frozen, plain, lagged, f"A stop at {when}Z fits {frozen:.0%} of the rows.")
    yield _spread(pairs, known, stale, max(lagged, frozen))


def _fits(kind: FindingKind, fit: float, plain: float, other: float, says: str) -> Finding:
    """Return whether a model of the ages holds: it has to explain nearly all rows, and more than its rival does."""
    gain = (fit - plain) / max(1e-9, 1 - plain)
    ratio = SURE if gain > 0.95 and fit > other + 0.01 else LIKELY if gain > 0.85 and fit >= other else -CLEAR
    return measured(kind, ratio, statistic=fit, says=says, evidence=Evidence({"fits": fit, "of_the_old": gain}))


def _constant(time: Floats, begun: Floats, ended: Floats) -> tuple[float, float]:
    """Return the lag, in seconds, under which most served rows are what held that long before, and their share."""
    low, high = np.maximum(time - ended, 0.0), time - begun
    return _most(low, high, smallest=SLACK)


def _frozen(time: Floats, begun: Floats, ended: Floats) -> tuple[float, float]:
    """Return the time after which nothing new was served, such that it fits most rows, and their share.

    A row served before it has to be fresh; one served after it has to be what held then.
    """
    fresh = ended > time
    low = begun
    high = np.where(fresh, np.inf, ended)
    return _most(low, high, smallest=-np.inf)


def _most(low: Floats, high: Floats, *, smallest: float) -> tuple[float, float]:
    """Return the point that lies in most of the intervals [low, high), and the share that it lies in."""
    points = np.unique(np.concatenate((low, high - 1e-3)))
    points = points[np.isfinite(points) & (points > smallest)]
    if not len(points):
        return 0.0, 0.0
    inside = np.searchsorted(np.sort(low), points, "right") - np.searchsorted(np.sort(high), points, "right")
    best = int(np.argmax(inside))
    return float(points[best]), float(inside[best] / len(low))


def _spread(pairs: Aligned, known: np.ndarray, stale: np.ndarray, rival: float) -> Finding:
    """Return whether old values come in runs that end with a fresh one, within a bound: what a cache does.

    A served version that is repeated after it was replaced, and then gives way to the one of that moment (skipping
    those between), is a run; a lag would give way to an older one.
    """
    entity, time, version = pairs.entity[known], pairs.time[known], pairs.version[known]
    order = np.lexsort((time, entity))
    e, v, s = entity[order], version[order], stale[order]
    same = e[1:] == e[:-1]
    ends = same & s[:-1] & (v[1:] != v[:-1])
    to_fresh = float((~s[1:][ends]).mean()) if ends.any() else 0.0
    off = 0.0 if pairs.stamp is None else _off_share(pairs)
    on = ends.sum() >= 15 and to_fresh > 0.75 and rival < 0.97 and off < 0.01
    return measured(
        SPREAD, CLEAR if on else -CLEAR if ends.sum() >= 15 else -0.5, statistic=to_fresh,
        says=f"{ends.sum():,} runs of an old value ended; {to_fresh:.0%} of them with a fresh one.",
    )  # fmt: skip


def _off(pairs: Aligned) -> tuple[Floats, Floats]:
    """Return stamp minus the time of the version served, and the stamps' lead over serving, where known."""
    assert pairs.stamp is not None
    known = (pairs.version >= 0) & np.isfinite(pairs.stamp)
    off = pairs.stamp[known] - pairs.history_time[pairs.version[known]]
    return off, pairs.stamp[np.isfinite(pairs.stamp)] - pairs.time[np.isfinite(pairs.stamp)]


def _off_share(pairs: Aligned) -> float:
    off, _ = _off(pairs)
    return float((np.abs(off) > SLACK).mean()) if len(off) else 0.0


def _stamps(pairs: Aligned) -> Iterable[Finding]:
    if pairs.stamp is None or np.isfinite(pairs.stamp).sum() < 30:
        why = "no data: no usable column of the times that served values bear; set stamp in [source.feature_store]"
        yield from (unknown(kind, why) for kind in (AHEAD, ODD, WHOLE))
        return
    off, lead = _off(pairs)
    ahead = float((lead > SLACK).mean())
    most = f"{ahead:.1%} of the served values bear a time after their serving, at most {lead.max() / 60:.0f} min."
    yield measured(
        AHEAD, SURE if ahead > 0.01 else -CLEAR, statistic=ahead,
        says=most if lead.max() > 30 else "No served value bears a time after its serving.",
    )  # fmt: skip
    if len(off) < 30:
        yield from (unknown(kind, "no data: too few served rows stand in the history") for kind in (ODD, WHOLE))
        return
    shifted = off[np.abs(off) > SLACK]
    share = len(shifted) / len(off)
    beside = np.abs(shifted - np.round(shifted / QUARTER) * QUARTER)
    odd = float((beside > SLACK).mean()) * share if len(shifted) else 0.0
    usual = float(np.median(shifted)) / 60 if len(shifted) else 0.0
    says = f"{share:.1%} of the served values bear another time than they came with, usually {usual:+.0f} min."
    alike = float((np.abs(shifted - np.median(shifted)) < 2 * SLACK).mean()) if len(shifted) else 1.0
    for kind, part in ((ODD, odd), (WHOLE, share - odd)):
        ratio = SURE if part > MANY else LIKELY if part > MANY / 2 else -CLEAR
        if part > 0.01 and (ratio < 0 or alike < ALIKE):
            ratio = -0.7  # a clock is off for every write, by one amount; rows that come again late are few
        yield measured(kind, ratio, statistic=part, says=says, evidence=Evidence({"minutes": usual, "share": part}))


def _training(pairs: Aligned) -> Finding:
    known = (pairs.trained >= 0) & (pairs.truth >= 0)
    if known.sum() < 30:
        return unknown(FUTURE, f"no data: {known.sum()} of {len(known)} training rows stand in the history")
    later = pairs.history_time[pairs.trained[known]] > pairs.time[known] + SLACK
    share = float(later.mean())
    return measured(
        FUTURE, SURE if share > ENOUGH else LIKELY if share > 0.01 else -CLEAR, statistic=share,
        says=f"{share:.1%} of the training rows hold values that came after the row's time.",
    )  # fmt: skip


def _late(pairs: Aligned) -> Finding:
    if pairs.created is None:
        return unknown(LATE, "no data: the history does not say when its rows arrived; set created")
    known = pairs.truth >= 0
    wrong = pairs.any_wrong[known]
    if wrong.sum() < 20 or wrong.mean() < 0.015:
        return unknown(LATE, f"not applicable: only {wrong.sum()} rows differ")
    rows = pairs.truth[known]
    delay = pairs.created[rows] - pairs.history_time[rows]
    if not np.isfinite(delay).any():
        raise SourceError("no data: the arrival times of the history are empty")
    late = delay > max(SLACK, 5 * float(np.median(delay)))
    among, beside = float(late[wrong].mean()), float(late[~wrong].mean()) if (~wrong).any() else 0.0
    reach = among - beside
    likely = reach > 0.35 or (reach > 0.15 and among > 5 * beside)  # what came late is in a window for hours after
    ratio = SURE if reach > 0.6 else LIKELY if likely else -CLEAR if reach < 0.1 else -0.3
    return measured(
        LATE, ratio, statistic=among, says=f"Inputs came late for {among:.0%} of the rows that differ, and for "
        f"{beside:.0%} of the others.", evidence=Evidence({"among_differing": among, "among_equal": beside}),
    )  # fmt: skip
