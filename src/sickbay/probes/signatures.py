"""The catalogue of signatures: what a line of a log or a message of an error means; data, in ``signatures.toml``."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Signature:
    """One known way of failing: what it is called, how it reads, a line that really stood somewhere, and its source."""

    id: str
    pattern: re.Pattern[str]
    example: str
    source: str


@cache
def catalogue() -> tuple[Signature, ...]:
    """Return all signatures."""
    text = (resources.files("sickbay.probes") / "signatures.toml").read_text(encoding="utf-8")
    return tuple(
        Signature(entry["id"], re.compile(entry["pattern"]), entry["example"], entry["source"])
        for entry in tomllib.loads(text)["signature"]
    )


def meanings(text: str) -> list[str]:
    """Return the ids of all signatures that a line or message carries."""
    return [one.id for one in catalogue() if one.pattern.search(text)]


def counted(lines: Iterable[str]) -> Counter[str]:
    """Return how many lines carry each signature."""
    return Counter(name for line in lines for name in meanings(line))
