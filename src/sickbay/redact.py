"""Secrets leave by no other way: every string that goes out of the product passes through here.

Two nets: values known to be secret (they came from ``env:`` or ``file:`` of the site file) are replaced wherever they
stand, and shapes that are secrets by form (passwords in addresses, bearer tokens, access keys) are replaced unseen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")

MASK = "[redacted]"

_known: set[str] = set()

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?<![a-z0-9+.-])(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@", re.I),
        r"\g<scheme>:" + MASK + "@",
    ),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.I), r"\1 " + MASK),
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (
        re.compile(
            r"(?P<key>(?:password|passwd|pwd|secret|token|(?:api|access|secret|private|account)[_-]?key)\b[\"']?\s*[=:]\s*)"
            r"(?P<quote>[\"']?)[^\s\"',;&)]+(?P=quote)",
            re.I,
        ),
        r"\g<key>" + MASK,
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), MASK),
)


def remember(secret: str) -> None:
    """Note a value as secret, so that it is masked wherever it appears; values under 4 characters are too common."""
    if len(secret) >= 4:
        _known.add(secret)


def redact(text: str) -> str:
    """Return ``text`` with known secrets and secret-shaped parts masked.

    >>> redact("could not reach postgresql://ml:hunter2@db/x")
    'could not reach postgresql://ml:[redacted]@db/x'
    """
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def redact_all(value: T) -> T:
    """Return a copy of a dataclass, mapping or sequence in which every string is redacted."""
    return _walk(value)  # type: ignore[no-any-return]


def _walk(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {_walk(key): _walk(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_walk(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _walk(getattr(value, f.name)) for f in fields(value)})
    return value
