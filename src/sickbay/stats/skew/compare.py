"""Two tables of the same features compared where they are: one join, one row of counts, then a bounded sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlglot import exp

from sickbay.stats.skew.pairs import EXACT, FeatureKind, Pairs, Tolerance
from sickbay.stats.table import Array

MISMATCHES = 20_000
"""Mismatching pairs per feature that leave the engine at most (about; chosen by a hash of the keys)."""


class Tables(Protocol):
    """Tables of one engine: ``offline``, ``online``, perhaps ``history``; ``types[table][column]`` as it names them."""

    @property
    def types(self) -> Mapping[str, Mapping[str, str]]: ...  # noqa: D102

    @property
    def dialect(self) -> str: ...  # noqa: D102

    def query(self, select: exp.Expression) -> dict[str, Array]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows of both sides; ``duplicated``: keys occur more than once, set aside; ``keyless``: a key is null."""

    offline_rows: int
    online_rows: int
    matched: int
    offline_only: int
    online_only: int
    offline_duplicated: int = 0
    online_duplicated: int = 0
    offline_keyless: int = 0
    online_keyless: int = 0


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """One feature over all matched pairs; ``first`` and ``last``: time of the first and last mismatch, in seconds.

    ``entities``: about how many entities a mismatch concerns. ``types``: the engine's, offline and online.
    """

    name: str
    kind: FeatureKind
    types: tuple[str, str]
    pairs: int
    mismatched: int
    offline_null: int = 0
    online_null: int = 0
    first: float | None = None
    last: float | None = None
    entities: int | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Counts per side and per feature, the sampled pairs of the features that differ, and what is to be noted."""

    sides: Sides
    features: tuple[FeatureCounts, ...]
    pairs: Mapping[str, Pairs] = field(default_factory=dict)
    segments: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def compare(
    tables: Tables,
    *,
    keys: Sequence[str],
    time: str | None = None,
    online_time: str | None = None,
    as_of: bool = False,
    features: Sequence[str] | None = None,
    tolerance: Tolerance = EXACT,
    tolerances: Mapping[str, Tolerance] | None = None,
    segments: Sequence[str] = (),
    sample: int = MISMATCHES,
) -> Compared:
    """Return how far the two sides agree, per feature, and a sample of the pairs that do not.

    ``time`` (the offline side's) and ``online_time``: with ``as_of`` each online row meets the last offline row at or
    before it; else both are keys like the others when both are given. Raises TableError for keys that are not there.
    """
    raise NotImplementedError
