"""What two computations answered, brought to one form and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Raised:
    """A computation raised an exception instead of giving a result; two of one type are the same answer."""

    type: str
    message: str = ""

    def __repr__(self) -> str:
        return f"raised {self.type}" + (f": {self.message}" if self.message else "")


def same(a: Any, b: Any, tolerance: float, *, ordered: bool = True) -> bool:
    """Return whether two answers are the same: numbers within a relative tolerance, nothing equal to nothing.

    One row is the same as its only value, however the column is called. ``ordered``: whether the order of rows counts.
    """
    a, b = plainest(a), plainest(b)
    if _alike(a, b, tolerance):
        return True
    if ordered or not (isinstance(a, list) and isinstance(b, list)):
        return False
    return _alike(sorted(a, key=_place), sorted(b, key=_place), tolerance)


def plainest(value: Any) -> Any:
    """Return an answer without its wrappings: a list of one, a row of one column, an array, a decimal."""
    if hasattr(value, "tolist") and not isinstance(value, str | bytes):
        value = value.tolist()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        made = {str(k): plainest(v) for k, v in value.items()}
        return next(iter(made.values())) if len(made) == 1 else made
    if isinstance(value, list | tuple):
        listed = [plainest(v) for v in value]
        return listed[0] if len(listed) == 1 else listed
    return value


def gone(value: Any) -> bool:
    """Return whether a value is none: None, NaN, or a time that is none."""
    return value is None or (not isinstance(value, list | dict | str) and _unequal(value))


def _unequal(value: Any) -> bool:
    other = value
    return isinstance(value != other, bool) and bool(value != other)


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, Raised) or isinstance(b, Raised):
        return isinstance(a, Raised) and isinstance(b, Raised) and a.type == b.type
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k], tolerance) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_alike(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if gone(a) or gone(b):
        return gone(a) and gone(b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)
    return bool(a == b)


def _place(value: Any) -> str:
    """Return what rows are sorted by: their texts, numbers in nine digits."""
    if isinstance(value, dict):
        return "|".join(f"{k}={_place(v)}" for k, v in sorted(value.items()))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{float(value):.9g}"
    return repr(value)
