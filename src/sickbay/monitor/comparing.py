"""Two tables compared without a site file: profiles of both, and a verdict per column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sickbay.errors import TableError, nearest
from sickbay.sources.relations import Relation, open_relation
from sickbay.stats import judging, profile_file, profiling
from sickbay.stats.drift import PRACTICAL_JS
from sickbay.stats.judging import Judged
from sickbay.stats.profile import Profile
from sickbay.terms.window import instant


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both profiles and the verdict per column, in the reference's order."""

    reference: Profile
    current: Profile
    columns: tuple[Judged, ...]
    practical: float
    notes: tuple[str, ...] = ()


def profile(
    table: Any,
    *,
    columns: Sequence[str] | None = None,
    base: Path | None = None,
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
    key: str = "the table",
) -> Profile:
    """Return the profile of a table over bins of its own, to be saved and compared with later.

    ``table``: file, glob, directory, address (``postgresql://…#table``, ``spark://…``, ``sc://…``, ``chdb://…``), or a
    pandas, Polars, Arrow or Spark table. Raises TableError or SourceError.
    """
    relation = open_relation(table, base=base or Path.cwd(), key=key, environ=environ)
    try:
        chosen = relation.only(columns) if columns else list(relation.kinds)
        taken = profiling.reference(relation, chosen)
        return _signed(taken, relation, columns, now)
    finally:
        relation.close()


def drift(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    practical: float = PRACTICAL_JS,
    base: Path | None = None,
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Comparison:
    """Compare two tables column by column; ``reference`` may be a saved profile (a file or a ``Profile``).

    ``practical`` is the Jensen–Shannon distance from which a change matters. Raises TableError or SourceError.
    """
    place = base or Path.cwd()
    notes: list[str] = []
    before = _reference(reference, columns, place, environ, now, notes)
    seen = _from_store(current, place)
    if seen is not None:
        stored = judging.judge(before, seen, list(columns) if columns else None, practical=practical)
        return Comparison(before, seen, tuple(stored), practical)
    if isinstance(current, Profile) or _saved(current, place):
        raise TableError(
            "--current is a saved profile; its bins are its own",
            hint="give the table itself; only the reference can be a profile",
        )
    relation = open_relation(current, base=place, key="--current", environ=environ)
    try:
        for name in columns or ():
            if name not in before.columns and name not in relation.types:
                known = [*before.columns, *relation.types]
                hint = nearest(name, known) or f"columns there: {', '.join(list(before.columns)[:20])}"
                raise TableError(f"neither side has a column {name!r}", hint=hint)
        bins = {n: b for n, b in before.bins.items() if not columns or n in columns}
        alike = {n: b for n, b in bins.items() if relation.kinds.get(n) == before.columns[n].kind}
        taken = profiling.measure(relation, alike)
        after = _signed(taken, relation, None, now)
        after = replace(after, left_out={**_other_kinds(before, relation), **after.left_out})
        notes += relation.notes
    finally:
        relation.close()
    new = [n for n in relation.kinds if n not in before.columns and n not in after.left_out]
    after = replace(after, left_out={**after.left_out, **dict.fromkeys(new, "the reference has no such column")})
    chosen = list(columns) if columns else None
    judged = tuple(judging.judge(before, after, chosen, practical=practical))
    return Comparison(before, after, judged, practical, tuple(notes))


def _other_kinds(before: Profile, relation: Relation) -> dict[str, str]:
    """Return the columns that are of another kind now: a number that became text, or the other way round."""
    return {
        name: f"it was a {column.kind} and is a {relation.kinds[name]} ({relation.types[name]})"
        for name, column in before.columns.items()
        if name in relation.kinds and relation.kinds[name] != column.kind
    }


def _reference(
    given: Any, columns: Sequence[str] | None, base: Path, environ: Mapping[str, str] | None, now: datetime | None,
    notes: list[str],
) -> Profile:  # fmt: skip
    if isinstance(given, Profile):
        return given
    kept = _from_store(given, base)
    if kept is not None:
        return kept
    if _saved(given, base):
        return profile_file.load(base / given, key="--reference")
    relation = open_relation(given, base=base, key="--reference", environ=environ)
    try:
        chosen = [n for n in relation.kinds if not columns or n in columns]
        # the number of different values is not part of any measure of drift, and costs a fifth of the pass
        taken = profiling.reference(relation, chosen, distinct=False)
        notes += relation.notes
        return _signed(taken, relation, columns, now)
    finally:
        relation.close()


def _from_store(given: Any, base: Path) -> Profile | None:
    """Return a period that a monitor has seen: ``watch:FILE#MONITOR@START..END``; None for any other address."""
    if not isinstance(given, str) or not given.startswith("watch:"):
        return None
    match = re.fullmatch(r"watch:(.+)#([^#@]+)@(.+)\.\.(.+)", given)
    if match is None:
        hint = "write watch:.sickbay/watch.db#MONITOR@2026-01-01..2026-01-08"
        raise TableError(f"{given!r} names no period of a monitor", hint=hint)
    if not (base / match[1]).exists():
        raise TableError(f"there is no store {match[1]}", hint="`sickbay watch` keeps it in .sickbay/watch.db")
    from sickbay.monitor.store import Store  # SQLite and what alarms need: a part of the start of every comparison

    store = Store(base / match[1])
    try:
        return store.period(match[2], *(instant(match[i], option=given) for i in (3, 4)))
    finally:
        store.close()


def _saved(given: Any, base: Path) -> bool:
    return isinstance(given, str | Path) and "://" not in str(given) and (
        str(given).endswith((".json", ".profile")) and profile_file.looks_like_profile(base / given)
    )  # fmt: skip


def _signed(taken: Profile, relation: Relation, columns: Sequence[str] | None, now: datetime | None) -> Profile:
    left_out = {n: why for n, why in relation.left_out.items() if not columns or n in columns}
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return replace(taken, says=relation.says, left_out=left_out, taken_at=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
