"""``sickbay explain``: what a name in a report means, and what belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from sickbay.cli import options, output
from sickbay.cli.rooms import Door, Rooms
from sickbay.errors import UnknownNameError, nearest
from sickbay.report import words
from sickbay.terms.cause import STRENGTHS, Cause, Link, Scenario


@click.command("explain")
@click.argument("name")
@options.as_json
@click.pass_obj
def command(door: Door, name: str, as_json: bool) -> None:
    """Say what a cause, finding, probe, fault, scenario or source is.

    \b
    Example:
      sickbay explain data-drift
      sickbay explain features.nulls_jumped --json
    """
    entries = explained(door.rooms, name)
    if as_json:
        output.print_json({"schema": "sickbay.explain/1", "name": name, "entries": entries})
        return
    for index, entry in enumerate(entries):
        if index:
            output.out()
        _print(entry)


def explained(rooms: Rooms, name: str) -> list[dict[str, Any]]:
    """Return every thing of that name as ``{"is": …, "name": …, …}``; raises UnknownNameError with the nearest name."""
    shelves = _shelves(rooms)
    found = [describe(rooms, name) for things, describe in shelves if name in things]
    if not found:
        known = [known for things, _ in shelves for known in things]
        raise UnknownNameError(
            f"nothing is called {name!r}",
            hint=nearest(name, known) or "`sickbay probe list` and `sickbay lab list` help",
        )
    return found


def _shelves(rooms: Rooms) -> list[tuple[Mapping[str, Any], Any]]:
    knowledge = rooms.knowledge()
    return [
        (knowledge.scenarios, _scenario),
        (knowledge.causes, _cause),
        (rooms.kinds(), _finding),
        (rooms.probes(), _probe),
        (knowledge.advice, _advice),
        (rooms.faults(), _fault),
        (rooms.sources(), _source),
    ]


def _cause(rooms: Rooms, name: str) -> dict[str, Any]:
    cause: Cause = rooms.knowledge().causes[name]
    kinds = rooms.kinds()
    links = sorted(cause.shows.items(), key=lambda item: -item[1].strength)
    advice = rooms.knowledge().advice
    return _entry(
        "cause", name, cause.says,
        title=cause.title, scenario=cause.scenario, group=cause.group,
        shows=[_link(finding, link, kinds) for finding, link in links],
        probes=_measured_by(rooms, cause.shows),
        remedies=[f"{r}: {advice[r].says} Risk: {advice[r].risk}." if r in advice else r for r in cause.remedies],
        prevention=cause.prevention,
        prior=f"{words.percent(cause.prior)} before any evidence",
        basis=cause.basis,
        faults=[fault.name for fault in rooms.faults().values() if fault.produces == name],
    )  # fmt: skip


def _link(finding: str, link: Link, kinds: Mapping[str, Any]) -> str:
    said = f": {kinds[finding].says}" if finding in kinds else ""
    return f"{how_often(link.strength)} {finding}{said}"


def how_often(strength: float) -> str:
    """Return the word of a knowledge file nearest to a strength.

    >>> how_often(0.98), how_often(0.55)
    ('always', 'often')
    """
    return min(STRENGTHS, key=lambda word: abs(STRENGTHS[word] - strength))


def _finding(rooms: Rooms, name: str) -> dict[str, Any]:
    kind = rooms.kinds()[name]
    causes = [(c.shows[name], c) for c in rooms.knowledge().causes.values() if name in c.shows]
    causes.sort(key=lambda pair: -pair[0].strength)
    return _entry(
        "finding", name, kind.says,
        group=kind.group if kind.group != name else "",
        unit=kind.unit,
        probes=_measured_by(rooms, [name]),
        causes=[f"{how_often(link.strength)} shown by {cause.id} (basis: {link.basis})" for link, cause in causes],
        leak=f"on without any known cause in {words.percent(kind.leak)} of cases",
    )  # fmt: skip


def _probe(rooms: Rooms, name: str) -> dict[str, Any]:
    probe = rooms.probes()[name]
    return _entry(
        "probe", name, (probe.run.__doc__ or "").strip(),
        findings=[f"{kind.id}: {kind.says}" for kind in probe.findings],
        sources=sorted(probe.kinds),
        options=[f"{key} = {default!r}" for key, default in probe.options.items()],
        cost=f"about {words.duration(probe.seconds)}, load on what it reads: {probe.load}",
        where=probe.where,
    )  # fmt: skip


def _scenario(rooms: Rooms, name: str) -> dict[str, Any]:
    knowledge = rooms.knowledge()
    scenario: Scenario = knowledge.scenarios[name]
    return _entry(
        "scenario", name, scenario.says,
        title=scenario.title,
        symptom=scenario.symptom,
        causes=[f"{c.id}: {c.says}" for c in knowledge.causes.values() if c.scenario == name],
        questions=[question.asks for question in scenario.questions],
        probes=list(scenario.first),
        inseparable=[f"{a} and {b}: {reason}" for (a, b), reason in scenario.inseparable.items()],
    )  # fmt: skip


def _advice(rooms: Rooms, name: str) -> dict[str, Any]:
    advice = rooms.knowledge().advice[name]
    against = [cause.id for cause in rooms.knowledge().causes.values() if name in cause.remedies]
    return _entry("remedy", name, advice.says, risk=advice.risk, cost=advice.cost, against=against)


def _fault(rooms: Rooms, name: str) -> dict[str, Any]:
    fault = rooms.faults()[name]
    produces = fault.produces or "nothing: it is a harmless change, a control"
    return _entry("fault", name, fault.says, produces=produces, system=fault.system, where=fault.where)


def _source(rooms: Rooms, name: str) -> dict[str, Any]:
    source = rooms.sources()[name]
    probes = [probe.name for probe in rooms.probes().values() if name in probe.kinds]
    return _entry("source", name, source.says, probes=probes, where=source.where)


def _measured_by(rooms: Rooms, findings: Iterable[str]) -> list[str]:
    wanted = set(findings)
    return [probe.name for probe in rooms.probes().values() if wanted & {kind.id for kind in probe.findings}]


def _entry(what: str, name: str, says: str, **more: Any) -> dict[str, Any]:
    return {"is": what, "name": name, "says": says, **{key: value for key, value in more.items() if value}}


def _print(entry: Mapping[str, Any]) -> None:
    title = entry.get("title")
    output.out(f"{entry['name']} ({entry['is']}){f': {title}' if title else ''}")
    for paragraph in entry["says"].split("\n\n"):
        output.out(output.wrapped(paragraph, "  "))
    for key, value in entry.items():
        if key in ("is", "name", "says", "title"):
            continue
        if isinstance(value, list):
            output.out(f"  {key}:")
            for item in value:
                output.out(output.wrapped(item, "    "))
        else:
            output.out(output.wrapped(f"{key}: {value}", "  "))
