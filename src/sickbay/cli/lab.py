"""``sickbay lab``: practice systems that are really broken, and the benchmark on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sickbay.cli import options, output
from sickbay.cli.rooms import Door
from sickbay.errors import UnknownNameError, nearest
from sickbay.report import words

_directory = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("lab"),
    show_default=True,
    help="Where the system lives.",
)


@click.group("lab")
def command() -> None:
    """Break and heal practice systems; benchmark the diagnosis.

    \b
    Example:
      sickbay lab start
      sickbay lab break drop_join --seed 7
      sickbay investigate --site lab/sickbay.toml
      sickbay lab heal
    """


@command.command("list")
@options.as_json
@click.pass_obj
def list_(door: Door, as_json: bool) -> None:
    """List every fault, what it breaks and which cause it produces.

    \b
    Example:
      sickbay lab list
    """
    faults = door.rooms.faults()
    if as_json:
        rows = [{"name": f.name, "says": f.says, "produces": f.produces, "system": f.system} for f in faults.values()]
        output.print_json({"schema": "sickbay.faults/1", "faults": rows})
        return
    for fault in faults.values():
        output.out(f"{fault.name}  ({fault.produces or 'harmless: a control'})")
        output.out(output.wrapped(fault.says, "    "))


@command.command("start")
@click.argument("system", default="fraud")
@_directory
@click.option("--seed", type=int, default=0, show_default=True)
@options.as_json
@click.pass_obj
def start(door: Door, system: str, directory: Path, seed: int, as_json: bool) -> None:
    """Start a healthy practice system in a directory: fraud, flights; or real servers until `lab stop`: tracking, pods.

    \b
    Example:
      sickbay lab start fraud --directory /tmp/lab
      sickbay lab start tracking --directory /tmp/tracking
    """
    lab = door.rooms.start_lab(directory, system=system, seed=seed)
    _done(
        as_json, {"started": system, "site_file": lab.site_file}, f"started {system}; its site file is {lab.site_file}"
    )


@command.command("break")
@click.argument("fault")
@_directory
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same break.")
@click.option("--strength", type=float, help="How hard, 0 to 1.")
@options.as_json
@click.pass_obj
def break_(door: Door, fault: str, directory: Path, seed: int, strength: float | None, as_json: bool) -> None:
    """Break the practice system.

    \b
    Example:
      sickbay lab break drop_join --seed 7 --strength 0.5
    """
    faults = door.rooms.faults()
    if fault not in faults:
        hint = nearest(fault, faults) or "`sickbay lab list` shows them"
        raise UnknownNameError(f"there is no fault called {fault!r}", hint=hint)
    given: dict[str, Any] = {"seed": seed} if strength is None else {"seed": seed, "strength": strength}
    lab = door.rooms.open_lab(directory)
    lab.break_(fault, **given)
    _done(as_json, {"broken": fault, **given}, f"broken: {faults[fault].says}")


@command.command("heal")
@_directory
@options.as_json
@click.pass_obj
def heal(door: Door, directory: Path, as_json: bool) -> None:
    """Undo every break of the practice system.

    \b
    Example:
      sickbay lab heal --directory /tmp/lab
    """
    door.rooms.open_lab(directory).heal()
    _done(as_json, {"healed": True}, "healed")


@command.command("stop")
@_directory
@options.as_json
@click.pass_obj
def stop(door: Door, directory: Path, as_json: bool) -> None:
    """Stop the servers of a practice system that runs.

    \b
    Example:
      sickbay lab stop --directory /tmp/lab
    """
    door.rooms.open_lab(directory).stop()
    _done(as_json, {"stopped": True}, "stopped")


@command.command("bench")
@click.argument("scenario", default="model-degradation")
@click.option(
    "--cases", type=click.IntRange(1), default=200, show_default=True, help="Breaks and controls to diagnose."
)
@click.option("--seed", type=int, default=1000, show_default=True, help="First seed; any number.")
@options.as_json
@click.pass_obj
def bench(door: Door, scenario: str, cases: int, seed: int, as_json: bool) -> None:
    """Break it in many ways, diagnose each, and count how often the diagnosis is right.

    \b
    Example:
      sickbay lab bench model-degradation --cases 40 --seed 7 --json
    """
    done = 0

    def on_case(*_: object) -> None:
        nonlocal done
        done += 1
        if done % 10 == 0 or done == cases:
            output.say(f"{done} of {cases} cases")

    result = door.rooms.bench(scenario, cases=cases, seed=seed, on_case=on_case).to_dict()
    if as_json:
        output.print_json(result)
        return
    figures = [(words.humanised(k), words.number(v)) for k, v in result.items() if isinstance(v, int | float)]
    output.out(output.table(figures))
    missed = [case for case in result.get("cases", []) if _missed(case)]
    for case in missed[:20]:
        ranked = ", ".join(f"{name} {words.percent(p)}" for name, p in case["ranked"][:3])
        output.out(
            f"missed: seed {case['seed']}, truth {', '.join(case['truth']) or 'healthy'}, said {ranked or 'nothing'}"
        )
    if len(missed) > 20:
        output.out(f"and {len(missed) - 20} more")


def _missed(case: dict[str, Any]) -> bool:
    ranked, truth = case["ranked"], case["truth"]
    if not truth:
        return bool(ranked) and ranked[0][1] >= 0.5
    return not ranked or ranked[0][0] not in truth


def _done(as_json: bool, thing: dict[str, Any], text: str) -> None:
    if as_json:
        output.print_json({"schema": "sickbay.lab/1", **thing})
    else:
        output.out(text)
