"""From two profiles to verdicts a reader can act on: has the column moved by a size that matters, and why so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sickbay.stats.bins import NumberBins
from sickbay.stats.drift import PRACTICAL_JS, PRACTICAL_NULLS, Drift, compare
from sickbay.stats.profile import Column, Profile

SURE = 1.645
"""Standard errors between an estimate and the practical size before it counts as shown: one-sided 5 %."""
UNKNOWN_LEVELS = 0.01
OUT_OF_RANGE = 0.001
ODD = 0.001
FAR = 0.05
SPREAD_OUT = 0.05
"""A category whose known levels hold less than this share is a name or a number of something: not comparable."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One column compared: measures, verdict, reasons, and what changed in its quality.

    ``drifted``: True when the change is shown to be of practical size, False when shown to be smaller, None when the
    rows do not settle it or the column cannot be compared; ``because`` says which, in words.
    """

    name: str
    kind: str
    drifted: bool | None
    because: str
    measures: Drift | None
    reference: Column | None
    current: Column | None
    quality: tuple[str, ...] = ()


def judge(
    reference: Profile,
    current: Profile,
    names: Sequence[str] | None = None,
    *,
    practical: float = PRACTICAL_JS,
    practical_nulls: float = PRACTICAL_NULLS,
) -> list[Judged]:
    """Compare every column of either profile, in the reference's order; ``practical`` is a Jensen–Shannon distance."""
    listed = list(reference.columns) + [n for n in (*current.columns, *current.left_out) if n not in reference.columns]
    chosen = dict.fromkeys(n for n in (listed if names is None else names))
    return [_judge(name, reference, current, practical, practical_nulls) for name in chosen]


def _judge(name: str, reference: Profile, current: Profile, practical: float, practical_nulls: float) -> Judged:
    before, now = reference.columns.get(name), current.columns.get(name)
    for side, said in ((reference, "the reference"), (current, "the current table")):
        if side.rows == 0:  # not even the types of an empty file can be trusted
            kind = before.kind if before else now.kind if now else "other"
            return Judged(name, kind, None, f"{said} has no rows", None, before, now)
    if before is None:
        why = reference.left_out.get(name) or current.left_out.get(name) or "the reference has no such column"
        return Judged(name, now.kind if now else "other", None, why, None, None, now)
    if now is None:
        changed = current.left_out.get(name)
        said = f"its type changed: {changed}" if changed else "the current table has no such column"
        return Judged(name, before.kind, True, said, None, before, None, (said,))
    if before.kind != now.kind:
        said = f"it was a {before.kind} and is a {now.kind}"
        return Judged(name, before.kind, True, said, None, before, now, (said,))
    drift = compare(before, now)
    drifted, because = _verdict(before, now, drift, practical, practical_nulls)
    return Judged(name, before.kind, drifted, because, drift, before, now, tuple(_quality(before, now)))


def _verdict(
    before: Column, now: Column, drift: Drift, practical: float, practical_nulls: float
) -> tuple[bool | None, str]:
    if drift.null_rise - SURE * drift.null_rise_error > practical_nulls:
        return True, f"missing values rose by {drift.null_rise:.1%}"
    if math.isnan(drift.js):
        side = "the reference" if before.filled == 0 else "the current table"
        if before.filled == 0 and now.filled > 0 and -drift.null_rise - SURE * drift.null_rise_error > practical_nulls:
            return True, "the reference holds no value here, the current table does"
        return None, f"{side} holds no value to compare"
    if not isinstance(before.bins, NumberBins) and before.shares[:-1].sum() < SPREAD_OUT:
        return None, "nearly every value is one of its own: an identifier or free text, which has no distribution"
    low, high = drift.js - SURE * drift.js_error, drift.js + SURE * drift.js_error
    if low > practical:
        return True, f"Jensen–Shannon distance {drift.js:.2f}, practical size {practical:g}"
    # below the practical size only where that is shown; the null share has to be shown as well
    unsettled = drift.null_rise + SURE * drift.null_rise_error > practical_nulls
    if high <= practical and not unsettled:
        return False, f"Jensen–Shannon distance {drift.js:.2f}, below the practical size {practical:g}"
    return None, f"too few rows to tell: the distance lies between {max(0.0, low):.2f} and {high:.2f}"


def _quality(before: Column, now: Column) -> list[str]:
    """Return the changes of quality worth a line each, in words."""
    said = []
    was, is_now = before.share_of(before.nulls), now.share_of(now.nulls)
    error = math.sqrt((was * (1 - was) + 1e-9) / before.rows + (is_now * (1 - is_now) + 1e-9) / now.rows)
    if abs(is_now - was) > max(3 * error, 0.2 * was, 0.001):
        said.append(f"nulls {was:.1%} → {is_now:.1%}")
    for what, first, second in (("NaN", before.nans, now.nans), ("infinite", before.infinite, now.infinite)):
        if abs(now.share_of(second) - before.share_of(first)) > ODD or (second > 0) != (first > 0):
            said.append(f"{what} {before.share_of(first):.1%} → {now.share_of(second):.1%}")
    if isinstance(before.bins, NumberBins):
        beyond = now.below_range() + now.above_range()
        range_width = before.bins.high - before.bins.low
        far = _far(before, now, range_width)
        if beyond and (beyond > OUT_OF_RANGE * now.filled or far > FAR):
            said.append(
                f"{now.share_of(beyond):.2%} outside {before.bins.low:.6g} … {before.bins.high:.6g} "
                f"(now {now.low:.6g} … {now.high:.6g})"
            )
    elif before.bins.complete and now.counts[-1] > UNKNOWN_LEVELS * max(now.filled, 1) / 10:
        names = ", ".join(repr(level) for level in list(now.newcomers)[:3])
        said.append(f"{now.share_of(now.counts[-1]):.1%} in levels never seen before" + (f": {names}" if names else ""))
    if now.filled > 1 and _single(now) and not _single(before):
        said.append("every value is now the same")
    return said


def _far(before: Column, now: Column, width: float) -> float:
    assert isinstance(before.bins, NumberBins)
    if not width > 0:
        return 0.0
    return max(before.bins.low - now.low, now.high - before.bins.high, 0.0) / width


def _single(column: Column) -> bool:
    if column.kind == "number":
        return column.low == column.high
    return column.distinct == 1
