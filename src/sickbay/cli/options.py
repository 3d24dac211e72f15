"""Options that several commands share, worded once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return a length of time such as ``60s``, ``2m`` or ``90`` (seconds) in seconds; to be used as a callback."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", value.strip())
    if not match or not float(match[1]):
        raise click.BadParameter(f"{value!r} is no length of time; write for example 60s or 2m", ctx, param)
    return float(match[1]) * _UNITS[match[2] or ""]


def site(function: F) -> F:
    """Add ``--site FILE``."""
    return click.option(
        "--site", metavar="FILE", help="Site file; otherwise sickbay.toml here, otherwise the one SICKBAY_SITE names."
    )(function)


def as_json(function: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else on stdout.")(
        function
    )


def window(function: F) -> F:
    """Add ``--model``, ``--since`` and ``--until``."""
    for option in (
        click.option("--until", metavar="TIME", help="End of the window (ISO time, UTC unless it says otherwise)."),
        click.option("--since", metavar="TIME", help="Start of the window: 7d, 36h or an ISO time."),
        click.option("--model", metavar="NAME", help="Which model of the site file, when it names several."),
    ):
        function = option(function)
    return function
