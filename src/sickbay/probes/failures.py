"""What an error of a task speaks for: chains of exceptions first, text only as a fall-back; data in failures.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from sickbay.sources.airflow_records import LogLine, Raised, traceback_chain

TELLING = 2.0
"""Weight of a signature that needs no second opinion from the exceptions around it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One known way of failing.

    It fits a link of a chain whose type is among ``types`` (any, where empty), whose text has ``pattern``, in a chain
    whose frames pass ``through`` and some link of which is of a type in ``within``. A signature without types also fits
    text.
    """

    id: str
    speaks_for: str
    types: frozenset[str]
    pattern: re.Pattern[str] | None
    through: re.Pattern[str] | None
    within: frozenset[str]
    weight: float
    example: Mapping[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Match:
    """The signature that fits, and the words that it was found in."""

    signature: Signature
    said: str


@cache
def catalogue() -> tuple[Signature, ...]:
    """Return all signatures, in the order they are tried."""
    text = (resources.files("sickbay.probes") / "failures.toml").read_text(encoding="utf-8")
    return tuple(_signature(entry) for entry in tomllib.loads(text)["signature"])


def of_chain(chain: Sequence[Raised]) -> Match | None:
    """Return what a chain speaks for: its root cause decides; where that says little, the first link that says more."""
    files = "\n".join(frame[0] for link in chain for frame in link.frames)
    types = {link.type for link in chain}
    matches = [
        Match(one, said(link))
        for link in reversed(chain)
        if (one := next((s for s in catalogue() if link.type in s.types and _fits(s, link.value, files, types)), None))
    ]
    if matches:
        return next((match for match in matches if match.signature.weight >= TELLING), matches[0])
    for link in reversed(chain):
        found = of_text(link.value)
        if found is not None:
            return found
    return None


def of_text(text: str) -> Match | None:
    """Return what a line of text speaks for, by the signatures that need no type."""
    for one in catalogue():
        if not one.types and one.pattern is not None and one.pattern.search(text):
            return Match(one, " ".join(text.split())[:300])
    return None


def of_log(lines: Iterable[LogLine], known: Collection[str] = ()) -> Match | None:
    """Return what a task's log speaks for: the last chain in it, else its last telling line.

    ``known``: lines that a good run wrote too, and which therefore tell of no failure.
    """
    kept = list(lines)
    for line in reversed(kept):
        found = of_chain(line.raised) if line.raised else None
        if found is not None:
            return found
    written = traceback_chain("\n".join(line.text for line in kept))  # of a process that the task started
    usual = bool(written) and any(line.endswith(said(written[-1])) for line in known)
    found = of_chain(written) if written and not usual else None
    if found is not None:
        return found
    for line in reversed(kept):
        if not line.raised and line.text not in known and line.level in ("", "warning", "error", "critical"):
            found = of_text(line.text)
            if found is not None:
                return found
    return None


def said(link: Raised) -> str:
    """Return an exception as Python prints it, in one line."""
    return f"{link.type}: {' '.join(link.value.split())}"[:300] if link.value else link.type


def own(chain: Sequence[Raised]) -> tuple[str, int, str] | None:
    """Return the last frame of a chain in the user's own code (file, line, function); None if nowhere."""
    found = [
        frame
        for link in chain
        for frame in link.frames
        if "site-packages" not in frame[0] and "/lib/python" not in frame[0] and not frame[0].startswith("<frozen")
    ]
    return found[-1] if found else None


def place(chain: Sequence[Raised]) -> str:
    """Return where in the user's own code a chain passed last: file, line, function; empty if nowhere."""
    frame = own(chain)
    return f"{frame[0].rpartition('/')[2]}:{frame[1]} in {frame[2]}" if frame else ""


def _fits(one: Signature, value: str, files: str, types: set[str]) -> bool:
    return (
        (one.pattern is None or one.pattern.search(value) is not None)
        and (one.through is None or one.through.search(files) is not None)
        and (not one.within or bool(one.within & types))
    )


def _signature(entry: Mapping[str, object]) -> Signature:
    def pattern(key: str) -> re.Pattern[str] | None:
        return re.compile(str(entry[key])) if key in entry else None

    def names(key: str) -> frozenset[str]:
        given = entry.get(key, [])
        return frozenset(map(str, given)) if isinstance(given, list) else frozenset()

    example, weight = entry["example"], entry.get("weight", 4.2)
    assert isinstance(example, dict)
    assert isinstance(weight, int | float)
    return Signature(
        str(entry["id"]), str(entry["speaks_for"]), names("types"), pattern("pattern"), pattern("through"),
        names("within"), float(weight), example, str(entry["source"]),
    )  # fmt: skip
