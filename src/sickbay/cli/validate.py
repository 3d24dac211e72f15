"""``sickbay validate``: the gate between a candidate and production."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sickbay.cli import GATE, NOTHING, options, output
from sickbay.cli.rooms import Door

FILE = click.Path(path_type=Path)


@click.command("validate")
@click.option(
    "--candidate",
    required=True,
    metavar="TABLE",
    help="The candidate's predictions, models:/NAME@ALIAS, or python:module:function.",
)
@click.option("--champion", required=True, metavar="TABLE", help="The same of the model in production.")
@click.option("--data", required=True, metavar="TABLE", help="The labelled rows both are judged on, with the inputs.")
@click.option("--site", metavar="FILE", help="Site file with [model.NAME.gate]; else sickbay.toml, if there is one.")
@click.option("--model", metavar="NAME", help="Which model of the site file, when it names several.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]), help="Else seen from the labels.")
@click.option("--id", "id_", metavar="COLUMN", help="Column that joins predictions and data.")
@click.option("--label", metavar="COLUMN", help="Column of the truth, in the data.")
@click.option("--prediction", metavar="COLUMN", help="Column of the answers.")
@click.option("--score", metavar="COLUMN", help="Column of the scores.")
@click.option(
    "--segment", "segments", multiple=True, metavar="COLUMN", help="Judge its levels by themselves; may be repeated."
)
@click.option("--group", metavar="COLUMN", help="Rows that belong together (a customer): they are not independent.")
@click.option("--metric", metavar="NAME", help="What is compared: auc, accuracy, log_loss, rmse …")
@click.option("--margin", type=click.FloatRange(0), help="The loss that does not matter.")
@click.option("--candidate-artifact", metavar="PATH", help="File or directory of the model, for its size.")
@click.option("--champion-artifact", metavar="PATH", help="The same of the champion.")
@click.option("--junit", metavar="FILE", type=FILE, help="Write JUnit XML.")
@click.option("--markdown", "markdown_file", metavar="FILE", type=FILE, help="Write a summary for a pull request.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    candidate: str,
    champion: str,
    data: str,
    site: str | None,
    model: str | None,
    candidate_artifact: str | None,
    champion_artifact: str | None,
    junit: Path | None,
    markdown_file: Path | None,
    as_json: bool,
    metric: str | None,
    margin: float | None,
    **names: Any,
) -> None:
    """Decide whether a candidate model may replace the one in production.

    The same labelled rows are answered by both. A check passes when a loss that matters is excluded, fails when one is
    shown, and is "not shown" when the data does not tell; then the gate stays shut unless the rules allow it.

    \b
    Example:
      sickbay validate --candidate new.parquet --champion old.parquet --data labelled.parquet --segment country
    """
    from sickbay.gate import writing

    door: Door = ctx.obj
    given = site or _site(door, model)
    if (candidate_artifact is None) != (champion_artifact is None):
        raise click.UsageError("--candidate-artifact and --champion-artifact belong together")
    artifacts = (candidate_artifact, champion_artifact) if candidate_artifact and champion_artifact else None
    verdict = door.rooms.validate(
        candidate, champion, data, site=given, model=model, names=names, metric=metric, margin=margin,
        artifacts=artifacts, environ=door.environ, directory=door.directory,
    )  # fmt: skip
    for path, text in ((junit, writing.junit), (markdown_file, writing.markdown)):
        if path is not None:
            output.write(path, text(verdict))
            output.say(f"written: {path}")
    if as_json:
        output.print_json(verdict.to_dict())
    else:
        from sickbay.report import terminal

        writing.print_verdict(verdict, terminal.console(sys.stdout, door.environ))
    ctx.exit(0 if verdict.passed else GATE if verdict.measured else NOTHING)


def _site(door: Door, model: str | None) -> str | None:
    """Return the site file found here, or None: the gate works without one unless a model of it is named."""
    from sickbay.config import SITE_FILE

    here = door.directory / SITE_FILE
    return str(here) if here.exists() or model else door.environ.get("SICKBAY_SITE")
