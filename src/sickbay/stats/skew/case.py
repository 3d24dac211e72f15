"""A feature's mismatches as the hypotheses see them: from either side, with the equal pairs beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from sickbay.stats.skew.explanation import Side
from sickbay.stats.skew.pairs import FeatureKind, Tolerance, differ, missing
from sickbay.stats.skew.timeline import Timeline
from sickbay.stats.table import Array, Floats

Mask = NDArray[np.bool_]

CLOSER = 0.05
"""A prediction has to be nearer to the value than this share of the distance it is to explain."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A hypothesis with its parameters, as a prediction of the altered side from the other one.

    ``predicted``: one or several values per mismatching pair (any of them may be the right one), missing where it says
    nothing unless ``says_missing``. ``bits``: cost of the parameters; ``each``: of what is left open per pair.
    ``mask_bits``: what the equal pairs say for it. ``weak``: fits by drift of values too, so it has to explain most
    of what nothing else does. ``by_values``: differences may be the same by its very nature.
    """

    side: Side
    parameters: Mapping[str, Any]
    predicted: Sequence[Array]
    bits: float
    each: Floats | float = 0.0
    mask_bits: float = 0.0
    weak: bool = False
    by_values: bool = False
    says_missing: bool = False
    changes: Mask | None = None
    """Which of the equal pairs the rule would have changed, where it is a rule of their time: what it spares counts."""
    by_column: bool = False
    """Whether another column is the prediction: a rule of this column's own value goes before it."""
    regardless: bool = False
    """Whether it does not ask what it replaces: then what it replaced is no part of the range by itself."""
    says: str = ""
    apply: Callable[[Array], Array] | None = None
    """The rule for any values, where it is one: what both of two causes did to the same rows is looked for with it."""


@dataclass(frozen=True, slots=True)
class View:
    """The mismatching pairs with one side taken as altered: ``target`` is to be got from ``source``."""

    side: Side
    source: Array
    target: Array
    equal: Array
    """Values of the equal pairs of the sample."""
    others: Mapping[str, Array]
    """The other features on the side that is taken as the truth, for the mismatching pairs."""
    others_here: Mapping[str, Array]

    @property
    def both(self) -> Mask:
        """Where both values are there."""
        return ~missing(self.source) & ~missing(self.target)


@dataclass(frozen=True, slots=True)
class Case:
    """What there is to explain. ``rows`` are the mismatching pairs (positions in the sample), ``equal`` the others.

    ``share``: of all matched pairs that mismatch; ``grid``: the step that all numbers are multiples of, or 0.
    """

    name: str
    kind: FeatureKind
    offline: Array
    online: Array
    rows: NDArray[np.int64]
    equal: NDArray[np.int64]
    share: float
    tolerance: Tolerance
    entity: NDArray[np.int64] | None = None
    time: Floats | None = None
    others_offline: Mapping[str, Array] = field(default_factory=dict)
    others_online: Mapping[str, Array] = field(default_factory=dict)
    timeline: Timeline | None = None
    events: Mapping[str, Timeline] = field(default_factory=dict)
    grid: float = 0.0
    definitions: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """What reproduces a side from events, once it was looked for: parts of a case share it."""

    @property
    def numeric(self) -> bool:
        """Whether values are numbers that arithmetic makes sense for."""
        return self.kind == "number"

    def views(self) -> Iterator[View]:
        """Yield both views: the online side altered, then the offline side altered."""
        rows = self.rows
        first = {name: values[rows] for name, values in self.others_offline.items()}
        second = {name: values[rows] for name, values in self.others_online.items()}
        a, b = self.offline[rows], self.online[rows]
        yield View("online", a, b, self.offline[self.equal], first, second)
        yield View("offline", b, a, self.online[self.equal], second, first)

    def view(self, side: Side) -> View:
        """Return one of the views."""
        online, offline = self.views()
        return online if side == "online" else offline

    def only(self, keep: Mask) -> Case:
        """Return the case with these mismatches alone."""
        return replace(self, rows=self.rows[keep])

    def defined(self, key: tuple[str, ...], look: Callable[[], Any]) -> Any:
        """Return what ``look`` finds, looked for once for this case and its parts."""
        if key not in self.definitions:
            self.definitions[key] = look()
        return self.definitions[key]

    def hits(self, predicted: Array, target: Array, source: Array, *, says_missing: bool = False) -> Mask:
        """Return where the prediction is the value: within tolerance, and much nearer than the source is."""
        return hits(predicted, target, source, self.tolerance, says_missing=says_missing)


def loses(view: View, hit: Mask, step: Floats | float) -> bool:
    """Return whether the pairs that fit are apart as rounding to ``step`` leaves them, not by noise far below it."""
    if not hit.any() or _one(view.target[hit], view.source[hit]):
        return False
    with np.errstate(all="ignore"):
        lost = np.abs(view.source - view.target) / step
    return float(np.quantile(lost[hit], 0.9)) > 0.05


def _one(targets: Array, sources: Array) -> bool:
    """Return whether many values became one and the same: a constant, and no step that they were brought to."""
    return bool(np.all(targets == targets[0])) and len(np.unique(sources)) >= 4


def coarser(view: View, hit: Mask, step: Floats | float) -> bool:
    """Return whether most pairs that fit lie on a grid ten times as coarse: then the finer digits say nothing."""
    if not hit.any():
        return False
    with np.errstate(all="ignore"):
        places = view.target / (10 * step)
        on = np.abs(places - np.rint(places)) < 1e-6 + 1e-12 * np.abs(places)
    return float(np.mean(on[hit])) > 0.6


def separated(replaced: Floats, rest: Floats) -> bool:
    """Return whether the values that became a constant lie in a part of the range in which the others do not.

    By the Kolmogorov–Smirnov distance. A default does not ask what it replaces; a bound does, and so does chance.
    """
    replaced, rest = replaced[np.isfinite(replaced)], rest[np.isfinite(rest)]
    if len(replaced) < 20 or len(rest) < 20:
        return False
    return float(ks_2samp(replaced, rest, method="asymp").statistic) > 0.6


def hits(predicted: Array, target: Array, source: Array, tolerance: Tolerance, *, says_missing: bool = False) -> Mask:
    """Return where the prediction is the value: within tolerance, and much nearer than the source is."""
    gone, lost = missing(predicted), missing(target)
    same = ~gone & ~lost & ~differ(predicted, target, tolerance)
    if predicted.dtype.kind == "f" and target.dtype.kind == "f" and source.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            distance = np.abs(source - target)
            near = np.abs(predicted - target) <= CLOSER * distance
        same &= near | ~np.isfinite(distance)
    if says_missing:
        same |= gone & lost
    return np.asarray(same)


def decimals_of(values: Floats) -> float:
    """Return the coarsest step 10^−k (k = 0…6) that all values are multiples of; 0.0 when there is none."""
    sound = values[np.isfinite(values)]
    if not len(sound) or np.abs(sound).max() > 1e12:
        return 0.0
    for k in range(7):
        scaled = sound * 10.0**k
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + 1e-12 * np.abs(scaled)):
            return float(10.0**-k)
    return 0.0


def modes(
    values: Floats, *, relative: float = 1e-7, absolute: float = 0.0, fewest: int = 5, most: int = 4
) -> list[float]:
    """Return the values that occur most often, a little spread allowed, the most frequent first."""
    sound = np.sort(values[np.isfinite(values)])
    if not len(sound):
        return []
    gaps = np.diff(sound) > np.maximum(absolute, relative * np.maximum(np.abs(sound[1:]), np.abs(sound[:-1])))
    starts = np.concatenate(([0], np.flatnonzero(gaps) + 1))
    counts = np.diff(np.append(starts, len(sound)))
    order = np.argsort(-counts, kind="stable")[:most]
    return [float(sound[starts[i] + counts[i] // 2]) for i in order if counts[i] >= fewest]


def shorten(value: float) -> float:
    """Return the number with fewest digits that is the same to one part in a billion."""
    for digits in range(1, 12):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= 1e-9 * abs(value):
            return short
    return value
