"""``sickbay drift``: two tables compared column by column, without a site file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sickbay.cli import NOTHING, options, output
from sickbay.cli.rooms import Door


@click.command("drift")
@click.option(
    "--reference",
    required=True,
    metavar="TABLE",
    help="What it is compared with: a table, or a profile saved by `sickbay profile`.",
)
@click.option("--current", required=True, metavar="TABLE", help="File, glob, directory or address of the table.")
@click.option("--columns", metavar="A,B", help="Only these columns, separated by commas.")
@click.option(
    "--practical-size",
    "practical",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.1,
    show_default=True,
    help="Jensen–Shannon distance from which a change matters.",
)
@click.option("--html", "html_file", metavar="FILE", type=click.Path(path_type=Path), help="Write an HTML report.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    reference: str,
    current: str,
    columns: str | None,
    practical: float,
    html_file: Path | None,
    as_json: bool,
) -> None:
    """Compare two tables column by column: how far each moved, and whether that matters.

    A table is a file, glob or directory, or an address: postgresql://host/database#schema.table, spark://host:7077#table,
    sc://host#table, chdb://directory#table. The statistics run there; only counts come back.

    \b
    Example:
      sickbay drift --reference train.parquet --current "today/*.parquet" --html drift.html
    """
    from sickbay.report import drift

    door: Door = ctx.obj
    chosen = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    compared = door.rooms.drift(
        reference, current, columns=chosen, practical=practical, base=door.directory, environ=door.environ
    )
    if html_file is not None:
        output.write(html_file, drift.page(compared))
        output.say(f"report: {html_file}")
    if as_json:
        output.print_json(drift.to_dict(compared))
    else:
        from sickbay.report import terminal

        drift.print_comparison(compared, terminal.console(sys.stdout, door.environ))
    ctx.exit(0 if any(judged.drifted is not None for judged in compared.columns) else NOTHING)
