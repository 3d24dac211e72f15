"""Whether keys identify rows, the cheap way of the embedded engine: a bit per whole number, or distinct hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from sickbay.errors import SourceError

if TYPE_CHECKING:
    from sickbay.stats.skew.compare import Tables
    from sickbay.stats.skew.joining import Keys

WHOLE = ("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger")
WIDEST = 2**29
"""Range of whole numbers that a bit each is kept for: 64 MB a thread."""


def count(tables: Tables, keys: Keys, side: int, empty: exp.Expression) -> tuple[int, int, int] | None:
    """Return rows, 0, and rows without a key (where ``empty`` holds); None when keys may occur more than once.

    Both ways are exact where they answer: equal keys share their bit and their hash, so as many bits or hashes as rows
    are as many keys.
    """
    table = ("offline", "online")[side]
    unkeyed = exp.Case().when(empty.copy(), exp.convert(1)).else_(exp.convert(0))
    outputs = [
        exp.alias_(exp.Count(this=exp.Star()), "n"),
        exp.alias_(exp.Sum(this=unkeyed), "keyless"),
        exp.alias_(_bits(tables, keys, side) or _hashes(keys, side, empty), "keys"),
    ]
    try:
        raw = tables.query(exp.select(*outputs).from_(table))
    except SourceError:  # a file whose own statistics are wrong: a value lies outside them
        return None
    rows, keyless, distinct = (whole(raw[name][0]) for name in ("n", "keyless", "keys"))
    return (rows, 0, keyless) if distinct == rows - keyless else None


def _bits(tables: Tables, keys: Keys, side: int) -> exp.Expression | None:
    """Return the number of distinct keys by a bit each; None where the keys are not whole numbers close together."""
    named = keys.named(side)
    table = ("offline", "online")[side]
    if len(named) > 1 or tables.types[table][keys.entity[0]].lower() not in WHOLE:
        return None
    key = named[0][1]
    ends = [exp.alias_(exp.Min(this=key), "low"), exp.alias_(exp.Max(this=key.copy()), "high")]
    raw = tables.query(exp.select(*ends).from_(table))
    if any(raw[end][0] is None or raw[end][0] != raw[end][0] for end in ("low", "high")):
        return None
    low, high = (int(raw[end][0]) for end in ("low", "high"))
    if high - low >= WIDEST:
        return None
    bits = exp.Anonymous(this="bitstring_agg", expressions=[key.copy(), exp.convert(low), exp.convert(high)])
    return exp.Anonymous(this="bit_count", expressions=[bits])


def _hashes(keys: Keys, side: int, empty: exp.Expression) -> exp.Expression:
    hashed = exp.Anonymous(this="hash", expressions=[expression for _, expression in keys.named(side)])
    keyed = exp.Case().when(exp.Not(this=exp.Paren(this=empty.copy())), hashed)
    return exp.Count(this=exp.Distinct(expressions=[keyed]))


def whole(value: object) -> int:
    """Return one number of an engine's answer; a sum over no rows, which is null, is 0."""
    return 0 if value is None or value != value else int(value)  # type: ignore[call-overload]
