"""Reads knowledge files: every ``*.toml`` of the packages behind the entry points ``sickbay.knowledge``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sickbay.engine.learning import strength_from_counts
from sickbay.errors import KnowledgeError, nearest
from sickbay.registry import modules
from sickbay.terms.cause import STRENGTHS, Advice, Cause, Knowledge, Link, Question, Scenario
from sickbay.terms.change import CHANGE_KINDS


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Question(_Part):
    asks: str
    answered_by: tuple[str, ...]


class _Scenario(_Part):
    id: str
    title: str
    symptom: str
    says: str
    first: tuple[str, ...] = ()
    question: tuple[_Question, ...] = ()


class _Strength(_Part):
    strength: str
    on: int | None = None
    of: int | None = None
    basis: str = ""


class _Cause(_Part):
    title: str = ""
    says: str
    prior: float = Field(gt=0, lt=1)
    basis: str
    group: str = ""
    shows: dict[str, str | _Strength]
    scaled_by: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    remedies: tuple[str, ...] = ()
    prevention: str = ""
    of: str = ""
    """The scenario that the cause belongs to, where this file only says how it shows itself in its own."""


class _Advice(_Part):
    says: str
    risk: str
    cost: str = ""


class _Pair(_Part):
    causes: tuple[str, str]
    reason: str


class _File(_Part):
    scenario: _Scenario
    cause: dict[str, _Cause] = Field(default_factory=dict)
    remedy: dict[str, _Advice] = Field(default_factory=dict)
    inseparable: tuple[_Pair, ...] = ()


@cache
def load() -> Knowledge:
    """Return everything that the installed knowledge packages say; read once a process."""
    return read(_installed())


def read(files: Iterable[tuple[str, str]]) -> Knowledge:
    """Return the knowledge of (file name, TOML text) pairs.

    Raises KnowledgeError that names the file, the key, and the nearest known name.
    """
    causes: dict[str, Cause] = {}
    scenarios: dict[str, Scenario] = {}
    advice: dict[str, Advice] = {}
    views: dict[str, dict[str, Cause]] = {}
    owners: dict[str, tuple[str, str]] = {}
    places: dict[str, str] = {}
    for name, text in files:
        document = _parse(name, text)
        scenario = document.scenario
        _claim(places, f"scenario {scenario.id}", name)
        pairs = {(min(p.causes), max(p.causes)): p.reason for p in document.inseparable}
        questions = tuple(Question(q.asks, q.answered_by) for q in scenario.question)
        scenarios[scenario.id] = Scenario(
            scenario.id, scenario.title, scenario.symptom, scenario.says, scenario.first, questions, pairs
        )
        for remedy, entry in document.remedy.items():
            _claim(places, f"remedy {remedy}", name)
            advice[remedy] = Advice(remedy, entry.says, entry.risk, entry.cost)
        for cause, known in document.cause.items():
            if known.of:
                views.setdefault(scenario.id, {})[cause] = _cause(name, scenario.id, cause, known)
                owners[cause] = (name, known.of)
                continue
            _claim(places, f"cause {cause}", name)
            causes[cause] = _cause(name, scenario.id, cause, known)
    for cause, (name, owner) in owners.items():
        if cause not in causes or causes[cause].scenario != owner:
            raise KnowledgeError(
                f"{name}: cause.{cause}.of: the scenario {owner} has no cause {cause}",
                hint=explain_missing(cause, causes),
            )
    return Knowledge(causes, scenarios, advice, views)


def _installed() -> list[tuple[str, str]]:
    files = []
    for module in modules("sickbay.knowledge"):
        if hasattr(module, "__path__"):
            found = [f for f in resources.files(module).iterdir() if f.name.endswith(".toml")]
            files += [(f.name, f.read_text(encoding="utf-8")) for f in sorted(found, key=lambda f: f.name)]
    return files


def _parse(name: str, text: str) -> _File:
    try:
        return _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise KnowledgeError(f"the knowledge file {name} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            hint = nearest(str(first["loc"][-1]), [*_Cause.model_fields, *_Scenario.model_fields, *_File.model_fields])
        raise KnowledgeError(f"{name}: {key}: {first['msg']}", hint=hint) from None


def _claim(places: dict[str, str], thing: str, file: str) -> None:
    if thing in places:
        raise KnowledgeError(f"{thing} stands twice: in {places[thing]} and in {file}", hint="rename one of them")
    places[thing] = file


def _cause(file: str, scenario: str, name: str, known: _Cause) -> Cause:
    for kind in known.scaled_by:
        if kind not in CHANGE_KINDS:
            raise KnowledgeError(
                f"{file}: cause.{name}.scaled_by: {kind!r} is no kind of change",
                hint=nearest(kind, CHANGE_KINDS) or f"known: {', '.join(CHANGE_KINDS)}",
            )
    shows = {finding: _link(file, name, finding, link, known.basis) for finding, link in known.shows.items()}
    return Cause(
        id=name,
        says=known.says,
        prior=known.prior,
        basis=known.basis,
        shows=shows,
        remedies=known.remedies,
        prevention=known.prevention,
        scaled_by=known.scaled_by,
        title=known.title or name,
        group=known.group,
        scenario=scenario,
    )


def _link(file: str, cause: str, finding: str, link: str | _Strength, basis: str) -> Link:
    given = _Strength(strength=link) if isinstance(link, str) else link
    if given.strength not in STRENGTHS:
        raise KnowledgeError(
            f"{file}: cause.{cause}.shows.{finding}: {given.strength!r} is no strength",
            hint=nearest(given.strength, STRENGTHS) or f"known: {', '.join(STRENGTHS)}",
        )
    word = STRENGTHS[given.strength]
    if (given.on is None) != (given.of is None):
        raise KnowledgeError(
            f"{file}: cause.{cause}.shows.{finding}: on and of come together", hint="write on = 18, of = 20, or neither"
        )
    if given.on is None or given.of is None:
        return Link(word, given.basis or basis)
    try:
        return Link(
            strength_from_counts(word, given.on, given.of), given.basis or f"{given.on} of {given.of} injections"
        )
    except ValueError as error:
        raise KnowledgeError(f"{file}: cause.{cause}.shows.{finding}: {error}") from None


def explain_missing(name: str, known: Mapping[str, Any]) -> str:
    """Return the nearest known name as a hint, or the list of known ones."""
    return nearest(name, known) or f"known: {', '.join(known) or 'none'}"
