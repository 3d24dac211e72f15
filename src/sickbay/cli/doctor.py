"""``sickbay doctor``: what of the site can be read."""

from __future__ import annotations

import click

from sickbay.cli import NOTHING, options, output
from sickbay.cli.rooms import Door


@click.command("doctor")
@options.site
@click.option("--model", metavar="NAME", help="Which model of the site file, when it names several.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, /, site: str | None, model: str | None, as_json: bool) -> None:
    """Check that every source of the site can be read.

    Nothing is changed anywhere. Exit code 3: nothing can be read; 2: the site file is wrong.

    \b
    Example:
      sickbay doctor --site production.toml
    """
    door: Door = ctx.obj
    checks = door.rooms.doctor(site, model=model, environ=door.environ, directory=door.directory)
    failed = sum(not check.ok for check in checks)
    if as_json:
        output.print_json({"schema": "sickbay.doctor/1", "ok": bool(checks) and not failed, "checks": [*checks]})
    else:
        output.out(output.table([("ok" if c.ok else "FAILED", c.what, c.detail) for c in checks]))
        output.out(
            "The site file names nothing to read."
            if not checks
            else f"{failed} of {len(checks)} checks failed."
            if failed
            else f"All {len(checks)} checks passed."
        )
    ctx.exit(0 if failed < len(checks) else NOTHING)
