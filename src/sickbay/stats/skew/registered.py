"""What a hypothesis is: an id, the kinds of feature it speaks of, and how it proposes fits; found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sickbay.errors import PluginError
from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.explanation import IDS
from sickbay.stats.skew.pairs import FeatureKind

Propose = Callable[[Case], Iterable[Fit]]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A registered way in which one side of a feature becomes the other.

    ``timing``: the value is a right one of another moment; a few late rows are no fault. ``fix``: what to do.
    ``told_by``: the observation that tells it from others that fit as well. ``last``: it speaks of what the rest left.
    """

    id: str
    kinds: tuple[FeatureKind, ...]
    propose: Propose
    fix: str
    timing: bool
    told_by: str
    last: bool


_FOUND: dict[str, Hypothesis] = {}


def hypothesis(
    id: str,
    *,
    kinds: Sequence[FeatureKind],
    fix: str,
    timing: bool = False,
    told_by: str = "",
    last: bool = False,
) -> Callable[[Propose], Propose]:
    """Register a function from a case to fits as the hypothesis ``id``; a second one of that id is a PluginError."""

    def register(function: Propose) -> Propose:
        if id not in IDS:
            raise PluginError(f"there is no hypothesis {id!r} in the contract", hint=f"ids: {', '.join(IDS)}")
        if id in _FOUND and _FOUND[id].propose.__module__ != function.__module__:
            raise PluginError(f"two hypotheses are called {id!r}", hint="rename one of them")
        _FOUND[id] = Hypothesis(id, tuple(kinds), function, fix, timing, told_by, last)
        return function

    return register


def hypotheses() -> Mapping[str, Hypothesis]:
    """Return every hypothesis by id; every file of the package ``hypotheses`` is one."""
    from sickbay.stats.skew import hypotheses as package

    if len(_FOUND) < len(IDS):
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            importlib.import_module(info.name)
    return {id: _FOUND[id] for id in IDS if id in _FOUND}
