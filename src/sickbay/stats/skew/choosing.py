"""Which fits are claimed: the one or two that together save most bits, and what cannot be told from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.skew.case import Case, separated
from sickbay.stats.skew.explanation import Side
from sickbay.stats.skew.pairs import missing
from sickbay.stats.skew.registered import hypotheses
from sickbay.stats.skew.scoring import Scored, plain_bits, score
from sickbay.stats.table import Floats

FEWEST = 5
PRACTICAL_TIMING = 0.015
"""Share of all pairs from which a value of another moment is claimed: a few late rows are how things are."""
WEAK = 0.7
"""Share of what nothing else explains that a hypothesis has to explain that drifting values would fit too."""
ALIKE = 0.97


def choose(case: Case) -> tuple[list[Scored], dict[str, tuple[str, ...]]]:
    """Return the hypotheses that together save most bits, at most two, and what cannot be told from each."""
    plain = _plain_bits(case)
    scored, copies = _own_value_first([s for s in scored_fits(case, plain) if s.saved > 0])
    best: tuple[float, list[Scored], dict[str, tuple[str, ...]]] = (0.0, [], {})
    for first in _leaders(scored):
        chosen, rivals = [first], {first.hypothesis: _alike(first, scored) + _alike_copies(first, copies)}
        total, left = first.saved, ~first.hit
        second, both = (
            _second(case, first, left, {side: bits[left] for side, bits in plain.items()})
            if left.sum() >= FEWEST
            else (None, False)
        )
        if second is not None:
            total += second[0].saved
            if both:  # the same rows show one after the other
                chosen[0] = replace(first, hit=first.hit | second[0].hit, underneath=True)
            chosen.append(second[0])
            rivals[second[0].hypothesis] = second[1]
        if total > best[0]:
            best = total, chosen, rivals
    _, chosen, rivals = best
    chosen = _one_cache(chosen, scored)
    kept = [s for s in chosen if not s.fit.weak or _enough(s, chosen)]
    left = ~np.any([s.hit for s in kept], axis=0) if kept else np.ones(len(case.rows), dtype=bool)
    return kept + _left_over(case, left), rivals


def _own_value_first(scored: list[Scored]) -> tuple[list[Scored], list[Scored]]:
    """Return the fits without those by another column that this column's own value does as well, and these.

    A column that is nearly a copy of this one (net and gross, raw and filled) holds what the rule between the two
    makes of this one. It has to explain clearly more than any rule, or the two columns have to have changed places.
    """
    kept: list[Scored] = []
    copies: list[Scored] = []
    for one in scored:
        own = (s for s in scored if s.hypothesis != one.hypothesis and s.fit.side == one.fit.side)
        is_copy = one.fit.by_column and any((one.hit & ~s.hit).sum() <= max(2, 0.03 * one.hit.sum()) for s in own)
        (copies if is_copy else kept).append(one)
    return kept, copies


def _alike_copies(best: Scored, copies: list[Scored]) -> tuple[str, ...]:
    """Return the hypothesis of other columns where one of them holds the same values in nearly all the same pairs."""
    names = {s.hypothesis for s in copies if (s.hit & best.hit).sum() >= ALIKE * (s.hit | best.hit).sum()}
    return tuple(sorted(names))


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
        fits, _ = _own_value_first(scored_fits(part, plain, spared=not both))
        scored = [
            s for s in fits
            if s.coverage >= 0.2 and s.hit.sum() >= 0.04 * len(case.rows) and s.hypothesis != first.hypothesis
            and (not both or (s.fit.side == first.fit.side and _on_top(s)))
            and not (s.fit.regardless and _beyond(case, first, left, s))
        ]  # fmt: skip
        if scored and scored[0].saved > (0 if best is None else 1.05 * best[0].saved + 10):
            hit = np.zeros(len(left), dtype=bool)
            hit[np.flatnonzero(left)] = scored[0].hit
            best, on_top = (replace(scored[0], hit=hit), _alike(scored[0], scored)), both
    return best, on_top


def _beyond(case: Case, first: Scored, left: NDArray[np.bool_], second: Scored) -> bool:
    """Return whether the second replaced values beyond those that the first explains: a bound on top of it."""
    source = case.view(second.fit.side).source
    return separated(source[left][second.hit], source[first.hit])


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


def scored_fits(case: Case, plain: Mapping[Side, Floats] | None = None, *, spared: bool = True) -> list[Scored]:
    """Return every fit that beats chance, the one that saves most bits first.

    ``plain``: bits without any, per side. ``spared``: whether a rule gets credit for the pairs that it leaves as they
    are; not when the sides were changed and the equal pairs were not.
    """
    plain = plain or _plain_bits(case)
    found = []
    for id, known in hypotheses().items():
        if known.last or case.kind not in known.kinds:
            continue
        with np.errstate(over="ignore", invalid="ignore"):  # values near the end of the range of floats
            scored = [score(case, id, fit, plain[fit.side], spared=spared) for fit in known.propose(case)]
        found += [one for one in scored if one is not None]
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
