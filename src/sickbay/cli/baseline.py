"""``sickbay baseline``: what the services are like while they are well, kept for later comparison."""

from __future__ import annotations

import click

from sickbay.cli import NOTHING, options, output
from sickbay.cli.rooms import Door


@click.command("baseline")
@options.site
@options.as_json
@click.pass_context
def command(ctx: click.Context, /, site: str | None, as_json: bool) -> None:
    """Write down what the services of the site are like while they are well.

    Some seconds of looking, a handful of requests; the file is the one that [system] baseline names. Take it anew after
    each release that is as it should be: latency is judged against it.

    \b
    Example:
      sickbay baseline
    """
    door: Door = ctx.obj
    parts = door.rooms.record_baseline(site, environ=door.environ, directory=door.directory)
    taken = {name: part for name, part in parts.items() if not isinstance(part, str)}
    if as_json:
        output.print_json({"schema": "sickbay.baseline/1", "parts": taken, "missing": {
            name: part for name, part in parts.items() if isinstance(part, str)}})  # fmt: skip
    else:
        for name, part in parts.items():
            output.out(f"{name}: {part}" if isinstance(part, str) else f"{name}: {len(part)} figures")
    ctx.exit(0 if taken else NOTHING)
