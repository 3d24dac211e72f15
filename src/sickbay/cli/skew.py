"""``sickbay skew``: the training and the serving values of features compared and explained, without a site file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sickbay.cli import GATE, NOTHING, options, output
from sickbay.cli.rooms import Door

if TYPE_CHECKING:
    from sickbay.stats.skew.pairs import Tolerance


@click.command("skew")
@click.option("--offline", metavar="TABLE", help="Training side: file, glob, directory or address.")
@click.option("--online", metavar="TABLE", help="Serving side.")
@click.option("--keys", metavar="A,B", help="Columns that identify an entity, separated by commas.")
@click.option("--time", metavar="COLUMN", help="Time of the offline rows; also a key where both sides have it.")
@click.option(
    "--online-time",
    metavar="COLUMN",
    help="Time of the online rows: each then meets the last offline row at or before it.",
)
@click.option("--history", metavar="TABLE", help="The features by entity and time, for lags, caches and leaks.")
@click.option("--events", metavar="TABLE", help="Raw events by entity and time, for windows and time zones.")
@click.option("--features", metavar="A,B", help="Only these features; otherwise all columns that both sides have.")
@click.option(
    "--tolerance",
    "tolerances",
    metavar="[FEATURE=]WIDTH",
    multiple=True,
    help="Relative width within which numbers are equal, such as 1e-6, or an absolute one: abs:0.01. Repeatable.",
)
@click.option("--segments", metavar="A,B", help="Offline columns by which the mismatches are counted.")
@click.option("--fail-on-skew", is_flag=True, help="Exit with 1 when a feature differs in a share that matters.")
@click.option("--html", "html_file", metavar="FILE", type=click.Path(path_type=Path), help="Write an HTML report.")
@click.option(
    "--contract",
    "contract_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Check the sides against a feature contract (ODCS) instead.",
)
@click.option("--write", is_flag=True, help="Write the contract from the offline side.")
@click.option(
    "--proposed", metavar="FILE", type=click.Path(path_type=Path), help="A changed contract: say what it breaks."
)
@click.option(
    "--replay",
    "computations",
    metavar="FIRST SECOND",
    nargs=2,
    help="Run two computations on the same inputs instead: file.py:function, module:function, SQL over rows, a .sql "
    "file, or feast:REPOSITORY#VIEW.",
)
@click.option("--inputs", metavar="TABLE", help="Observed rows that --replay starts from and draws others like.")
@click.option(
    "--python",
    "pythons",
    metavar="FILE",
    multiple=True,
    help="Interpreter that runs functions of --replay; given twice, one for each side.",
)
@click.option("--examples", type=click.IntRange(1, 100_000), default=400, help="Inputs that --replay draws.")
@click.option("--run-registry-code", is_flag=True, help="Allow --replay to run code that a Feast registry holds.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    offline: str | None,
    online: str | None,
    keys: str | None,
    time: str | None,
    online_time: str | None,
    history: str | None,
    events: str | None,
    features: str | None,
    tolerances: tuple[str, ...],
    segments: str | None,
    fail_on_skew: bool,
    html_file: Path | None,
    contract_file: Path | None,
    write: bool,
    proposed: Path | None,
    computations: tuple[str, str] | None,
    inputs: str | None,
    pythons: tuple[str, ...],
    examples: int,
    run_registry_code: bool,
    as_json: bool,
) -> None:
    """Compare training and serving values of features, and say which rule turns one into the other.

    A table is a file, glob or directory, or an address as for `sickbay drift`. Tables of one engine are joined there;
    of tables in several a sample of the same entities is compared. Exit codes: 0 compared, 1 with --fail-on-skew when a
    feature is skewed, 2 usage, 3 nothing compared.

    \b
    Example:
      sickbay skew --offline training.parquet --online served.parquet --keys user_id --time ts --html skew.html
      sickbay skew --contract features.odcs.yaml --offline training.parquet --online served.parquet
      sickbay skew --replay training.py:spend "SELECT sum(amount) FROM rows" --inputs transactions.parquet
    """
    door: Door = ctx.obj
    if computations:
        from sickbay.cli import replays

        general, _ = _tolerances(tolerances)
        ctx.exit(
            replays.run(computations, inputs, pythons=pythons, examples=examples, allow_code=run_registry_code,
                        tolerance=None if general is None else general.relative, base=door.directory, as_json=as_json)
        )  # fmt: skip
    if contract_file is not None:
        from sickbay.cli import contracts

        tables = {side: table for side, table in (("offline", offline), ("online", online)) if table is not None}
        ctx.exit(
            contracts.run(contract_file, tables, write=write, proposed=proposed, features=_names(features) or None,
                          time=time, base=door.directory, as_json=as_json)
        )  # fmt: skip
    if offline is None or online is None or keys is None:
        raise click.UsageError(
            "name the two sides and the keys: --offline, --online, --keys; or a --contract, or a --replay"
        )
    from sickbay.report import skew

    general, named = _tolerances(tolerances)
    report = door.rooms.skew(
        offline, online, keys=_names(keys), time=time, online_time=online_time, history=history, events=events,
        features=_names(features) or None, tolerance=general, tolerances=named, segments=_names(segments),
        base=door.directory, environ=door.environ,
    )  # fmt: skip
    if html_file is not None:
        output.write(html_file, skew.page(report))
        output.say(f"report: {html_file}")
    if as_json:
        output.print_json(skew.to_dict(report))
    else:
        from sickbay.report import terminal

        skew.print_report(report, terminal.console(sys.stdout, door.environ))
    if not report.measured:
        ctx.exit(NOTHING)
    ctx.exit(GATE if fail_on_skew and report.skewed else 0)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _tolerances(given: tuple[str, ...]) -> tuple[Tolerance | None, dict[str, Any]]:
    """Return the general tolerance and those by feature."""
    from sickbay.stats.skew.pairs import EXACT, Tolerance

    general, named = None, {}
    for text in given:
        name, mark, width = text.rpartition("=")
        absolute = width.startswith("abs:")
        try:
            number = float(width.removeprefix("abs:"))
        except ValueError:
            number = -1.0
        if not 0 <= number < (float("inf") if absolute else 1.0):
            raise click.UsageError(f"--tolerance {text!r}: write a width such as 1e-6, abs:0.01 or amount=1e-6")
        made = Tolerance(number, EXACT.relative) if absolute else Tolerance(EXACT.absolute, number)
        if mark:
            named[name] = made
        else:
            general = made
    return general, named
