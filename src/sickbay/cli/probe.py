"""``sickbay probe``: the probes, and one of them run by hand."""

from __future__ import annotations

import ast
from typing import Any

import click

from sickbay.cli import NOTHING, options, output
from sickbay.cli.rooms import Door
from sickbay.errors import UnknownNameError, UserError, nearest
from sickbay.report import words
from sickbay.terms.change import Change
from sickbay.terms.finding import Finding
from sickbay.terms.probe import Probe
from sickbay.terms.wire import finding_to_dict


@click.group("probe")
def command() -> None:
    """List the probes, or run one.

    \b
    Example:
      sickbay probe list
      sickbay probe run features.nulls --since 7d
    """


@command.command("list")
@options.as_json
@click.pass_obj
def list_(door: Door, as_json: bool) -> None:
    """List every probe, what it measures and what it costs.

    \b
    Example:
      sickbay probe list --json
    """
    probes = door.rooms.probes()
    if as_json:
        output.print_json({"schema": "sickbay.probes/1", "probes": [_described(p) for p in probes.values()]})
        return
    for name, probe in probes.items():
        output.out(f"{name}  ({words.duration(probe.seconds)}, load: {probe.load})")
        output.out(output.wrapped(probe.says, "    "))


@command.command("run")
@click.argument("name")
@options.site
@options.window
@click.option("--option", "given", multiple=True, metavar="KEY=VALUE", help="Option of the probe; may be repeated.")
@options.as_json
@click.pass_context
def run(
    ctx: click.Context, /, name: str, site: str | None, given: tuple[str, ...], as_json: bool, **asked: Any
) -> None:
    """Run one probe and print its findings.

    \b
    Example:
      sickbay probe run features.nulls --option columns=amount
    """
    door: Door = ctx.obj
    probe = _known(door, name)
    chosen = chosen_options(probe, given)
    things = door.rooms.run_probe(name, site, options=chosen, environ=door.environ, directory=door.directory, **asked)
    findings = [thing for thing in things if isinstance(thing, Finding)]
    changes = [thing for thing in things if isinstance(thing, Change)]
    if as_json:
        output.print_json(
            {
                "schema": "sickbay.probe/1",
                "probe": name,
                "findings": [finding_to_dict(finding) for finding in findings],
                "changes": changes,
            }
        )
    else:
        _print(door, findings, changes)
    ctx.exit(NOTHING if findings and all(f.status == "unknown" for f in findings) else 0)


def chosen_options(probe: Probe, given: tuple[str, ...]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` pairs as the probe's options, in the type of their defaults; errors name the nearest key."""
    chosen: dict[str, Any] = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--option {pair!r} is not KEY=VALUE")
        if key not in probe.options:
            known = ", ".join(probe.options) or "none"
            hint = nearest(key, probe.options) or f"options it has: {known}"
            raise UnknownNameError(f"the probe {probe.name} has no option {key!r}", hint=hint)
        chosen[key] = _typed(text, probe.options[key], f"option {key} of {probe.name}")
    return chosen


def _typed(text: str, default: Any, what: str) -> Any:
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text.capitalize() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        value = text
    wanted = (int, float) if isinstance(default, int | float) and not isinstance(default, bool) else type(default)
    if default is not None and not isinstance(value, wanted):
        raise UserError(f"{what} is {text!r}, but it is like {default!r}")
    return value


def _print(door: Door, findings: list[Finding], changes: list[Change]) -> None:
    kinds = door.rooms.kinds()
    for finding in findings:
        kind = kinds.get(finding.id)
        states = finding.says or (kind.says if kind else "") or words.humanised(finding.id)
        if finding.status == "unknown":
            output.out(f"unknown    {finding.id}: {words.clean(finding.reason or 'no reason given')}")
        else:
            state = "found    " if finding.on else "not found"
            output.out(f"{state}  {finding.id} ({words.log_odds(finding.log_ratio)})")
            output.out(output.wrapped(words.sentence(states), " " * 11))
    for change in changes:
        output.out(f"change     {words.moment(change.at)}  {change.kind}: {words.clean(change.subject)}")
    if not findings and not changes:
        output.out("The probe reported nothing.")


def _known(door: Door, name: str) -> Probe:
    probes = door.rooms.probes()
    if name not in probes:
        raise UnknownNameError(
            f"there is no probe called {name!r}",
            hint=nearest(name, probes) or "`sickbay probe list` shows them",
        )
    return probes[name]


def _described(probe: Probe) -> dict[str, Any]:
    return {
        "name": probe.name,
        "says": probe.says,
        "seconds": probe.seconds,
        "load": probe.load,
        "sources": sorted(probe.kinds),
        "findings": [kind.id for kind in probe.findings],
        "options": dict(probe.options),
    }
