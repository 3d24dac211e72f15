"""Probes as registered things: what they read, what they may find, what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sickbay.terms.change import Change
from sickbay.terms.finding import Finding, FindingKind

Load = Literal["none", "light", "heavy"]
Measurement = Iterable[Finding | Change]


@dataclass(frozen=True, slots=True)
class Probe:
    """A small read-only function and what it promises.

    ``seconds`` is the expected cost in seconds, ``deadline`` when it is given up, ``load`` what it costs the
    system it reads. ``sources`` maps parameter name → source kind, e.g. ``{"predictions": "predictions"}``; a parameter
    in ``optional`` is None where the site does not name that source, or it cannot be connected.
    """

    name: str
    run: Callable[..., Measurement]
    findings: tuple[FindingKind, ...]
    seconds: float
    load: Load
    deadline: float
    sources: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    optional: frozenset[str] = frozenset()
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parameter → kinds of source that do as well, where the site does not name the one in ``sources``."""

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind of source that it may read."""
        return frozenset(self.sources.values()).union(*self.instead.values())

    @property
    def says(self) -> str:
        """First sentence of the probe's docstring: what it measures."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]
