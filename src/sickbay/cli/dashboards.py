"""``sickbay dashboards``: what Grafana and Prometheus need to show and alert on the monitors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sickbay.cli import options, output


@click.command("dashboards")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@options.as_json
def command(directory: Path, as_json: bool) -> None:
    """Write a Grafana dashboard and Prometheus alert rules for the monitors.

    \b
    Example:
      sickbay dashboards monitoring/
    """
    from sickbay.monitor import dashboards

    if as_json:
        output.print_json({"grafana": dashboards.grafana(), "rules": dashboards.rules()})
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("sickbay-grafana.json", json.dumps(dashboards.grafana(), indent=2) + "\n"),
        ("sickbay-rules.yml", dashboards.rules_yaml()),
    ):
        output.write(directory / name, text)
        output.out(f"written: {directory / name}")
