"""``sickbay profile``: what a table holds, saved to be compared with later."""

from __future__ import annotations

from pathlib import Path

import click

from sickbay.cli import NOTHING, options, output
from sickbay.cli.rooms import Door


@click.command("profile")
@click.argument("table", metavar="TABLE")
@click.option("-o", "--output", "file", metavar="FILE", type=click.Path(path_type=Path), help="Save the profile here.")
@click.option("--columns", metavar="A,B", help="Only these columns, separated by commas.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, /, table: str, file: Path | None, columns: str | None, as_json: bool) -> None:
    """Profile a table: per column the nulls, range, quantiles and distribution.

    A saved profile is a small file to ship with the model; `sickbay drift --reference FILE` compares with it.

    \b
    Example:
      sickbay profile train.parquet -o train.profile
    """
    from sickbay.report import drift
    from sickbay.stats import profile_file

    door: Door = ctx.obj
    chosen = [name.strip() for name in columns.split(",") if name.strip()] if columns else None
    taken = door.rooms.profile(table, columns=chosen, base=door.directory, environ=door.environ, key="TABLE")
    if file is not None:
        output.write(file, profile_file.dumps(taken))
        output.say(f"profile: {file}")
    if as_json:
        output.print_json(profile_file.to_dict(taken))
    elif file is None:
        output.out(f"{taken.says}: {taken.rows:,.0f} rows")
        lines: list[tuple[str, ...]] = [("column", "kind", "nulls", "distinct", "values")]
        lines += [tuple(line.values()) for line in drift.profile_lines(taken)]
        output.out(output.table(lines))
        for name, why in taken.left_out.items():
            output.out(f"{name}: left out: {why}")
    ctx.exit(0 if taken.rows else NOTHING)
