"""One look at a window: for everything watched, a p-value, a size, and whether the size matters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from sickbay.monitor.store import Pane
from sickbay.stats.alarm import same_distribution
from sickbay.stats.drift import PRACTICAL_NULLS, Drift, compare
from sickbay.stats.estimation import Estimated, Performance
from sickbay.stats.profile import Column, Profile

PRACTICAL_ERROR = 0.02
"""Rise of the error rate of a classifier that matters."""
PRACTICAL_SHARE = 0.1
"""Rise of a regression's mean absolute error that matters, as a share of the reference's."""
TYPICAL_ROWS = 20.0
FEWEST = 100.0


@dataclass(frozen=True, slots=True)
class Series:
    """The evidence on one thing watched; ``p_value`` None: this window does not tell."""

    name: str
    p_value: float | None
    large: bool
    effect: float
    says: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a window showed: the series that alarms follow, and the drift of every column."""

    series: tuple[Series, ...]
    drifts: tuple[Drift, ...]
    rows: float


def look_at(reference: Profile, window: Profile, practical: float) -> Look:
    """Compare a window with the reference: per column its values, and how many are missing."""
    series, drifts = [], []
    for name, before in reference.columns.items():
        now = window.columns.get(name)
        if now is None or now.rows == 0:
            series.append(Series(f"{name}/values", None, False, math.nan, "no rows"))
            continue
        drift = compare(before, now)
        drifts.append(drift)
        series += [_values(before, now, drift, practical), _missing(before, now)]
    return Look(tuple(series), tuple(drifts), window.rows)


def look_at_silence(pane: Pane, typical: float) -> list[Series]:
    """Say whether a pane without rows is a silence: many were to be expected (Poisson)."""
    if typical < TYPICAL_ROWS:
        return []
    silent = pane.profile.rows == 0
    says = (
        f"no prediction at all, where {typical:,.0f} are usual" if silent else f"{pane.profile.rows:,.0f} predictions"
    )
    return [Series("rows", math.exp(-typical) if silent else 1.0, silent, pane.profile.rows, says)]


def look_at_loss(reference: Performance, window: Performance, practical: float | None, task: str) -> list[Series]:
    """Compare the realised loss of a pane with the reference's; nothing where either has no labels to speak of."""
    if reference.labelled < FEWEST or window.labelled < FEWEST:
        return []
    matters = practical or (PRACTICAL_SHARE * reference.mean_loss if task == "regression" else PRACTICAL_ERROR)
    rise = window.mean_loss - reference.mean_loss
    error = math.hypot(window.error, reference.error)
    name = "mean absolute error" if task == "regression" else "error rate"
    says = f"{name} {window.mean_loss:.4g}, reference {reference.mean_loss:.4g}, {window.labelled:,.0f} labels"
    return [Series("loss", float(ndtr(-rise / error)) if error > 0 else None, rise > matters, rise, says)]


def assumption_broken(realised: Performance, estimated: Estimated | None) -> str:
    """Return why the estimated performance is not to be trusted, or nothing."""
    if estimated is None:
        return ""
    if estimated.unknown > 0.1:
        return f"{estimated.unknown:.0%} of the scores lie where the reference has hardly any: their meaning is a guess"
    if realised.labelled < FEWEST:
        return ""
    gap = realised.mean_loss - estimated.loss
    error = math.hypot(realised.error, estimated.error)
    if abs(gap) > max(3 * error, 0.01):
        return (
            f"the realised loss is {realised.mean_loss:.3f}, the scores promised {estimated.loss:.3f}: "
            "scores no longer mean what they meant"
        )
    return ""


def _values(before: Column, now: Column, drift: Drift, practical: float) -> Series:
    name = f"{before.name}/values"
    if math.isnan(drift.js):
        return Series(name, None, False, math.nan, "no value to compare")
    says = f"{before.name}: Jensen–Shannon distance {drift.js:.2f}, PSI {drift.psi:.2f} over {now.filled:,.0f} values"
    return Series(name, drift.p_value, drift.js > practical, drift.js, says)


def _missing(before: Column, now: Column) -> Series:
    gone, were = now.nulls + now.nans, before.nulls + before.nans
    rise = now.share_of(gone) - before.share_of(were)
    p_value = 1.0
    if rise > 0:
        sides: Sequence[tuple[float, float]] = [(were, before.rows), (gone, now.rows)]
        counts = [np.array([part, whole - part]) for part, whole in sides]
        p_value = same_distribution(counts[0], counts[1])
    says = f"{before.name}: missing values {before.share_of(were):.1%} → {now.share_of(gone):.1%}"
    return Series(f"{before.name}/missing", p_value, rise > PRACTICAL_NULLS, rise, says)
