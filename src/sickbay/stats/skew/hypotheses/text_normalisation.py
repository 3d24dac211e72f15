"""The same text written another way: case, spaces, Unicode form, accents, punctuation."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.table import Array


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _without_punctuation(text: str) -> str:
    return text.translate(str.maketrans("", "", string.punctuation))


def _separators(text: str) -> str:
    return text.replace("-", "_").replace(" ", "_")


WAYS: dict[str, Callable[[str], str]] = {
    "strip": str.strip, "lower": str.lower, "upper": str.upper, "title": str.title, "capitalize": str.capitalize,
    "collapse-spaces": _collapse, "strip+lower": lambda s: s.strip().lower(),
    "strip+upper": lambda s: s.strip().upper(), "strip+title": lambda s: s.strip().title(),
    "NFC": lambda s: unicodedata.normalize("NFC", s),
    "NFD": lambda s: unicodedata.normalize("NFD", s), "NFKC": lambda s: unicodedata.normalize("NFKC", s),
    "without-accents": _plain, "without-accents+lower": lambda s: _plain(s).lower(),
    "without-punctuation": _without_punctuation, "without-spaces": lambda s: "".join(s.split()),
    "underscores": _separators, "underscores+lower": lambda s: _separators(s).lower(),
    "collapse-spaces+lower": lambda s: _collapse(s).lower(),
}  # fmt: skip
"""The simpler ones first: a later one has to explain more."""
ALIKE: dict[str, Callable[[str], str]] = {
    "case": str.casefold, "spaces": _collapse, "case+spaces": lambda s: _collapse(s).casefold(),
    "case+spaces+accents": lambda s: _plain(_collapse(s)).casefold(),
}  # fmt: skip
"""Forms in which both sides become the same though neither is made from the other."""


@hypothesis(
    "text-normalisation",
    kinds=("text",),
    fix="Normalise the text once, before it is stored, with one function that both sides import.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose each way of writing the altered side; last, forms in which both sides are the same."""
    for view in case.views():
        for i, (name, way) in enumerate(WAYS.items()):
            rule = partial(mapped, way=way)
            says = f"the {view.side} text is in the form {name}"
            yield Fit(view.side, {"form": name}, [rule(view.source)], 3.0 + i / 2, says=says, apply=rule)
    view = case.view("online")
    for i, (name, way) in enumerate(ALIKE.items()):
        first, second = mapped(view.source, way), mapped(view.target, way)
        alike = np.array([a is not None and a == b for a, b in zip(first.tolist(), second.tolist(), strict=True)], bool)
        made = view.target.copy()
        made[~alike] = None
        says = f"both sides are the same apart from {name.replace('+', ', ')}"
        yield Fit("online", {"apart_from": name}, [made], 12.0 + i, 2.0, says=says)


def mapped(values: Array, way: Callable[[str], str | None]) -> Array:
    """Return texts through a function, missing ones as they are; each different text is looked at once."""
    done: dict[object, str | None] = {}
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values.tolist()):
        if value not in done:
            done[value] = way(value) if isinstance(value, str) else None
        out[i] = done[value]
    return out
