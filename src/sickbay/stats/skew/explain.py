"""Why two sides of a feature differ: hypotheses compared by description length, the parameters of each paid for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew.case import Case, decimals_of
from sickbay.stats.skew.explanation import Explained, Explanation, Side
from sickbay.stats.skew.interval import wilson
from sickbay.stats.skew.pairs import EXACT, History, Pairs, Tolerance, differ, missing
from sickbay.stats.skew.registered import hypotheses
from sickbay.stats.skew.scoring import Scored, plain_bits, score
from sickbay.stats.skew.timeline import Timeline, timeline
from sickbay.stats.table import Array, Floats

LOOKED_AT = {"number": 4_000, "boolean": 4_000, "time": 4_000, "text": 1_500}
"""Mismatching pairs, and as many equal ones, that hypotheses are held against: evenly spaced in the rows given."""
PRACTICAL = 0.002
"""Share of all pairs below which a difference is named but not explained."""
PRACTICAL_TIMING = 0.015
"""The same for values of another moment: a few late rows are how things are."""
FEWEST = 5
NOISE, NOISE_OF_SPREAD = 1e-5, 1e-7
"""Differences below this share of the value, or of the column's spread, are noise unless a rule makes them exactly."""
WEAK = 0.7
"""Share of what nothing else explains that a hypothesis has to explain that drifting values would fit too."""
ALIKE = 0.97
HISTORY, EVENTS = "the feature's history by entity and time", "raw events by entity and time"


def explain(
    pairs: Pairs,
    *,
    history: History | None = None,
    events: Mapping[str, History] | None = None,
    tolerance: Tolerance = EXACT,
) -> Explained:
    """Return which hypotheses turn one side into the other, best first; none where nothing can be claimed.

    ``history``: the feature's earlier and later values by entity and time, as the truth had them; without it, the
    offline side's own rows serve when there are several times per entity. ``events``: name → what the feature is
    computed from.
    """
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
        return plain
    rows = np.flatnonzero(wrong)
    plain = replace(plain, examples=_examples(pairs, rows))
    rows, noise = _without_noise(pairs, rows, tolerance)
    noise_share = share * noise / int(wrong.sum())
    plain = replace(plain, noise_share=noise_share, notes=_notes(pairs, rows, noise_share))
    real = share - noise_share
    if len(rows) < FEWEST or real < PRACTICAL:
        return _few(plain, real)
    case = _case(pairs, rows, np.flatnonzero(~wrong), real, tolerance, history, events or {})
    chosen, rivals = _choose(case)
    if not chosen and case.kind == "text":
        numbers = _as_numbers(case)
        if numbers is not None:
            case = numbers
            chosen, rivals = _choose(case)
    return _told(plain, case, chosen, rivals, real, has_events=bool(events))


def _choose(case: Case) -> tuple[list[Scored], dict[str, tuple[str, ...]]]:
    """Return the hypotheses that together save most bits, at most two, and what cannot be told from each."""
    plain = _plain_bits(case)
    scored = [s for s in _scored(case, plain) if s.saved > 0]
    best: tuple[float, list[Scored], dict[str, tuple[str, ...]]] = (0.0, [], {})
    for first in _leaders(scored):
        chosen, rivals = [first], {first.hypothesis: _alike(first, scored)}
        total, left = first.saved, ~first.hit
        second, both = (
            _second(case, first, left, {side: bits[left] for side, bits in plain.items()})
            if left.sum() >= FEWEST
            else (None, False)
        )
        if second is not None:
            total += second[0].saved
            if both:  # the same rows show one after the other
                chosen[0] = replace(first, hit=first.hit | second[0].hit)
            chosen.append(second[0])
            rivals[second[0].hypothesis] = second[1]
        if total > best[0]:
            best = total, chosen, rivals
    _, chosen, rivals = best
    chosen = _one_cache(chosen, scored)
    kept = [s for s in chosen if not s.fit.weak or _enough(s, chosen)]
    left = ~np.any([s.hit for s in kept], axis=0) if kept else np.ones(len(case.rows), dtype=bool)
    return kept + _left_over(case, left), rivals


def _plain_bits(case: Case) -> dict[Side, Floats]:
    return {view.side: plain_bits(view.target, np.concatenate((view.equal, view.source))) for view in case.views()}


def _one_cache(chosen: list[Scored], scored: list[Scored]) -> list[Scored]:
    """Return a cache alone where it explains what a constant lag and another do: its commonest age is no lag."""
    if len(chosen) < 2 or "constant-lag" not in {s.hypothesis for s in chosen}:
        return chosen
    union = float(np.any([s.hit for s in chosen], axis=0).mean())
    alone = [s for s in scored if s.hypothesis == "cache" and s.coverage >= ALIKE * union]
    return alone[:1] or chosen


def _leaders(scored: list[Scored]) -> list[Scored]:
    """Return the hypotheses worth starting from: the best fit of each of the three best, or the best if it is all."""
    if scored and scored[0].coverage > ALIKE and not np.any(scored[0].fit.each):
        return scored[:1]
    found: dict[str, Scored] = {}
    for one in scored:
        found.setdefault(one.hypothesis, one)
    return list(found.values())[:3]


def _second(
    case: Case, first: Scored, left: NDArray[np.bool_], plain: Mapping[Side, Floats]
) -> tuple[tuple[Scored, tuple[str, ...]] | None, bool]:
    """Return the best hypothesis for what the first leaves, with its rivals; whether it acts on top of the first."""
    best: tuple[Scored, tuple[str, ...]] | None = None
    on_top = False
    for part, both in ((case.only(left), False), (after(case, first).only(left), True)):
        scored = [
            s for s in _scored(part, plain)
            if s.coverage >= 0.2 and s.hit.sum() >= 0.04 * len(case.rows) and s.hypothesis != first.hypothesis
            and (not both or (s.fit.side == first.fit.side and _on_top(s)))
        ]  # fmt: skip
        if scored and scored[0].saved > (0 if best is None else 1.05 * best[0].saved + 10):
            hit = np.zeros(len(left), dtype=bool)
            hit[np.flatnonzero(left)] = scored[0].hit
            best, on_top = (replace(scored[0], hit=hit), _alike(scored[0], scored)), both
    return best, on_top


def _on_top(second: Scored) -> bool:
    """Return whether a rule on top of another is to be believed: most of the rest, and no mere loss of digits."""
    return second.coverage >= 0.5 and not second.fit.weak and second.hypothesis not in ("precision", "default-for-null")


def after(case: Case, first: Scored) -> Case:
    """Return the case as it looks once ``first`` has been done to the side that is taken as the truth."""
    fit, rows = first.fit, case.rows
    source = (case.offline if fit.side == "online" else case.online).copy()
    line = case.timeline
    if fit.apply is not None:
        with np.errstate(all="ignore"):
            source[rows] = fit.apply(source[rows])
            line = None if line is None else replace(line, value=fit.apply(line.value))
    else:
        made = fit.predicted[0]
        source[rows] = np.where(missing(made), source[rows], made)
    changed = replace(case, offline=source) if fit.side == "online" else replace(case, online=source)
    return replace(changed, timeline=line)


def _scored(case: Case, plain: Mapping[Side, Floats] | None = None) -> list[Scored]:
    """Return every fit that beats chance, the one that saves most bits first; ``plain``: bits without any, per side."""
    plain = plain or _plain_bits(case)
    found = []
    for id, known in hypotheses().items():
        if known.last or case.kind not in known.kinds:
            continue
        for fit in known.propose(case):
            scored = score(case, id, fit, plain[fit.side])
            if scored is not None:
                found.append(scored)
    return sorted(found, key=lambda s: -s.saved)


def _enough(one: Scored, chosen: list[Scored]) -> bool:
    """Return whether a weak hypothesis explains most of what the others leave."""
    others = [s.hit for s in chosen if s is not one]
    left = ~np.any(others, axis=0) if others else np.ones(len(one.hit), dtype=bool)
    return bool(left.any()) and float(one.hit[left].mean()) >= WEAK


def _alike(best: Scored, scored: list[Scored]) -> tuple[str, ...]:
    """Return other hypotheses that hold for the same pairs and save nearly as much."""
    names = []
    for other in scored[1:]:
        if other.hypothesis == best.hypothesis or other.hypothesis in names or other.fit.weak:
            continue
        both = (other.hit & best.hit).sum() / max(1, (other.hit | best.hit).sum())
        if both >= ALIKE and other.saved >= 0.9 * best.saved:
            names.append(other.hypothesis)
    return tuple(names)


def _left_over(case: Case, left: NDArray[np.bool_]) -> list[Scored]:
    """Return what speaks of the rest, if the rest is a large part."""
    part = case.only(left)
    if left.mean() < 0.3 or case.share * left.mean() < PRACTICAL_TIMING:
        return []
    for id, known in hypotheses().items():
        if known.last:
            for fit in known.propose(part):
                hit = left.copy()
                hit[left] = ~missing(fit.predicted[0])
                return [Scored(id, fit, hit, float(hit[left].mean()), 0.0, -fit.bits)]
    return []


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
    for one in chosen:
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
    explanations.sort(key=lambda e: (e.hypothesis == "other-source", -e.bits))
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
    if not tiny.any():
        return rows, 0
    part = rows[tiny]
    case = _case(
        replace(pairs, entity=None, time=None, others_offline={}, others_online={}), part, np.array([], dtype=np.int64),
        1.0, tolerance, None, {},
    )  # fmt: skip
    scored = [s for s in _scored(case) if s.hypothesis in ("precision", "rounding", "truncation")]
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
