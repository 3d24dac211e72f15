"""What is registered: sources, probes, faults, lab systems and knowledge, by unique name, found by entry points.

Built-ins and plugins come the same way: an entry point in one of the groups ``sickbay.sources``, ``sickbay.probes``,
``sickbay.faults``, ``sickbay.systems``, ``sickbay.knowledge`` names a module or a package. A package is walked, so that
a new file needs no line anywhere. Importing only registers.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from sickbay.errors import PluginError, UnknownNameError, nearest
from sickbay.terms.finding import FindingKind
from sickbay.terms.probe import Load, Measurement, Probe

T = TypeVar("T")


@dataclass
class Shelf(Generic[T]):
    """Registered things of one kind by unique name, loaded on first use from one entry-point group."""

    noun: str
    group: str
    things: dict[str, T] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    loaded: bool = False

    def add(self, name: str, thing: T, where: str) -> None:
        """Register ``thing``; a second thing of that name from another place is a PluginError naming both."""
        if name in self.things and self.places[name] != where:
            raise PluginError(
                f"two {self.noun}s are called {name!r}: one in {self.places[name]}, one in {where}",
                hint="rename one of them",
            )
        self.things[name] = thing
        self.places[name] = where

    def load(self) -> Mapping[str, T]:
        """Import everything the entry points name, once, and return all things by name."""
        if not self.loaded:
            for module in modules(self.group):
                importlib.import_module(module.__name__)
            self.loaded = True
        return dict(sorted(self.things.items()))

    def get(self, name: str) -> T:
        """Return the thing of that name; an unknown name is an UnknownNameError with the nearest known one."""
        things = self.load()
        if name not in things:
            raise UnknownNameError(
                f"there is no {self.noun} called {name!r}",
                hint=nearest(name, things) or f"known: {', '.join(things) or 'none'}",
            )
        return things[name]


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A registered kind of system: its class (``connect``, ``check``) and what it reads, in a sentence."""

    name: str
    cls: type[Any]
    where: str

    @property
    def says(self) -> str:
        """First line of the class's docstring."""
        return (self.cls.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Fault:
    """A registered lab function that breaks a real system and heals it when its generator is resumed."""

    name: str
    run: Callable[..., Any]
    produces: str
    """Cause id, or an empty string for a harmless change (a control)."""
    system: str
    shows_within: float
    where: str

    @property
    def says(self) -> str:
        """First line of the function's docstring: the act that breaks it."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True, slots=True)
class LiveSystem:
    """A registered lab system of servers that really run: how it is started, and the scenario it is broken for."""

    name: str
    start: Callable[..., Any]
    scenario: str
    where: str


SOURCES: Shelf[SourceKind] = Shelf("source", "sickbay.sources")
PROBES: Shelf[Probe] = Shelf("probe", "sickbay.probes")
FAULTS: Shelf[Fault] = Shelf("fault", "sickbay.faults")
SYSTEMS: Shelf[LiveSystem] = Shelf("live lab system", "sickbay.systems")
KINDS: Shelf[FindingKind] = Shelf("finding", "sickbay.probes")


def source(name: str) -> Callable[[type[T]], type[T]]:
    """Register a class as the source of kind ``name``; probes ask for it by annotating a parameter with the class."""

    def register(cls: type[T]) -> type[T]:
        SOURCES.add(name, SourceKind(name, cls, place(cls)), place(cls))
        return cls

    return register


def probe(
    *,
    findings: Sequence[FindingKind],
    seconds: float,
    load: Load = "light",
    deadline: float | None = None,
    name: str = "",
) -> Callable[[Callable[..., Measurement]], Callable[..., Measurement]]:
    """Register a function as a probe named ``module.function``.

    Positional parameters annotated with a source class are filled with that source (``X | None``: or None, where the
    site does not name it or it cannot be connected; ``X | Y``: the first that the site names); keyword-only parameters
    are options with defaults. ``deadline`` defaults to twenty times ``seconds``, at least 60 s.
    """

    def register(function: Callable[..., Measurement]) -> Callable[..., Measurement]:
        sources = _source_parameters(function)
        called = name or f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        for kind in findings:
            KINDS.add(kind.id, kind, f"probe {called}")
        PROBES.add(
            called,
            Probe(
                name=called,
                run=function,
                findings=tuple(findings),
                seconds=seconds,
                load=load,
                deadline=deadline or max(60.0, 20 * seconds),
                sources={parameter: kinds[0] for parameter, kinds in sources.items()},
                instead={parameter: kinds[1:] for parameter, kinds in sources.items() if kinds[1:]},
                optional=_optional_parameters(function),
                options=_options(function),
                where=place(function),
            ),
            place(function),
        )
        return function

    return register


def fault(
    *, produces: str, system: str, shows_within: float = 0.0
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a generator function as a fault: it breaks the system, yields, and heals when resumed.

    ``produces`` is the cause id, or ``""`` for a harmless change; ``shows_within`` is seconds until the symptom shows.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        called = function.__name__
        FAULTS.add(called, Fault(called, function, produces, system, shows_within, place(function)), place(function))
        return function

    return register


def system(name: str, *, scenario: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register ``start(directory, *, say) -> System`` as the live lab system ``name``; ``lab.live`` states the rest."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        SYSTEMS.add(name, LiveSystem(name, function, scenario, place(function)), place(function))
        return function

    return register


def modules(group: str) -> Iterator[ModuleType]:
    """Yield every module that the entry points of ``group`` name; packages with all their submodules."""
    seen: set[str] = set()
    for point in sorted(entry_points(group=group), key=lambda p: (p.value, p.name)):
        module = importlib.import_module(point.module)
        for found in [module, *_below(module)]:
            if found.__name__ not in seen:
                seen.add(found.__name__)
                yield found


def place(thing: Any) -> str:
    """Return ``module:line`` of a function or class, for messages."""
    try:
        line = inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        line = 0
    return f"{thing.__module__}:{line}"


def _below(module: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(getattr(module, "__path__", []), module.__name__ + "."):
        child = importlib.import_module(info.name)
        yield child
        if info.ispkg:
            yield from _below(child)


def _source_parameters(function: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    kinds = {kind.cls: kind.name for kind in SOURCES.things.values()}
    hints = get_type_hints(function)
    wanted: dict[str, tuple[str, ...]] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            continue
        classes = _classes(hints.get(parameter.name))
        for one in classes:
            if one not in kinds:
                raise PluginError(
                    f"probe {function.__module__}.{function.__name__}: parameter {parameter.name!r} is annotated with "
                    f"{one!r}, which is no registered source",
                    hint=f"registered sources: {', '.join(sorted(kinds.values()))}",
                )
        wanted[parameter.name] = tuple(kinds[one] for one in classes)
    return wanted


def _optional_parameters(function: Callable[..., Any]) -> frozenset[str]:
    hints = get_type_hints(function)
    return frozenset(name for name in _source_parameters(function) if type(None) in get_args(hints[name]))


def _classes(hint: Any) -> list[Any]:
    """Return X and Y of ``X | Y`` and of ``X | Y | None``, else the hint alone."""
    if get_origin(hint) not in (Union, UnionType):
        return [hint]
    return [part for part in get_args(hint) if part is not type(None)]


def _options(function: Callable[..., Any]) -> dict[str, Any]:
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }
