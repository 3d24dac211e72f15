"""Two sides of features compared without a site file: what differs, and which rule turns one side into the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sickbay.errors import UserError, nearest
from sickbay.sources.apart import Apart
from sickbay.sources.two_sides import open_sides
from sickbay.stats.skew import apart
from sickbay.stats.skew.pairs import EXACT, Tolerance
from sickbay.stats.skew.report import SkewReport, examine


def skew(
    offline: Any,
    online: Any,
    *,
    keys: Sequence[str] | str,
    time: str | None = None,
    online_time: str | None = None,
    history: Any = None,
    events: Any = None,
    features: Sequence[str] | None = None,
    tolerance: Tolerance | float | None = None,
    tolerances: Mapping[str, Tolerance | float] | None = None,
    segments: Sequence[str] = (),
    base: Path | None = None,
    environ: Mapping[str, str] | None = None,
    on_feature: Callable[[str], Any] | None = None,
) -> SkewReport:
    """Return how the offline (training) and the online (serving) values of features differ, and why.

    ``offline``, ``online``, ``history``, ``events``: file, glob, directory, address (``postgresql://…#table``, …), or a
    pandas, Polars, Arrow or Spark table. In one engine all rows are compared there, in several a sample of them (see
    ``sickbay.stats.skew.apart``; the report's ``sampled``). ``keys``: columns that identify an entity. ``time``: the
    offline side's time; with ``online_time`` each online row meets the last offline row at or before it. ``history``:
    the features by entity and time; ``events``: rows they are computed from. ``tolerance``: relative width within which
    numbers count as equal, or a ``Tolerance``; ``tolerances``: the same by feature.
    Raises TableError or SourceError.
    """
    named = [keys] if isinstance(keys, str) else list(keys)
    given = {"offline": offline, "online": online, "history": history, "events": events}
    given = {role: table for role, table in given.items() if table is not None}
    tables = open_sides(given, base=base or Path.cwd(), environ=environ, keys={role: f"--{role}" for role in given})
    try:
        for name in tolerances or {}:
            if name not in tables.types["offline"]:
                there = list(tables.types["offline"])
                hint = nearest(name, there) or f"columns there: {', '.join(there[:20])}"
                raise UserError(f"a tolerance is given for {name!r}, which the offline side does not have", hint=hint)
        sampled, types = None, dict(tables.types)
        if isinstance(tables, Apart):
            sampled = apart.bring(
                tables, keys=named, time=time, online_time=online_time, features=features, segments=segments
            )
        report = examine(
            tables, keys=named, says=tables.says, time=time, online_time=online_time, features=features,
            tolerance=_tolerance(tolerance), tolerances={n: _tolerance(t) for n, t in (tolerances or {}).items()},
            segments=segments, on_feature=on_feature,
        )  # fmt: skip
    finally:
        tables.close()
    notes = sampled.says(report.sides) if sampled is not None else []
    found = tuple(
        replace(f, counts=replace(f.counts, types=(types["offline"][f.name], types["online"][f.name])))
        for f in report.features
    )  # the types that the tables have, where what was carried got others
    return replace(report, features=found, notes=(*tables.notes, *notes, *report.notes), sampled=sampled)


def _tolerance(given: Tolerance | float | None) -> Tolerance:
    if given is None:
        return EXACT
    if isinstance(given, Tolerance):
        return given
    if not 0 <= given < 1:
        raise UserError(f"the tolerance {given} is no share of a value", hint="write for example 1e-6")
    return Tolerance(EXACT.absolute, float(given))
