"""``sickbay demo``: a real break, its diagnosis and its repair in one go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sickbay.cli import options, output
from sickbay.cli.investigate import as_html, exit_code, show, watched
from sickbay.cli.rooms import Door
from sickbay.errors import UnknownNameError, UserError, nearest
from sickbay.registry import Fault

CAUSES = ("feature-pipeline-broken", "memory-leak")
"""The demo breaks these unless told otherwise: everyone has met them, and the pictures show them."""

NOTICED = 3.0
"""Seconds until somebody looks at a live system that broke: its users have to meet the failure first."""


@click.command("demo")
@click.argument("fault", required=False)
@click.option("--scenario", envvar="SCENARIO", help="Scenario to break and to investigate.")
@click.option("--directory", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same break.")
@click.option("--strength", type=float, help="How hard to break it, 0 to 1.")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path), default=Path("sickbay-report.html"), show_default=True
)
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    fault: str | None,
    scenario: str | None,
    directory: Path,
    seed: int,
    strength: float | None,
    html_file: Path,
    as_json: bool,
) -> None:
    """Break a real system, diagnose it, report, heal it: all in one go.

    FAULT is one of `sickbay lab list`; left out, a feature pipeline is broken.

    \b
    Example:
      sickbay demo
      sickbay demo --html /tmp/report.html --seed 7
    """
    door: Door = ctx.obj
    broken = choose(door, fault, scenario)
    symptom = scenario or door.rooms.live_systems().get(broken.system) or _scenario_of(door, broken.produces)
    lab = _lab(door, directory, seed, broken.system)
    given: dict[str, Any] = {"seed": seed} if strength is None else {"seed": seed, "strength": strength}
    output.say(f"break: {broken.name}: {broken.says}")
    try:
        lab.break_(broken.name, **given)
        if broken.system in door.rooms.live_systems():
            time.sleep(NOTICED)
        output.say(f"investigate: {symptom or 'from the symptoms'}, knowing nothing about the break")
        diagnosis = watched(door, lab.site_file, symptom, quiet=False)
        output.write(html_file, as_html(diagnosis))
    finally:
        output.say("heal: undo the break")
        try:
            lab.heal()
        finally:
            lab.close()
    if as_json:
        output.print_json(diagnosis.to_dict())
    else:
        show(diagnosis, door)
    output.say(f"report: {html_file.resolve()}")
    output.say(f"truth: the fault {broken.name} produces {broken.produces or 'no cause: it is a harmless change'}")
    ctx.exit(exit_code(diagnosis))


def choose(door: Door, name: str | None, scenario: str | None) -> Fault:
    """Return the fault asked for, or the default: a broken feature pipeline, or a first fault of the scenario."""
    faults = door.rooms.faults()
    if name is not None:
        if name not in faults:
            known = ", ".join(faults) or "none"
            raise UnknownNameError(
                f"there is no fault called {name!r}", hint=nearest(name, faults) or f"known: {known}"
            )
        return faults[name]
    harmful = [fault for fault in faults.values() if fault.produces]
    if scenario:
        live = door.rooms.live_systems()
        harmful = [f for f in harmful if (live.get(f.system) or _scenario_of(door, f.produces)) == scenario]
    harmful.sort(key=lambda fault: CAUSES.index(fault.produces) if fault.produces in CAUSES else len(CAUSES))
    if not harmful:
        raise UserError("there is no fault to demonstrate", hint="`sickbay lab list` shows what there is")
    return harmful[0]


def _scenario_of(door: Door, cause: str) -> str | None:
    known = door.rooms.knowledge().causes.get(cause)
    return (known.scenario or None) if known else None


def _lab(door: Door, directory: Path, seed: int, system: str) -> Any:
    if system in door.rooms.live_systems():
        place = directory.with_name(f"{directory.name}-{system}")
        output.say(
            f"lab: start real servers in {place}; the first time their packages are fetched, which takes minutes"
        )
        return door.rooms.hold_lab(place, system=system, seed=seed, say=lambda text: output.say(f"lab: {text}"))
    if directory.exists() and any(directory.iterdir()):
        output.say(f"lab: the system started earlier in {directory}")
        return door.rooms.open_lab(directory)
    output.say(f"lab: start a healthy system in {directory}; the first time takes longest")
    return door.rooms.start_lab(directory, system="fraud", seed=seed)
