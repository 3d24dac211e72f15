"""What a fit is worth: bits saved in describing the mismatches, and whether chance would fit as well.

The altered values are described twice: plainly, by their own frequencies and grain, and through the hypothesis, which
pays for its parameters, for saying which pairs it holds for, and for what it leaves open per pair (minimum description
length; Rissanen 1978, Grünwald 2007). Chance is measured, not assumed: the same prediction is held against altered
values put together from other pairs' differences and from other pairs' values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sickbay.stats.skew.case import Case, Fit, Mask, View, decimals_of, hits
from sickbay.stats.skew.pairs import differ
from sickbay.stats.table import Array, Floats

SIGNIFICANT = 14.0
"""Bits by which a fit has to beat chance, parameters paid for: about one false claim in 16,000 hypotheses."""
MOST = 0.8
"""Share of the mismatches from which a rule is asked why the other pairs are equal; before, they differ for reasons."""
RARE = 0.1
WIDEST = 32.0
FEWEST = 4
DRAWN = 2_000


@dataclass(frozen=True, slots=True)
class Scored:
    """A fit with the pairs it holds for, its share, chance's share, and the bits it saves.

    ``underneath``: another rule acts on what this one makes, so it is told first.
    """

    hypothesis: str
    fit: Fit
    hit: Mask
    coverage: float
    chance: float
    saved: float
    underneath: bool = False


def plain_bits(values: Array, usual: Array) -> Floats:
    """Return the bits that each value takes by itself: its frequency in the column, or its place on the grain.

    ``usual``: values of the column apart from those to be described.
    """
    seen: dict[object, int] = {}
    for value in usual.tolist():
        key = None if value != value else value
        seen[key] = seen.get(key, 0) + 1
    single = WIDEST
    if values.dtype.kind == "f":
        sound = np.concatenate((values, usual))
        sound = sound[np.isfinite(sound)]
        grain = decimals_of(sound)
        reach = float(np.quantile(sound, 0.95) - np.quantile(sound, 0.05)) if len(sound) else 0.0
        single = min(WIDEST, math.log2(reach / grain + 4)) if grain else WIDEST
    often = np.array([seen.get(None if v != v else v, 0) for v in values.tolist()], dtype=np.float64)
    repeated = -np.log2(np.maximum(often, 0.5) / (len(usual) + 1))
    return np.asarray(np.where(often > 1, np.minimum(repeated, single), single))


def score(case: Case, id: str, fit: Fit, plain: Floats, *, spared: bool = True) -> Scored | None:
    """Return what a fit is worth on the case's mismatches, or None when it holds for hardly any or by chance.

    ``spared``: whether it gets credit for the equal pairs that it would leave as they are.
    """
    view = case.view(fit.side)
    hit = _any(case, fit, view.target, view.source)
    n, held = len(hit), int(hit.sum())
    if held < FEWEST or held < 0.03 * n:
        return None
    coverage = held / n
    spared_bits = _spared_bits(case, fit, view, coverage) if spared else 0.0
    if case.kind == "boolean" and fit.by_values:  # that nearly all pairs differ is all that there is to it
        saved = fit.mask_bits - fit.bits
        return Scored(id, fit, hit, coverage, 0.5, saved) if saved >= SIGNIFICANT else None
    if fit.changes is not None:  # two values differ in one way: which pairs differ is all that there is to explain
        saved = spared_bits - fit.bits
        return Scored(id, fit, hit, coverage, 1.0, saved) if saved >= SIGNIFICANT else None
    by_values = fit.by_values or (coverage > 0.9 and spared_bits > 2 * SIGNIFICANT)
    chance = _chance(case, fit, view, plain[hit].mean(), by_values=by_values, rare=coverage < RARE)
    each = np.broadcast_to(np.asarray(fit.each, dtype=np.float64), (n,))
    beyond = n * divergence(min(coverage, 1 - 0.5 / n), chance) if coverage > chance else 0.0
    if beyond - fit.bits < SIGNIFICANT or (coverage - chance) / (1 - chance + 1e-12) < 0.03:
        return None
    saved = float(np.sum(np.maximum(plain - each, 0.1)[hit])) - n * _entropy(coverage) - fit.bits + fit.mask_bits
    saved += spared_bits
    return Scored(id, fit, hit, coverage, chance, saved)


def _spared_bits(case: Case, fit: Fit, view: View, coverage: float) -> float:
    """Return bits saved in saying which of all pairs differ, as the rule changes no others than some of them.

    Prices cut to whole numbers leave whole prices as they are; an offset would have changed these as well.
    """
    if len(view.equal) < 50 or coverage < MOST:
        return 0.0
    if fit.changes is not None:
        changed = int(fit.changes.sum())
    elif fit.apply is not None:
        with np.errstate(all="ignore"):
            changed = int(differ(fit.apply(view.equal), view.equal, case.tolerance).sum())
    else:
        return 0.0
    share = min(case.share, 1.0)
    wrong = share * coverage
    reach = share + (1 - share) * (changed + 1) / (len(view.equal) + 2)
    if not 0 < wrong < reach:
        return 0.0
    return len(view.target) * coverage * (_entropy(wrong) - reach * _entropy(wrong / reach)) / wrong


def _any(case: Case, fit: Fit, target: Array, source: Array) -> Mask:
    hit = np.zeros(len(target), dtype=bool)
    for predicted in fit.predicted:
        hit |= hits(predicted, target, source, case.tolerance, says_missing=fit.says_missing)
    return hit


def _chance(case: Case, fit: Fit, view: View, plain: float, *, by_values: bool, rare: bool) -> float:
    """Return the share of pairs that fit when the altered values are other pairs'.

    ``by_values``: not also when their differences are; all differences may be alike, and the equal pairs tell then.
    ``rare``: the fit holds for few pairs; then values put together are of the altered side's own grain.
    """
    rng = np.random.default_rng(11)
    n = len(view.target)
    rounds = max(1, min(8, DRAWN // n))
    shares = [2.0**-plain]
    numbers = view.target.dtype.kind == "f"
    grid = decimals_of(view.target) if numbers and rare else 0.0
    pool = _pool(case, view)
    for made in ("values", "differences") if numbers and not by_values else ("values",):
        hit = tried = 0
        for _ in range(rounds):
            if made == "values":
                other = pool[rng.integers(0, len(pool), n)]
            else:
                # turned round, not shuffled: no pair keeps its own difference
                other = view.source + np.roll(view.target - view.source, int(rng.integers(1, max(2, n))))
                if grid:
                    other = np.rint(other / grid) * grid
            apart = differ(view.source, other, case.tolerance)
            hit += int((_any(case, fit, other, view.source) & apart).sum())
            tried += int(apart.sum())
        if hit:
            shares.append(hit / max(tried, 1))
    return float(min(max(shares), 1.0))


def _pool(case: Case, view: View) -> Array:
    """Return values of the column apart from those that are to be explained."""
    return np.concatenate((case.offline[case.equal], view.source))


def divergence(share: float, chance: float) -> float:
    """Return the Kullback–Leibler divergence of two shares in bits."""
    result = share * math.log2(share / chance)
    if share < 1 and chance < 1:
        result += (1 - share) * math.log2((1 - share) / (1 - chance))
    return result


def _entropy(share: float) -> float:
    if share <= 0 or share >= 1:
        return 0.0
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)
