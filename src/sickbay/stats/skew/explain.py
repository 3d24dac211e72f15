"""Why two sides of a feature differ: hypotheses compared by description length, the parameters of each paid for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew.case import Case, decimals_of
from sickbay.stats.skew.choosing import PRACTICAL_TIMING, choose, scored_fits
from sickbay.stats.skew.explanation import Explained, Explanation
from sickbay.stats.skew.interval import wilson
from sickbay.stats.skew.pairs import History, Pairs, Tolerance, differ, missing
from sickbay.stats.skew.registered import hypotheses
from sickbay.stats.skew.scoring import Scored
from sickbay.stats.skew.timeline import Timeline, timeline
from sickbay.stats.table import Array

LOOKED_AT = {"number": 4_000, "boolean": 4_000, "time": 4_000, "text": 1_500}
"""Mismatching pairs, and as many equal ones, that hypotheses are held against: evenly spaced in the rows given."""
PRACTICAL = 0.002
"""Share of all pairs below which a difference is named but not explained."""
FEWEST = 5
NOISE, NOISE_OF_SPREAD = 1e-5, 1e-7
"""Differences below this share of the value, or of the column's spread, are noise unless a rule makes them exactly."""
HISTORY, EVENTS = "the feature's history by entity and time", "raw events by entity and time"


def explain(
    pairs: Pairs,
    *,
    history: History | None = None,
    events: Mapping[str, History] | None = None,
    tolerance: Tolerance | None = None,
) -> Explained:
    """Return which hypotheses turn one side into the other, best first; none where nothing can be claimed.

    ``history``: the feature's earlier and later values by entity and time, as the truth had them; without it, the
    offline side's own rows serve when there are several times per entity. ``events``: name → what the feature is
    computed from. ``tolerance``: instead of the pairs' own.
    """
    tolerance = tolerance or pairs.tolerance
    wrong = differ(pairs.offline, pairs.online, tolerance)
    total = len(wrong) if pairs.matched is None else pairs.matched
    mismatched = int(wrong.sum()) if pairs.mismatched is None else pairs.mismatched
    if not total:
        return Explained(
            pairs.name, pairs.kind, 0, 0, math.nan, (0.0, 1.0), unknown="no pair of this feature was matched"
        )
    share = mismatched / total
    plain = Explained(pairs.name, pairs.kind, total, mismatched, share, wilson(mismatched, total))
    if not wrong.any():
        beyond = "the differing whole numbers are beyond 2⁵³, where no rule is looked for" if mismatched else ""
        return replace(plain, notes=(beyond,)) if beyond else plain
    rows = np.flatnonzero(wrong)
    plain = replace(plain, examples=_examples(pairs, rows))
    rows, noise = _without_noise(pairs, rows, tolerance)
    noise_share = share * noise / int(wrong.sum())
    plain = replace(plain, noise_share=noise_share, notes=_notes(pairs, rows, noise_share))
    real = share - noise_share
    if len(rows) < FEWEST or real < PRACTICAL:
        return _few(plain, real)
    case = _case(pairs, rows, np.flatnonzero(~wrong), real, tolerance, history, events or {})
    chosen, rivals = choose(case)
    if not chosen and case.kind == "text":
        numbers = _as_numbers(case)
        if numbers is not None:
            case = numbers
            chosen, rivals = choose(case)
    return _told(plain, case, chosen, rivals, real, has_events=bool(events))


def _told(
    plain: Explained,
    case: Case,
    chosen: list[Scored],
    rivals: dict[str, tuple[str, ...]],
    real: float,
    *,
    has_events: bool,
) -> Explained:
    """Return the answer: what is claimed, what is too rare to be, and what would tell more."""
    known = hypotheses()
    explanations, notes, asks = [], list(plain.notes), []
    left = np.ones(len(case.rows), dtype=bool)
    for one in sorted(chosen, key=lambda s: (known[s.hypothesis].last, not s.underneath, -s.saved)):
        covered = float(one.hit.mean())
        left &= ~one.hit
        if known[one.hypothesis].timing and covered * real < PRACTICAL_TIMING:
            notes.append(f"{covered * real:.2%} of the pairs: {one.fit.says}; so few late rows are no fault")
            continue
        alike = rivals.get(one.hypothesis, ())
        explanations.append(
            Explanation(
                one.hypothesis, one.fit.parameters, round(covered, 4), one.fit.side, round(one.saved, 1), one.fit.says,
                known[one.hypothesis].fix, alike,
            )
        )  # fmt: skip
        for other in alike:
            asks += [text for text in (known[one.hypothesis].told_by, known[other].told_by) if text]
    if left.mean() > 0.2 or any(e.hypothesis == "other-source" for e in explanations):
        asks += [HISTORY] if case.timeline is None else []
        asks += [EVENTS] if case.numeric and not has_events else []
    return replace(
        plain, explanations=tuple(explanations), would_separate=tuple(dict.fromkeys(asks)), notes=tuple(notes)
    )


def _few(plain: Explained, real: float) -> Explained:
    if real <= 0:
        return plain
    said = f"{real:.3%} of the pairs differ: too few to name a cause (from {PRACTICAL:.1%} and {FEWEST} pairs on)"
    return replace(plain, notes=(*plain.notes, said))


def _without_noise(pairs: Pairs, rows: NDArray[np.int64], tolerance: Tolerance) -> tuple[NDArray[np.int64], int]:
    """Return the mismatches without float noise, and how many were noise; exact rules are no noise."""
    if pairs.kind != "number":
        return rows, 0
    a, b = pairs.offline[rows], pairs.online[rows]
    sound = pairs.offline[np.isfinite(pairs.offline)]
    spread = float(np.quantile(sound, 0.9) - np.quantile(sound, 0.1)) if len(sound) else 0.0
    with np.errstate(invalid="ignore"):
        size = np.abs(a - b)
        tiny = size <= np.maximum(NOISE * np.maximum(np.abs(a), np.abs(b)), NOISE_OF_SPREAD * spread)
        tiny &= (a != np.floor(a)) | (b != np.floor(b))  # identifiers are large, and their differences no noise
    if not tiny.any():
        return rows, 0
    part = rows[tiny]
    case = _case(
        replace(pairs, entity=None, time=None, others_offline={}, others_online={}), part, np.array([], dtype=np.int64),
        1.0, tolerance, None, {},
    )  # fmt: skip
    scored = [s for s in scored_fits(case) if s.hypothesis in ("precision", "rounding", "truncation")]
    if scored and scored[0].coverage >= 0.5:
        return rows, 0
    return rows[~tiny], int(tiny.sum())


def _case(
    pairs: Pairs, rows: NDArray[np.int64], equal: NDArray[np.int64], share: float, tolerance: Tolerance,
    history: History | None, events: Mapping[str, History],
) -> Case:  # fmt: skip
    most = LOOKED_AT[pairs.kind]
    rows, equal = _thinned(rows, most), _thinned(equal, most)
    both = np.concatenate((rows, equal))
    entity, codes = _codes(pairs.entity, both)
    time = None if pairs.time is None else np.asarray(pairs.time, dtype=np.float64)[both]
    if history is None and entity is not None and time is not None:
        history = _own_history(pairs, both)
    lines = {name: _line(one, codes) for name, one in events.items()} if entity is not None else {}
    offline, online = pairs.offline[both], pairs.online[both]
    return Case(
        name=pairs.name, kind=pairs.kind, offline=offline, online=online, rows=np.arange(len(rows)),
        equal=np.arange(len(rows), len(both)), share=share, tolerance=tolerance, entity=entity, time=time,
        others_offline={name: values[both] for name, values in pairs.others_offline.items()},
        others_online={name: values[both] for name, values in pairs.others_online.items()},
        timeline=_line(history, codes) if history is not None and entity is not None and time is not None else None,
        events=lines, grid=decimals_of(np.concatenate((offline, online))) if pairs.kind == "number" else 0.0,
    )  # fmt: skip


def _own_history(pairs: Pairs, both: NDArray[np.int64]) -> History | None:
    """Return the offline side's own rows as a history, if entities have several times there."""
    assert pairs.entity is not None
    assert pairs.time is not None
    listed = pairs.entity.tolist()
    if len(set(listed)) > 0.67 * len(listed):
        return None
    del both
    return History(pairs.entity, np.asarray(pairs.time, dtype=np.float64), pairs.offline)


def _codes(entity: Array | None, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, dict[object, int]]:
    """Return entities as numbers, and the numbers by entity."""
    if entity is None:
        return None, {}
    codes: dict[object, int] = {}
    listed = [codes.setdefault(one, len(codes)) for one in entity[rows].tolist()]
    return np.array(listed, dtype=np.int64), codes


def _line(history: History, codes: dict[object, int]) -> Timeline:
    listed = np.array([codes.get(one, -1) for one in np.asarray(history.entity).tolist()], dtype=np.int64)
    value = history.value if history.value.dtype.kind in "fO" else history.value.astype(np.float64)
    return timeline(replace(history, value=value), listed)


def _thinned(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _as_numbers(case: Case) -> Case | None:
    """Return the case with texts read as numbers, if nearly all of them are numbers."""
    sides = []
    for values in (case.offline, case.online):
        read = np.array([_number(v) for v in values.tolist()], dtype=np.float64)
        there = ~missing(values)
        if not there.any() or np.isnan(read[there]).mean() > 0.02:
            return None
        sides.append(read)
    differing = differ(sides[0], sides[1], case.tolerance)[case.rows]
    if differing.mean() < 0.5:
        return None
    return replace(
        case.only(differing), kind="number", offline=sides[0], online=sides[1], others_offline={}, others_online={},
        timeline=None, events={}, grid=decimals_of(np.concatenate(sides)),
    )  # fmt: skip


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _examples(pairs: Pairs, rows: NDArray[np.int64]) -> tuple[tuple[Any, float | None, Any, Any], ...]:
    """Return five mismatching pairs with their entity and time; None for what is missing."""
    picked = _thinned(rows, 5).tolist()
    entity, time = pairs.entity, pairs.time
    return tuple(
        (
            None if entity is None else entity[i : i + 1].tolist()[0],
            None if time is None else float(time[i]), _plain(pairs.offline[i : i + 1].tolist()[0]),
            _plain(pairs.online[i : i + 1].tolist()[0]),
        )
        for i in picked
    )  # fmt: skip


def _plain(value: object) -> object:
    return None if value is None or value != value else value


def _notes(pairs: Pairs, rows: NDArray[np.int64], noise_share: float) -> tuple[str, ...]:
    notes = []
    if noise_share > 0:
        notes.append(f"{noise_share:.1%} of the pairs differ by float noise alone, which is left out")
    gone, lost = missing(pairs.offline[rows]), missing(pairs.online[rows])
    for where, here, there in ((lost & ~gone, "online", "offline"), (gone & ~lost, "offline", "online")):
        if len(rows) and where.mean() > 0.05:
            notes.append(f"{where.mean():.0%} of the differing pairs have no value {here}, and one {there}")
    return tuple(notes)
