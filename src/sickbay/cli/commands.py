"""The commands by name; a command's module is imported only when that command is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click

from sickbay import __version__
from sickbay.cli.rooms import Door, Rooms

SUMMARIES: Mapping[str, str] = {
    "demo": "Break a real system, diagnose it, report, heal it: all in one go.",
    "init": "Write a site file from the tables found here.",
    "doctor": "Check that every source of the site can be read.",
    "baseline": "Write down what the services of the site are like while they are well.",
    "investigate": "Find out what is wrong, with the evidence.",
    "drift": "Compare two tables column by column: how far each moved, and whether that matters.",
    "profile": "Profile a table: per column the nulls, range, quantiles and distribution.",
    "skew": "Compare training and serving values of features, and say which rule turns one into the other.",
    "validate": "Decide whether a candidate model may replace the one in production.",
    "watch": "Run the site's monitors, and investigate when one raises an alarm.",
    "dashboards": "Write a Grafana dashboard and Prometheus alert rules for the monitors.",
    "probe": "List the probes, or run one.",
    "explain": "Say what a cause, finding, probe, fault, scenario or source is.",
    "lab": "Break and heal practice systems; benchmark the diagnosis.",
}
"""Repeated here, so that the overview needs none of the commands' modules; a test compares them with the commands."""


class Lazy(click.Group):
    """A group whose commands live in modules of their own, named ``sickbay.cli.<command>``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order a newcomer needs them."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name, or None."""
        if cmd_name not in SUMMARIES:
            return None
        command = import_module(f"sickbay.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, and name the nearest command when there is none of that name."""
        from sickbay.errors import nearest

        if args and args[0] not in SUMMARIES and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; {nearest(args[0], SUMMARIES) or 'see sickbay --help'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sickbay")
@click.pass_context
def sickbay(ctx: click.Context) -> None:
    """Find out why a production ML system is sick, and prove it with numbers.

    \b
    Start here:
      sickbay demo              see a diagnosis of a real break
      sickbay init              describe your own system
      sickbay investigate       find out what is wrong with it

    Exit codes: 0 done, 1 a gate failed, 2 usage or site file wrong, 3 nothing could be measured.
    """
    if ctx.obj is None:
        ctx.obj = Door(Rooms(), dict(os.environ), Path.cwd())
