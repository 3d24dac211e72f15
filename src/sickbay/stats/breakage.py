"""Values that a broken feature pipeline makes, and the world does not: per column, each kind with its own signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sickbay.stats.grading import any_of, grade, proportion_error
from sickbay.stats.table import Array, Floats, Frame

CONTINUOUS = 30
"""Distinct baseline values from which a number counts as continuous, so that one value taking over is odd."""
SCALE = 4.0
"""Smallest factor (or its inverse) that counts as a change of unit rather than as inflation."""
UNITS = (7.0, 10.0, 12.0, 24.0, 60.0, 100.0, 1000.0, 3600.0, 86400.0, 1e6)
"""Factors between the units in which the same thing is often written."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """One suspicious thing about one column (or two, joined by ↔): its kind, size, graded evidence, and a sentence."""

    column: str
    kind: str
    effect: float
    log_ratio: float
    says: str


@dataclass(frozen=True, slots=True)
class Sides:
    """One column on both sides, nulls removed, with the counts of rows and nulls."""

    name: str
    baseline: Array
    current: Array
    rows: tuple[int, int]
    nulls: tuple[int, int]

    @property
    def error(self) -> float:
        """Standard error of a difference of two cumulative shares at the middle."""
        return 0.5 * float(np.sqrt(1 / max(1, len(self.baseline)) + 1 / max(1, len(self.current))))


def examine(baseline: Frame, current: Frame, names: Sequence[str]) -> list[Breakage]:
    """Return every signature examined for every column, whatever its evidence; the caller sums up with ``verdict``."""
    found: list[Breakage] = []
    columns = {name: _sides(name, baseline, current) for name in names}
    for name, sides in columns.items():
        checks = NUMBER_CHECKS if baseline.kinds[name] == "number" else CATEGORY_CHECKS
        for check in checks:
            result = check(sides)
            if result is not None:
                found.append(result)
    found += _swaps(columns, baseline.kinds)
    return found


def verdict(found: Sequence[Breakage]) -> float:
    """Return the log factor of "some column is broken in some way", corrected for all the looks taken."""
    return any_of(item.log_ratio for item in found)


def broken_columns(found: Sequence[Breakage]) -> dict[str, Breakage]:
    """Return column → its strongest signature, for the columns whose evidence survives the correction."""
    looks = max(1, len(found))
    result: dict[str, Breakage] = {}
    for item in sorted(found, key=lambda b: (-b.log_ratio, b.column)):
        if item.log_ratio - np.log(looks) > 1.0:
            for column in item.column.split(" ↔ "):
                result.setdefault(column, item)
    return result


def _sides(name: str, baseline: Frame, current: Frame) -> Sides:
    values = []
    nulls = []
    for frame in (baseline, current):
        column = frame.columns[name]
        if frame.kinds[name] == "number":
            numbers = np.asarray(column, dtype=np.float64)
            kept: Array = numbers[np.isfinite(numbers)]
        else:
            kept = np.array([str(v) for v in column.tolist() if v is not None and v == v], dtype=object)
        values.append(kept)
        nulls.append(frame.rows - len(kept))
    return Sides(name, values[0], values[1], (baseline.rows, current.rows), (nulls[0], nulls[1]))


def _nulls(s: Sides) -> Breakage:
    before, now = s.nulls[0] / max(1, s.rows[0]), s.nulls[1] / max(1, s.rows[1])
    error = float(np.hypot(proportion_error(before, s.rows[0]), proportion_error(now, s.rows[1])))
    practical = 0.02 + 0.5 * before
    return Breakage(
        s.name, "nulls", now - before, grade(now - before, error, practical), f"nulls {before:.1%} → {now:.1%}"
    )


def _spike(s: Sides) -> Breakage | None:
    """One value takes over: a constant, or a default in place of the real value.

    Where a number has few values, a real shift can raise one of them too: then the other values must be spread among
    themselves as before, as they are when a default is written over some rows.
    """
    if len(s.current) < 30 or len(s.baseline) < 30:
        return None
    baseline, current = (v.astype(str) if v.dtype == object else v for v in (s.baseline, s.current))
    values, counts = np.unique(current, return_counts=True)
    shares = np.array([np.mean(baseline == v) for v in values[np.argsort(-counts)[:8]]])
    rises = np.sort(counts)[::-1][:8] / len(current) - shares
    top = values[np.argsort(-counts)[:8]][int(np.argmax(rises))]
    now, before = float(np.mean(current == top)), float(np.mean(baseline == top))
    effect, practical = now - before, 0.08 + 0.5 * before
    if s.baseline.dtype == object:  # a category may grow by itself; only one that drives out all others is odd
        effect, practical = max(0.0, now - max(0.95, before)) * 20, 0.3
    elif len(np.unique(baseline)) < CONTINUOUS:
        rest = (baseline[baseline != top], current[current != top])
        moved = total_variation(*rest) if min(map(len, rest)) >= 50 else 0.0
        effect, practical = effect * max(0.0, 1 - 5 * moved), 0.06 + 0.5 * before
    error = float(np.hypot(proportion_error(before, len(baseline)), proportion_error(now, len(current))))
    return Breakage(
        s.name, "one value", effect, grade(effect, error, practical), f"value {top} in {before:.1%} → {now:.1%} of rows"
    )


def _scale(s: Sides) -> Breakage | None:
    """A share of the values, or all, multiplied by one factor: a unit, or a sign.

    The current distribution function is fitted as a mixture of the baseline's own and the baseline's times a factor.
    """
    if len(s.baseline) < 50 or len(s.current) < 50 or s.baseline.std() == 0:
        return None
    usual, now = float(np.median(np.abs(s.baseline))), float(np.median(np.abs(s.current)))
    factors = [*UNITS, *(1 / unit for unit in UNITS), *([-1.0] if np.mean(s.baseline < 0) < 0.02 else [])]
    if usual > 0 and now > 0 and not 1 / SCALE < now / usual < SCALE:
        factors.append(now / usual)
    points = np.quantile(np.concatenate([s.baseline, s.current]), np.linspace(0.002, 0.998, 200))
    before, after = _cumulated(s.baseline, points), _cumulated(s.current, points)
    raw = float(np.max(np.abs(after - before)))
    best = (0.0, 1.0, 0.0)
    for factor in factors:
        pull = _cumulated(s.baseline * factor, points) - before
        power = float(np.dot(pull, pull))
        share = float(np.clip(np.dot(after - before, pull) / power, 0.0, 1.0)) if power > 0 else 0.0
        effect = raw - 3 * float(np.max(np.abs(after - before - share * pull)))
        if share >= 0.1 and effect > best[0]:
            best = (effect, factor, share)
    effect, factor, share = best
    says = f"{share:.0%} of the values × {factor:.3g}"
    return Breakage(s.name, "scale", effect, grade(effect, s.error, 0.12), says)


def _cumulated(values: Floats, points: Floats) -> Floats:
    """Return the share of values at or below each point."""
    return np.searchsorted(np.sort(values), points, "right") / len(values)


def _far_out(s: Sides) -> Breakage | None:
    """Values far beyond anything the baseline had: twice as far from the median as its extremes."""
    if len(s.baseline) < 50 or len(s.current) < 30:
        return None
    middle, low, high = np.median(s.baseline), s.baseline.min(), s.baseline.max()
    reach_up, reach_down = 1.5 * (high - middle), 1.5 * (middle - low)
    outside = (s.current > high + reach_up) | (s.current < low - reach_down)
    share = float(np.mean(outside))
    error = float(proportion_error(share, len(s.current)))
    says = f"{share:.1%} of values far outside {low:.4g}…{high:.4g}"
    usual = float(np.median(np.abs(s.baseline)))
    if outside.any() and usual > 0:
        says += f", about × {float(np.median(np.abs(s.current[outside]))) / usual:.0f} of the usual size"
    return Breakage(s.name, "range", share, grade(share, error, 0.01), says)


def _precision(s: Sides) -> Breakage | None:
    """Decimals cut off: nearly all values whole where they were not."""
    if len(s.baseline) < 50 or len(s.current) < 50:
        return None
    before, now = (float(np.mean(v == np.round(v))) for v in (s.baseline, s.current))
    if len(np.unique(s.current)) <= 2:
        return None
    error = float(np.hypot(proportion_error(before, len(s.baseline)), proportion_error(now, len(s.current))))
    return Breakage(
        s.name, "decimals", now - before, grade(now - before, error, 0.25), f"whole numbers {before:.0%} → {now:.0%}"
    )


def _renamed(s: Sides) -> Breakage | None:
    """Levels never seen before stand where known levels vanished, or spell a known level differently."""
    if len(s.baseline) < 50 or len(s.current) < 30:
        return None
    before, now = _shares(s.baseline), _shares(s.current)
    if len(before) > 0.3 * len(s.baseline):
        return None  # nearly every value is its own level: an identifier
    fresh = {level: share for level, share in now.items() if level not in before}
    gone = {v: p for v, p in before.items() if p >= 0.005 and now.get(v, 0.0) < 0.1 * p}
    same = {_folded(level) for level in before}
    spelled = sum(share for level, share in fresh.items() if _folded(level) in same)
    # a new level of a few percent is the world's; a sixth of all rows in levels never seen is the pipeline's
    effect = max(min(sum(fresh.values()), sum(gone.values())), spelled, sum(fresh.values()) - 0.15)
    error = float(proportion_error(effect, len(s.current)))
    names = ", ".join(sorted(fresh, key=lambda v: -fresh[v])[:3])
    lost = ", ".join(sorted(gone, key=lambda v: -gone[v])[:3])
    says = f"{sum(fresh.values()):.1%} of rows in levels never seen ({names or 'none'})" + (
        f"; gone: {lost}" if lost else ""
    )
    return Breakage(s.name, "renamed levels", effect, grade(effect, error, 0.015), says)


NUMBER_CHECKS: tuple[Callable[[Sides], Breakage | None], ...] = (_nulls, _spike, _scale, _far_out, _precision)
CATEGORY_CHECKS: tuple[Callable[[Sides], Breakage | None], ...] = (_nulls, _spike, _renamed)


def _swaps(columns: Mapping[str, Sides], kinds: Mapping[str, str]) -> list[Breakage]:
    """Two columns that carry each other's values."""
    found = []
    for kind, distance in (("number", ks), ("category", total_variation)):
        moved = {
            name: distance(s.baseline, s.current)
            for name, s in columns.items()
            if kinds[name] == kind and len(s.baseline) >= 50 and len(s.current) >= 50
        }
        suspects = sorted((n for n, d in moved.items() if d > 0.15), key=lambda n: -moved[n])[:12]
        for a, b in combinations(sorted(suspects), 2):
            crossed = max(
                distance(columns[a].baseline, columns[b].current), distance(columns[b].baseline, columns[a].current)
            )
            effect = min(moved[a], moved[b]) - 3 * crossed
            strength = grade(effect, columns[a].error, 0.12)
            found.append(
                Breakage(f"{a} ↔ {b}", "swapped", effect, strength, f"{a} carries what {b} held, and the reverse")
            )
    return found


def ks(a: Floats, b: Floats) -> float:
    """Return the two-sample Kolmogorov–Smirnov distance (0…1)."""
    a, b = np.sort(a), np.sort(b)
    points = np.concatenate([a, b])
    return float(
        np.max(np.abs(np.searchsorted(a, points, "right") / len(a) - np.searchsorted(b, points, "right") / len(b)))
    )


def total_variation(a: Array, b: Array) -> float:
    """Return the total variation distance (0…1) of two samples of categories."""
    p, q = _shares(a), _shares(b)
    return 0.5 * sum(abs(p.get(v, 0.0) - q.get(v, 0.0)) for v in p.keys() | q.keys())


def _shares(values: Array) -> dict[str, float]:
    levels, counts = np.unique(values.astype(str), return_counts=True)
    return {str(level): float(count) / len(values) for level, count in zip(levels, counts, strict=True)}


def _folded(level: str) -> str:
    return re.sub(r"[\W_]+", "", level).casefold()


def dependence_lost(
    baseline: Floats, current: Floats, names: Sequence[str], marginals: Floats
) -> tuple[float, list[Breakage]]:
    """Look for columns whose values belong to other rows: the marginal stays, the dependence on other columns goes.

    ``baseline`` and ``current`` are matrices without nulls-by-category problems (codes are fine); ``marginals`` the
    Kolmogorov–Smirnov distance of each column. Returns the log factor over all columns, and the columns examined.
    """
    before, now = rank_correlation(baseline), rank_correlation(current)
    error = float(np.sqrt(1 / len(baseline) + 1 / len(current)))
    found = []
    for j, name in enumerate(names):
        strength = np.abs(before[j])
        if strength.max() < 0.08:
            continue
        # columns that came through one join keep their ties to each other: the partner most lost counts
        loss = np.where((strength >= 0.08) & (marginals < 0.1), strength - np.abs(now[j]), 0.0)
        relative = np.clip(loss / np.maximum(strength, 0.08), 0.0, 1.0)
        nearest = int(np.argmax(loss * relative**2))
        effect = float(loss[nearest] * relative[nearest] ** 2) if marginals[j] < 0.05 else 0.0
        says = f"rank correlation with {names[nearest]} {before[j][nearest]:+.2f} → {now[j][nearest]:+.2f}"
        found.append(Breakage(name, "values of other rows", effect, grade(effect, error, 0.035), says))
    return any_of(item.log_ratio for item in found), found


def rank_correlation(x: Floats) -> Floats:
    """Return the Spearman matrix of the columns with a zero diagonal; nulls take the median rank."""
    ranked = ranks(x)
    scale = np.sqrt((ranked**2).sum(axis=0))
    ranked /= np.where(scale > 0, scale, 1.0)
    matrix = ranked.T @ ranked
    np.fill_diagonal(matrix, 0.0)
    return np.asarray(matrix, dtype=np.float64)


def ranks(x: Floats) -> Floats:
    """Return centred mid-ranks per column; nulls take the median's."""
    out = np.empty_like(x)
    for j in range(x.shape[1]):
        column = x[:, j]
        filled = np.isfinite(column)
        values = np.where(filled, column, np.nanmedian(column) if filled.any() else 0.0)
        _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2.0
        out[:, j] = middle[position]
    return np.asarray(out - out.mean(axis=0), dtype=np.float64)
