"""``sickbay investigate``: from a symptom to causes with probabilities and reasons."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sickbay.cli import INTERRUPTED, NOTHING, options, output
from sickbay.cli.rooms import Door
from sickbay.terms.diagnosis import Diagnosis


@click.command("investigate")
@click.argument("scenario", required=False)
@options.site
@options.window
@click.option(
    "--budget",
    metavar="LENGTH",
    callback=options.seconds,
    default="60s",
    show_default=True,
    help="Longest time to spend: 90s, 2m.",
)
@click.option(
    "--mode",
    type=click.Choice(["gentle", "balanced", "fast"]),
    default="balanced",
    show_default=True,
    help="Fewest probes, or most at once.",
)
@click.option("--html", "html_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the HTML report.")
@click.option("--markdown", "markdown_file", metavar="FILE", type=click.Path(path_type=Path), help="Write Markdown.")
@options.as_json
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    scenario: str | None,
    site: str | None,
    html_file: Path | None,
    markdown_file: Path | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Find out what is wrong, with the evidence.

    SCENARIO is the symptom you arrive with, such as model-degradation; left out, the symptoms decide.
    Ctrl-C stops the measuring and prints what is known.

    \b
    Example:
      sickbay investigate model-degradation --since 14d --html report.html
    """
    door: Door = ctx.obj
    diagnosis = watched(door, site, scenario, quiet=quiet, **asked)
    for path, text in ((html_file, as_html), (markdown_file, as_markdown)):
        if path is not None:
            output.write(path, text(diagnosis))
            if not quiet:
                output.say(f"report: {path}")
    if as_json:
        output.print_json(diagnosis.to_dict())
    else:
        show(diagnosis, door)
    ctx.exit(exit_code(diagnosis))


def watched(door: Door, site: str | Path | None, scenario: str | None, *, quiet: bool, **asked: Any) -> Diagnosis:
    """Return the diagnosis, with progress on stderr unless ``quiet``."""
    from sickbay.cli.progress import Progress

    progress = None if quiet else Progress(sys.stderr, door.environ)
    try:
        return door.rooms.investigate(
            site, scenario, on_event=progress, environ=door.environ, directory=door.directory, **asked
        )
    finally:
        if progress is not None:
            progress.close()


def show(diagnosis: Diagnosis, door: Door) -> None:
    """Print the report on stdout."""
    from sickbay.report import terminal

    terminal.print_diagnosis(diagnosis, terminal.console(sys.stdout, door.environ))


def as_html(diagnosis: Diagnosis) -> str:
    """Return the HTML report."""
    from sickbay.report import html

    return html.render(diagnosis)


def as_markdown(diagnosis: Diagnosis) -> str:
    """Return the Markdown report."""
    from sickbay.report import markdown

    return markdown.render(diagnosis)


def exit_code(diagnosis: Diagnosis) -> int:
    """Return 3 when nothing was measured, 130 when the user stopped it, otherwise 0."""
    if diagnosis.stopped == "interrupted":
        return INTERRUPTED
    return 0 if any(finding.status == "measured" for finding in diagnosis.findings) else NOTHING
