"""Probes that misbehave, put on the shelves in place of the real ones.

Argued: a probe that hangs, crashes or lies cannot be had from the real ones at will; the loop, the runner, the
connections and the engine under test are the real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import pytest

from sickbay.investigation import connections, loop, single
from sickbay.registry import Shelf, SourceKind
from sickbay.sources.context import Check, Context
from sickbay.terms.cause import Cause, Knowledge, Link, Question, Scenario
from sickbay.terms.finding import FindingKind
from sickbay.terms.probe import Measurement, Probe


class System:
    """A system that answers, unless told otherwise."""

    fails: Exception | None = None
    connected = 0
    closed = 0

    @classmethod
    def configured(cls, context: Context) -> bool:
        return True

    @classmethod
    def connect(cls, context: Context) -> Self:
        cls.connected += 1
        if cls.fails is not None:
            raise cls.fails
        return cls()

    def check(self) -> list[Check]:
        return [Check("system", True, "answers")]

    def close(self) -> None:
        type(self).closed += 1


class Absent(System):
    """A system that the site does not name."""

    @classmethod
    def configured(cls, context: Context) -> bool:
        return False


class Ward:
    """A catalogue of two causes, a system, and the probes that a test puts there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.system = type("System", (System,), {})
        self.probes: Shelf[Probe] = Shelf("probe", "none", loaded=True)
        self.kinds: Shelf[FindingKind] = Shelf("finding", "none", loaded=True)
        self.sources: Shelf[SourceKind] = Shelf("source", "none", loaded=True)
        self.sources.add("system", SourceKind("system", self.system, "here"), "here")
        self.sources.add("absent", SourceKind("absent", Absent, "here"), "here")
        self.release = threading.Event()
        for module in (loop, single):
            monkeypatch.setattr(module, "PROBES", self.probes)
        monkeypatch.setattr(loop, "KINDS", self.kinds)
        monkeypatch.setattr(connections, "SOURCES", self.sources)
        monkeypatch.setattr(loop.loader, "load", self.knowledge)

    def knowledge(self) -> Knowledge:
        causes = {
            "flood": Cause("flood", "water", 0.1, "test", {"wet": Link(0.95), "cold": Link(0.6)}, scenario="house"),
            "fire": Cause("fire", "flames", 0.1, "test", {"hot": Link(0.95), "smoke": Link(0.85)}, scenario="house"),
        }
        house = Scenario("house", "House", "it smells", "It smells.", (), (Question("Is it wet?", ("wet",)),))
        return Knowledge(causes, {"house": house, "garden": Scenario("garden", "Garden", "weeds", "Weeds.")}, {})

    def probe(
        self,
        name: str,
        run: Callable[..., Measurement],
        *findings: str,
        deadline: float = 5.0,
        seconds: float = 0.01,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        kinds = tuple(FindingKind(finding, f"It is {finding}.") for finding in findings)
        for kind in kinds:
            self.kinds.add(kind.id, kind, f"probe {name}")
        wanted = {"system": "system"} if sources is None else dict(sources)
        self.probes.add(name, Probe(name, run, kinds, seconds, "none", deadline, wanted), name)

    def hang(self, system: Any) -> Iterable[Any]:
        """Hang until the test is over."""
        self.release.wait(30)
        yield from ()


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterable[Ward]:
    """The ward; whatever still hangs is let go at the end."""
    made = Ward(monkeypatch)
    yield made
    made.release.set()
