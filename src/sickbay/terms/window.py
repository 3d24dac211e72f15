"""Lengths of time and instants as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sickbay.errors import UserError

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_LENGTH = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*$")


def length(text: str, *, option: str) -> timedelta:
    """Return a length of time from ``90m``, ``36h``, ``7d``, ``60s``, ``2w``; UserError with an example otherwise.

    >>> length("36h", option="--since").total_seconds()
    129600.0
    """
    match = _LENGTH.match(text)
    if match is None:
        raise UserError(f"{option}: {text!r} is no length of time", hint="write 90m, 36h or 7d")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise UserError(f"{option}: {text!r} is too long", hint="write 90m, 36h or 7d") from None


def instant(text: str, *, option: str) -> datetime:
    """Return an instant in UTC from ISO 8601; without a zone it is taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{option}: {text!r} is neither an instant nor a length of time",
            hint="write 2026-01-05T03:00Z, 2026-01-05, or 7d",
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def since(value: str | datetime | timedelta | None) -> datetime | timedelta | None:
    """Return where the current rows begin: a length of time, an instant, or None."""
    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if _LENGTH.match(value):
        return length(value, option="--since")
    return instant(value, option="--since")


def until(value: str | datetime | None) -> datetime | None:
    """Return where the current rows end: an instant, or None."""
    if value is None or isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
    return instant(value, option="--until")


def budget(value: str | float | timedelta | None) -> float | None:
    """Return a time budget in seconds from ``60s``, a number of seconds, or a timedelta."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = (
            float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else length(value, option="--budget").total_seconds()
        )
    else:
        seconds = float(value)
    if not seconds >= 0:
        raise UserError(f"--budget: {value!r} is no time", hint="write 60s or 5m")
    return seconds
