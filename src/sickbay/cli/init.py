"""``sickbay init``: a site file written from the tables that are there, with every guess marked as one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sickbay.cli import columns, options, output
from sickbay.cli.rooms import Door
from sickbay.errors import SickbayError, UserError

SITE = "sickbay.toml"
_TABLES = (".parquet", ".csv", ".csv.gz")
_LOG = r"predict|inference|serving|production|prod|scor|current|live|log|recent"
_REFERENCE = r"reference|train|baseline|valid|accept|holdout|test"
ROLES = ("timestamp", "prediction", "score", "label", "version", "arm", "status", "latency", "id")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A table that was found: its address for the site file, and what a look inside showed."""

    address: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@click.command("init")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--output", "target", type=click.Path(path_type=Path), default=Path(SITE), show_default=True)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@options.as_json
@click.pass_obj
def command(door: Door, paths: tuple[Path, ...], target: Path, force: bool, as_json: bool) -> None:
    """Write a site file from the tables found here.

    PATHS are Parquet or CSV files, or directories of them; left out, the current directory is searched.

    \b
    Example:
      sickbay init data/predictions data/reference.parquet
    """
    place = door.directory / target
    if place.exists() and not force:
        raise UserError(f"{target} exists already", hint="--force overwrites it; --output FILE writes another")
    given = [door.directory / path for path in paths] or [door.directory]
    found = [table for address in addresses(given) if (table := _look(door, address, place.parent)) is not None]
    if not found:
        raise UserError(
            "no Parquet or CSV table was found", hint="name the files or directories: sickbay init data/predictions"
        )
    log, reference = choose(found)
    text = site_file(log, reference, door.directory.resolve().name or "my system")
    output.write(place, text)
    if as_json:
        guesses = columns.roles(log.names, log.types, log.rows)
        output.print_json({"schema": "sickbay.init/1", "site": str(target), "predictions": log.address,
                           "reference": reference.address if reference else None, "columns": guesses})  # fmt: skip
        return
    output.out(f"wrote {target}: predictions from {log.address}")
    output.out("next: check the guesses in it, then `sickbay doctor`")


def addresses(places: Sequence[Path]) -> list[Path]:
    """Return files, globs and directories of tables: several files of one kind, or partitions, count as one table."""
    result: list[Path] = []
    for place in places:
        if place.is_file():
            result.append(place)
            continue
        for directory in [place, *sorted(p for p in place.rglob("*") if p.is_dir() and _open(p, place))][:200]:
            if any(child.is_dir() and "=" in child.name for child in directory.iterdir()):
                result.append(directory)  # partitioned: date=2026-01-05/… and its like
            result += _in(directory)
    return sorted(set(result))


def choose(found: Sequence[Candidate]) -> tuple[Candidate, Candidate | None]:
    """Return the likeliest prediction log, and the table it is best compared with, if any."""
    ranked = sorted(found, key=lambda table: (-_like_a_log(table), table.address))
    log = ranked[0]
    others = [t for t in ranked[1:] if re.search(_REFERENCE, t.address.lower()) and _shared(t, log) >= 0.5]
    return log, max(others, key=lambda table: _shared(table, log), default=None)


def site_file(log: Candidate, reference: Candidate | None, name: str) -> str:
    """Return the text of the site file: valid TOML, each guess with a comment that says how sure it is."""
    roles = columns.roles(log.names, log.types, log.rows)
    task = columns.task(log.names, log.rows, roles)
    slices = columns.segments(log.names, log.types, log.rows, {guess.column for guess in roles.values()})
    lines = [
        "# Written by `sickbay init`. What stands behind # says how sure each guess is; correct what is wrong,",
        "# then run `sickbay doctor`.",
        "",
        "[system]",
        f"name = {_quoted(name)}",
        "",
        "[model.main]",
        f"task = {_quoted(task.column)}  # {task.sure}: {_comment(task.why)}",
        f"predictions = {_quoted(log.address)}",
        f"reference = {_quoted(reference.address)}  # likely: its name, and the columns it shares"
        if reference
        else '# reference = "…"  # nothing found: the table the model was trained or accepted on',
        *_segment_lines(slices),
        "",
        "[model.main.columns]",
        *(_role_line(role, roles) for role in ROLES),
    ]
    return "\n".join(lines) + "\n"


def _segment_lines(slices: Mapping[str, columns.Guess]) -> list[str]:
    if not slices:
        return ['# segments = ["…"]  # nothing found: columns to compare performance by']
    reasons = "; ".join(f"{name}, {guess.sure}: {guess.why}" for name, guess in slices.items())
    return [f"segments = [{', '.join(map(_quoted, slices))}]  # {_comment(reasons)}"]


def _role_line(role: str, roles: Mapping[str, columns.Guess]) -> str:
    guess = roles.get(role)
    if guess is None:
        return f'# {role} = "…"  # no column looks like it'
    return f"{role} = {_quoted(guess.column)}  # {guess.sure}: {guess.why}"


def _look(door: Door, address: Path, base: Path) -> Candidate | None:
    try:
        names, types, rows = door.rooms.peek(address)
    except SickbayError as error:
        output.say(f"left out {address.name}: {error}")
        return None
    shown = address.resolve()
    text = shown.relative_to(base.resolve()) if shown.is_relative_to(base.resolve()) else shown
    return Candidate(text.as_posix(), tuple(names), tuple(types), tuple(tuple(row) for row in rows))


def _in(directory: Path) -> list[Path]:
    files = sorted(path for path in directory.iterdir() if path.is_file() and path.name.endswith(_TABLES))
    result: list[Path] = []
    for ending in _TABLES:
        same = [path for path in files if path.name.endswith(ending)]
        numbered = {re.sub(r"[\d_.-]+", "", path.name) for path in same}
        # part-0.parquet, part-1.parquet … are one table; train.csv beside live.csv are two
        result += [directory / f"*{ending}"] if len(same) > 1 and len(numbered) == 1 else same
    return result


def _open(directory: Path, below: Path) -> bool:
    parts = directory.relative_to(below).parts
    return len(parts) <= 3 and not any(
        part.startswith((".", "__")) or part == "node_modules" or "=" in part for part in parts
    )


def _like_a_log(table: Candidate) -> float:
    roles = columns.roles(table.names, table.types, table.rows)
    points = {"prediction": 3.0, "score": 2.0, "timestamp": 2.0, "label": 1.0, "version": 1.0, "latency": 1.0}
    total = sum(points.get(role, 0.5) for role in roles)
    address = table.address.lower()
    return total + 3 * bool(re.search(_LOG, address)) - 3 * bool(re.search(_REFERENCE, address))


def _shared(one: Candidate, other: Candidate) -> float:
    return len(set(one.names) & set(other.names)) / max(1, min(len(one.names), len(other.names)))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
