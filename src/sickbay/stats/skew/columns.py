"""What is compared with what: the kinds of both sides' columns, and the expressions that make them comparable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from sickbay.stats import bins
from sickbay.stats.skew.pairs import EXACT, WHOLE, FeatureKind, Tolerance

ColumnKind = Literal["whole", "number", "boolean", "time", "text", "nested", "other"]
_INTEGERS = ("int", "serial")
_NUMBERS = ("float", "double", "real", "decimal", "numeric", "number")
_TEXTS = ("char", "text", "string", "enum", "uuid", "name")


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of both sides: its kind in the comparison and the engine's types, offline and online."""

    name: str
    kind: FeatureKind
    types: tuple[str, str]
    kinds: tuple[ColumnKind, ColumnKind]
    note: str = ""


def kind_of(engine_type: str) -> ColumnKind:
    """Return what an engine's type holds.

    >>> kind_of("BIGINT"), kind_of("timestamp with time zone"), kind_of("STRUCT(a INTEGER)")
    ('whole', 'time', 'nested')
    """
    plain = engine_type.lower()
    while plain.startswith(("nullable(", "lowcardinality(")):
        plain = plain.partition("(")[2].removesuffix(")")
    if plain.endswith("]") or plain.startswith(("array", "map", "struct", "list", "tuple", "json", "row(", "union")):
        return "nested"
    if plain.startswith("bool"):
        return "boolean"
    if plain.startswith(("timestamp", "date")):
        return "time"
    if plain.startswith(("time", "interval")):
        return "other"
    if any(word in plain for word in _NUMBERS):
        return "number"
    if any(word in plain for word in _INTEGERS) or plain in ("long", "short", "byte"):
        return "whole"
    return "text" if any(word in plain for word in _TEXTS) else "other"


def zoned(engine_type: str) -> bool:
    """Return whether a type of times carries a zone: its values are instants."""
    plain = engine_type.lower()
    return ("time zone" in plain and "without" not in plain) or "timestamptz" in plain


def pair_up(name: str, types: tuple[str, str], *, try_cast: bool) -> Feature | str:
    """Return how a feature is compared, or in words why it cannot be."""
    first, second = kind_of(types[0]), kind_of(types[1])
    kinds = {first, second}
    for kind, engine_type in zip((first, second), types, strict=True):
        if kind in ("nested", "other"):
            return f"a column of type {engine_type} cannot be compared value by value; take its parts apart first"
    differing = f"the type differs: {types[0]} offline, {types[1]} online" if first != second else ""
    if kinds <= {"whole", "number"}:
        return Feature(name, "number", types, (first, second))
    if len(kinds) == 1:
        return Feature(
            name, "time" if first == "time" else "boolean" if first == "boolean" else "text", types, (first, second)
        )
    if kinds <= {"whole", "number", "boolean"}:
        return Feature(name, "number", types, (first, second), differing)
    if "time" in kinds and not ("text" in kinds and try_cast):
        return differing
    if "text" in kinds and try_cast and not kinds & {"boolean"}:
        return Feature(name, "time" if "time" in kinds else "number", types, (first, second), differing)
    return Feature(name, "text", types, (first, second), differing)


def width(types: tuple[str, str], asked: Tolerance) -> Tolerance:
    """Return how far apart values of these types may be: whole numbers not at all, unless it is asked for."""
    return WHOLE if asked == EXACT and {kind_of(one) for one in types} == {"whole"} else asked


def value(feature: Feature, side: int) -> exp.Expression:
    """Return the expression of a feature's value in its table."""
    column = exp.column(feature.name, quoted=True)
    kind = feature.kinds[side]
    if feature.kind == "number":
        if kind == "boolean":
            return _truth(column, exp.Literal.number("1.0"), exp.Literal.number("0.0"))
        if kind == "text":
            return exp.TryCast(this=column, to=exp.DataType.build("double"))
        if feature.kinds == ("whole", "whole") and feature.types[0] == feature.types[1]:
            return column  # a float would make large identifiers alike
        return (
            column if feature.types[side].lower() in ("double", "float8", "double precision") else bins.number(column)
        )
    if feature.kind == "boolean":
        return _truth(column, exp.convert(1), exp.convert(0))
    if feature.kind == "time":
        if kind == "text":
            return exp.TryCast(this=column, to=exp.DataType.build("timestamp"))
        return exp.cast(column, "timestamp")
    if kind == "boolean":
        return _truth(column, exp.Literal.string("true"), exp.Literal.string("false"))
    return exp.cast(column, "text") if kind != "text" else column


def key(name: str, kinds: tuple[ColumnKind, ColumnKind], side: int) -> exp.Expression:
    """Return the expression of a key column: as it is when both sides are of one kind, else as text."""
    column = exp.column(name, quoted=True)
    if kinds[0] == kinds[1]:
        return exp.cast(column, "timestamp") if kinds[side] == "time" else column
    return exp.cast(column, "text")


def mismatch(feature: Feature, first: exp.Expression, second: exp.Expression, tolerance: Tolerance) -> exp.Expression:
    """Return 1 where two values differ, else 0: null equals null, NaN counts as null, infinities equal themselves."""
    case = exp.Case().when(exp.EQ(this=first, expression=second), exp.convert(0), copy=False)
    nothing = (first, second)
    if feature.kind == "number" and feature.kinds != ("whole", "whole"):
        apart = exp.Abs(this=exp.Sub(this=first.copy(), expression=second.copy()))
        for one in (first, second):
            allowed = exp.Add(
                this=bins.real(tolerance.absolute),
                expression=exp.Mul(this=bins.real(tolerance.relative), expression=exp.Abs(this=one.copy())),
            )
            # below, not at: an infinite distance is never below an infinite width
            near = exp.And(this=exp.LT(this=apart.copy(), expression=allowed), expression=bins.finite(one))
            case = case.when(near, exp.convert(0), copy=False)
        gone, lost = (exp.Paren(this=exp.Or(this=_null(v), expression=_not_a_number(v))) for v in nothing)
    elif feature.kind == "number" and (tolerance.absolute >= 1 or tolerance.relative > 1e-9):
        apart = exp.Abs(this=exp.Sub(this=bins.number(first.copy()), expression=bins.number(second.copy())))
        width = exp.Mul(this=bins.real(tolerance.relative), expression=exp.Abs(this=first.copy()))
        allowed = exp.Add(this=bins.real(tolerance.absolute), expression=width)
        case = case.when(exp.LTE(this=apart, expression=allowed), exp.convert(0), copy=False)
        gone, lost = (exp.Paren(this=_null(v)) for v in nothing)
    else:
        gone, lost = (exp.Paren(this=_null(v)) for v in nothing)
    return case.when(exp.And(this=gone, expression=lost), exp.convert(0), copy=False).else_(exp.convert(1), copy=False)


def _truth(column: exp.Expression, yes: exp.Expression, no: exp.Expression) -> exp.Expression:
    return exp.Case().when(column, yes).when(exp.Not(this=column.copy()), no)


def _null(value: exp.Expression) -> exp.Expression:
    return exp.Is(this=value.copy(), expression=exp.Null())


def _not_a_number(value: exp.Expression) -> exp.Expression:
    """Return a condition for NaN: neither finite nor, turned over, zero (as infinity is)."""
    inverse = exp.Div(this=bins.real(1.0), expression=value.copy(), typed=True)
    odd = exp.Not(this=bins.finite(value))
    return exp.Paren(this=exp.And(this=odd, expression=exp.Not(this=exp.EQ(this=inverse, expression=bins.real(0.0)))))
