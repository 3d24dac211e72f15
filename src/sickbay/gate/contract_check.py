"""Tables held against a feature contract: types, nulls, ranges, levels, freshness; and what a change would break."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlglot import exp

from sickbay.errors import TableError
from sickbay.gate.contract import Contract, Field, logical
from sickbay.sources.relations import Relation, open_relation

Outcome = Literal["kept", "broken", "unknown"]
MARGIN = 0.5
"""Room that a written contract leaves beyond the range seen, as a share of it."""
LEVELS = 30
WIDENS = {("integer", "number")}
"""Changes of type that every reader of the old type's values survives."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a contract on one side: whether it is kept, and what was seen."""

    side: str
    feature: str
    what: str
    outcome: Outcome
    says: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a table has in one column."""

    type: str
    rows: int
    filled: int
    least: float | None = None
    most: float | None = None
    levels: tuple[str, ...] | None = None


def look(relation: Relation, names: list[str]) -> dict[str, Seen]:
    """Return types, nulls, ranges and levels of columns, by aggregates; a column that is not there is left out."""
    there = [name for name in names if name in relation.types]
    outputs: list[exp.Expression] = [exp.alias_(exp.Count(this=exp.Star()), "n")]
    for i, name in enumerate(there):
        column = exp.column(name, quoted=True)
        outputs.append(exp.alias_(exp.Count(this=column), f"c{i}"))
        if relation.kinds.get(name) == "number":
            number = exp.cast(column, "double")
            outputs += [exp.alias_(exp.Min(this=number), f"l{i}"), exp.alias_(exp.Max(this=number), f"h{i}")]
    raw = relation.query(exp.select(*outputs).from_("rows"))
    found = {}
    for i, name in enumerate(there):
        limits = [_sound(raw[f"{k}{i}"][0]) if f"{k}{i}" in raw else None for k in "lh"]
        levels = _levels(relation, name) if relation.kinds.get(name) == "category" else None
        found[name] = Seen(relation.types[name], int(raw["n"][0]), int(raw[f"c{i}"][0]), limits[0], limits[1], levels)
    return found


def _sound(value: Any) -> float | None:
    return None if value is None or not math.isfinite(float(value)) else float(value)


def _levels(relation: Relation, name: str) -> tuple[str, ...] | None:
    """Return the levels of a column, or None when there are many."""
    column = exp.cast(exp.column(name, quoted=True), "text")
    select = exp.select(exp.alias_(column, "v")).from_("rows").group_by(column.copy()).limit(LEVELS + 1)
    values = [str(v) for v in relation.query(select)["v"].tolist() if v is not None]
    return tuple(sorted(values)) if len(values) <= LEVELS else None


def draft(table: Any, *, name: str, features: list[str] | None, time: str = "", base: Path | None = None) -> Contract:
    """Return a contract that a table keeps, with room beyond the ranges seen; TableError when it has no such column."""
    relation = open_relation(table, base=base or Path.cwd(), key="--offline")
    try:
        wanted = features if features is not None else [n for n in relation.kinds if n != time]
        lacking = [n for n in wanted if n not in relation.types]
        if lacking:
            raise TableError(
                f"{relation.says} has no column {lacking[0]!r}", hint=f"there: {', '.join(relation.types)}"
            )
        seen = look(relation, wanted)
        hours = _age(relation, time)
    finally:
        relation.close()
    fields = {n: _drafted(n, one) for n, one in seen.items()}
    return Contract(
        name, fields, time=time if hours is not None else "", fresh_hours=24.0 if hours is not None else None
    )


def _drafted(name: str, one: Seen) -> Field:
    low, high = one.least, one.most
    if low is not None and high is not None:
        room = MARGIN * (high - low)
        low, high = (0.0 if 0 <= low <= room else low - room), high + room
        low, high = (float(f"{low:.4g}"), float(f"{high:.4g}"))
    share = 1 - one.filled / one.rows if one.rows else 0.0
    nulls = None if one.filled == one.rows else min(1.0, round(1.5 * share + 0.01, 4))
    few = one.levels is not None and len(one.levels) <= 12
    return Field(
        name, logical(one.type), one.type, required=one.filled == one.rows, minimum=low, maximum=high, null_share=nulls,
        values=one.levels if few and one.levels else (), tolerance=1e-6 if logical(one.type) == "number" else None,
    )  # fmt: skip


def _age(relation: Relation, time: str) -> float | None:
    if not time or time not in relation.types:
        return None
    newest = relation.query(exp.select(exp.alias_(exp.Max(this=exp.column(time, quoted=True)), "t")).from_("rows"))[
        "t"
    ][0]
    if newest is None:
        return None
    if hasattr(newest, "astype"):
        newest = newest.astype("datetime64[us]").item()
    if not isinstance(newest, datetime):
        return None
    newest = newest if newest.tzinfo else newest.replace(tzinfo=UTC)
    return (datetime.now(UTC) - newest).total_seconds() / 3600


def check(contract: Contract, tables: Mapping[str, Any], *, base: Path | None = None) -> list[Clause]:
    """Return every clause of a contract on every side (``offline``, ``online``: a table by address or in memory)."""
    clauses: list[Clause] = []
    for side, table in tables.items():
        relation = open_relation(table, base=base or Path.cwd(), key=f"--{side}")
        try:
            seen = look(relation, list(contract.fields))
            for name, wanted in contract.fields.items():
                clauses += _held(side, wanted, seen.get(name))
            if contract.fresh_hours is not None and contract.time in relation.types:
                clauses.append(_fresh(side, contract, _age(relation, contract.time)))
        finally:
            relation.close()
    return clauses


def _held(side: str, wanted: Field, seen: Seen | None) -> list[Clause]:
    name = wanted.name
    if seen is None:
        return [Clause(side, name, "there", "broken", f"there is no column {name!r}")]
    kind = logical(seen.type)
    fits = kind == wanted.type or (kind, wanted.type) in WIDENS
    made = [Clause(side, name, "type", "kept" if fits else "broken", f"{kind} ({seen.type}), {wanted.type} is asked")]
    if not seen.rows:
        return [*made, Clause(side, name, "rows", "unknown", "the table has no rows")]
    share = 1 - seen.filled / seen.rows
    most = wanted.null_share if wanted.null_share is not None else 0.0 if wanted.required else None
    if most is not None:
        kept: Outcome = "kept" if share <= most + 1e-12 else "broken"
        made.append(Clause(side, name, "nulls", kept, f"{share:.2%} are null, at most {most:.2%} may be"))
    for what, limit, value, sign in (
        ("minimum", wanted.minimum, seen.least, 1), ("maximum", wanted.maximum, seen.most, -1),
    ):  # fmt: skip
        if limit is not None and fits:
            if value is None:
                made.append(Clause(side, name, what, "unknown", "the column has no finite number"))
            else:
                inside = (value - limit) * sign >= -1e-9 * max(1.0, abs(limit))
                made.append(
                    Clause(side, name, what, "kept" if inside else "broken", f"{value:g}, the limit is {limit:g}")
                )
    if wanted.values and fits:
        new = None if seen.levels is None else sorted(set(seen.levels) - set(wanted.values))
        said = (
            "more levels than can be listed"
            if new is None
            else f"not listed: {', '.join(new[:5])}"
            if new
            else "all listed"
        )
        made.append(Clause(side, name, "values", "kept" if new == [] else "broken", said))
    return made


def _fresh(side: str, contract: Contract, age: float | None) -> Clause:
    assert contract.fresh_hours is not None
    if age is None:
        return Clause(side, contract.time, "freshness", "unknown", "the time column is empty or no time")
    kept: Outcome = "kept" if age <= contract.fresh_hours else "broken"
    return Clause(side, contract.time, "freshness", kept, f"{age:.1f} h old, {contract.fresh_hours:g} h are allowed")


def migration(
    old: Contract, new: Contract, tables: Mapping[str, Any] | None = None, *, base: Path | None = None
) -> list[Clause]:
    """Return what a proposed contract would break: for readers of the old one on both sides, and for stored rows."""
    clauses = []
    for name, was in old.fields.items():
        now = new.fields.get(name)
        if now is None:
            clauses.append(Clause("both sides", name, "there", "broken", "readers of it find no such column"))
            continue
        wider = (was.type, now.type) in WIDENS
        if was.type != now.type:
            says = f"{was.type} becomes {now.type}" + (": whole numbers remain readable" if wider else "")
            clauses.append(Clause("both sides", name, "type", "kept" if wider else "broken", says))
        if was.required and not now.required:
            clauses.append(Clause("online", name, "nulls", "broken", "nulls reach readers that have met none"))
        for what, first, second, sign in (
            ("minimum", was.minimum, now.minimum, 1), ("maximum", was.maximum, now.maximum, -1),
        ):  # fmt: skip
            if first is not None and (second is None or (first - second) * sign > 0):
                says = f"{first:g} becomes {'none' if second is None else f'{second:g}'}: values the model never met"
                clauses.append(Clause("online", name, what, "broken", says))
        more = sorted(set(now.values) - set(was.values)) if was.values else []
        if was.values and (more or not now.values):
            clauses.append(Clause("online", name, "values", "broken", f"new levels: {', '.join(more) or 'any'}"))
    for name, now in new.fields.items():
        if name not in old.fields and now.required:
            clauses.append(Clause("stored rows", name, "there", "broken", "rows written before have no value of it"))
    for clause in check(new, tables, base=base) if tables else []:
        if clause.outcome != "kept" and clause.what != "freshness":
            clauses.append(
                Clause(f"stored rows, {clause.side}", clause.feature, clause.what, clause.outcome, clause.says)
            )
    return clauses
