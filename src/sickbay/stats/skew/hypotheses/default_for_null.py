"""A default stands where the other side has nothing, or instead of a value that was not found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from sickbay.stats.skew.case import Case, Fit, View, modes, separated, shorten
from sickbay.stats.skew.pairs import missing
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Array


@hypothesis(
    "default-for-null",
    kinds=("number", "boolean", "time", "text"),
    fix="Fill missing values in the feature itself, alike on both sides; a default that is also a value hides outages.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose the commonest value of the altered side where the other is missing, and where it is not."""
    for view in case.views():
        empty = missing(view.source) & ~missing(view.target)
        if empty.sum() >= 3:
            for default, share in _commonest(view, empty):
                if share >= 0.3:
                    made = _filled(view, empty, default)
                    says = f"{_said(case, default)} stands where the {_other(view)} side has no value"
                    parameters = {"default": default, "instead_of": "null"}
                    yield Fit(view.side, parameters, [made], 16.0, by_values=True, says=says)
        there = view.both
        if there.sum() < 5:
            continue
        for default, share in _commonest(view, there):
            held = there & _same(view.target, default)
            values = view.source[held]
            if share < 0.03 or len(set(values.tolist())) < 4 or _bound(case, view, default, values):
                continue
            if case.numeric and separated(values, view.source[there & ~held]):
                continue
            made = _filled(view, there, default)
            says = f"{_said(case, default)} stands instead of the {_other(view)} side's values"
            if (empty & _same(view.target, default)).sum() >= 3:
                everywhere = _filled(view, ~missing(view.target), default)
                both = {"default": default, "instead_of": "null and values"}
                yield Fit(view.side, both, [everywhere], 24.0, weak=case.kind != "number", by_values=True, says=says)
            parameters = {"default": default, "instead_of": "values"}
            yield Fit(
                view.side, parameters, [made], 24.0, weak=case.kind != "number", by_values=True,
                regardless=case.numeric, says=says,
            )  # fmt: skip


def _commonest(view: View, where: Array) -> list[tuple[object, float]]:
    values = view.target[where]
    if values.dtype.kind == "f":
        found = [shorten(value) for value in modes(values, relative=1e-8, fewest=3, most=2)]
        return [(value, float(np.mean(_same(values, value)))) for value in found]
    counted: dict[object, int] = {}
    for value in values.tolist():
        counted[value] = counted.get(value, 0) + 1
    top = sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))[:2]
    return [(value, n / len(values)) for value, n in top if n >= 3]


def _same(values: Array, default: object) -> Array:
    if values.dtype.kind == "f":
        return np.asarray(np.isclose(values, float(default), rtol=1e-9, atol=1e-12))  # type: ignore[arg-type]
    return np.array([v == default for v in values.tolist()], dtype=bool)


def _filled(view: View, where: Array, default: object) -> Array:
    made = (
        np.full(len(view.target), np.nan) if view.target.dtype.kind == "f" else np.full(len(view.target), None, object)
    )
    made[where] = default
    return made


def _bound(case: Case, view: View, default: object, values: Array) -> bool:
    """Return whether the constant may as well be a bound: inside the range, and all that it replaced lies beyond it."""
    if not case.numeric:
        return False
    everything = np.concatenate((view.source, view.equal))
    everything = everything[np.isfinite(everything)]
    above, below = float(np.mean(everything > default)), float(np.mean(everything < default))
    one_side = np.mean(values > default) > 0.98 or np.mean(values < default) > 0.98
    inner = below if np.mean(values > default) > 0.5 else above
    return bool(one_side and inner >= 0.02)


def _other(view: View) -> str:
    return "offline" if view.side == "online" else "online"


def _said(case: Case, default: object) -> str:
    if case.kind == "time" and isinstance(default, float) and abs(default) < 2e11:
        return datetime.fromtimestamp(default, UTC).isoformat().replace("+00:00", "Z")
    return f"{default:g}" if isinstance(default, float) else repr(default)
