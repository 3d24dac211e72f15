"""Guesses which column of a prediction log plays which role, from names, types and a few rows, and says how sure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

SURE, LIKELY, GUESS = "sure", "likely", "a guess"

_EXACT = {
    "timestamp": r"ts|time|timestamp|datetime|event_time|scored_at|predicted_at|prediction_time|created_at|date",
    "prediction": r"prediction|pred|predicted|y_pred|yhat|y_hat|predicted_(class|label|value)|decision",
    "score": r"(model_|prediction_|y_)?(score|prob|proba|probability)|confidence",
    "label": r"label|target|y|y_true|actual|truth|ground_truth|outcome|actual_\w+|true_\w+",
    "version": r"model_version|version|model_ver|deployment|release",
    "arm": r"arm|ab_arm|variant|ab_variant|ab_group|experiment_arm|experiment_group|treatment",
    "status": r"status|status_code|http_status|response_code|response_status",
    "latency": r"latency|latency_(ms|s|us|seconds)|duration_ms|elapsed_ms|response_(ms|time_ms|time)|took_ms",
    "id": r"id|request_id|prediction_id|event_id|transaction_id|row_id|uuid",
}
_PART = {
    "timestamp": r"time|date|_at$|_ts$|^ts_",
    "prediction": r"pred",
    "score": r"score|prob",
    "label": r"label|target|truth|^is_|_actual$",
    "version": r"version",
    "arm": r"variant|(^|_)arm$",
    "status": r"status",
    "latency": r"latency|duration|elapsed",
    "id": r"_id$|uuid",
}
_SEGMENT = (
    r"country|region|state|city|channel|segment|device|platform|product|tier|category|language|market|currency|os"
)
# A role is given away in this order: a column named prediction_score is a score, not a prediction.
_ORDER = ("timestamp", "latency", "status", "version", "arm", "score", "prediction", "label", "id")


@dataclass(frozen=True, slots=True)
class Guess:
    """A column with its role's certainty (``sure``, ``likely``, ``a guess``) and the reason."""

    column: str
    sure: str
    why: str


def roles(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Guess]:
    """Return role → guess; ``types`` are SQL type names, ``rows`` a sample; a role nothing fits is left out."""
    free = {name: (types[i], [row[i] for row in rows]) for i, name in enumerate(names)}
    found: dict[str, Guess] = {}
    for role in _ORDER:
        best = min(
            (
                (rank, name)
                for name, (kind, values) in free.items()
                if (rank := _rank(role, name, kind, values)) is not None
            ),
            default=None,
        )
        if best is not None:
            rank, name = best
            found[role] = Guess(name, (SURE, LIKELY, GUESS)[rank], _why(role, rank))
            del free[name]
    return found


def segments(
    names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]], taken: set[str]
) -> dict[str, Guess]:
    """Return the columns worth slicing by: text with a handful of values, or a name that says so; at most five."""
    found: dict[str, Guess] = {}
    for i, name in enumerate(names):
        known = [row[i] for row in rows if row[i] is not None]
        distinct = len(set(map(str, known)))
        named = re.search(rf"(^|_)({_SEGMENT})($|_)", name.lower()) is not None
        if name in taken or not known or not 2 <= distinct <= 30:
            continue
        if named and not _is(types[i], "float"):
            found[name] = Guess(name, LIKELY, f"the name, and {distinct} values in the sample")
        elif _is(types[i], "text") and distinct <= max(2, len(known) // 5):
            found[name] = Guess(name, GUESS, f"text with {distinct} values in the sample")
    return dict(sorted(found.items(), key=lambda item: item[1].sure != LIKELY)[:5])


def task(names: Sequence[str], rows: Sequence[Sequence[Any]], found: dict[str, Guess]) -> Guess:
    """Return ``binary``, ``multiclass`` or ``regression`` and the reason, from the labels or else the predictions."""
    for role in ("label", "prediction"):
        if role not in found:
            continue
        column = found[role].column
        at = list(names).index(column)
        values = [row[at] for row in rows if row[at] is not None]
        distinct = set(values)
        if not distinct:
            continue
        shown = f"{column} has {len(distinct)} values in the sample"
        if len(distinct) <= 2:
            return Guess("binary", LIKELY, shown)
        if all(isinstance(value, str) for value in distinct) or (_whole(values) and len(distinct) <= 20):
            return Guess("multiclass", LIKELY, shown)
        return Guess("regression", LIKELY, f"{column} holds numbers of many sizes")
    return Guess("binary", GUESS, "no label or prediction to tell it from")


def _rank(role: str, name: str, kind: str, values: list[Any]) -> int | None:
    """Return 0 (sure), 1 (likely), 2 (a guess) or None: name and values must agree for the better ranks."""
    fits = _fits(role, kind, [value for value in values if value is not None])
    if fits is False:
        return None
    lower = name.lower()
    if re.fullmatch(_EXACT[role], lower):
        return 0 if fits else 1
    if re.search(_PART[role], lower):
        return 1 if fits else 2
    return 2 if role == "timestamp" and _is(kind, "time") else None


def _fits(role: str, kind: str, values: list[Any]) -> bool | None:
    """Return whether type and values suit the role; None when there are no values to judge by."""
    if role == "timestamp":
        return _is(kind, "time") or _is(kind, "integer") or (bool(values) and all(map(_instant, values)))
    if role == "latency":
        return _is(kind, "number") and all(value >= 0 for value in values)
    if role == "score":
        return _is(kind, "float") and all(-1e-9 <= value <= 1 + 1e-9 for value in values if value == value)
    if role in ("arm", "version", "status"):
        return (len(set(map(str, values))) <= 50) if values else None
    if role == "id":
        return len(set(map(str, values))) == len(values) if values else None
    return not _is(kind, "time") and (bool(values) or None)


def _is(kind: str, family: str) -> bool:
    upper = kind.upper()
    integer = re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT", upper) is not None
    floating = upper.startswith(("FLOAT", "DOUBLE", "REAL", "DECIMAL", "NUMERIC"))
    return {
        "time": upper.startswith(("TIMESTAMP", "DATE")),
        "integer": integer,
        "float": floating,
        "number": integer or floating,
        "text": upper.startswith(("VARCHAR", "TEXT", "STRING", "ENUM", "CHAR")),
    }[family]


def _instant(value: Any) -> bool:
    if isinstance(value, date):
        return True
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return not str(value).isdigit()


def _whole(values: list[Any]) -> bool:
    return all(isinstance(value, int) or (isinstance(value, float) and value.is_integer()) for value in values)


def _why(role: str, rank: int) -> str:
    return (
        "its name, and its values fit",
        f"its name is like that of a {role}" if role != "arm" else "its name is like that of an arm",
        "its type" if role == "timestamp" else "part of its name",
    )[rank]
