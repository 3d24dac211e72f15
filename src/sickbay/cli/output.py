"""What the commands write: one JSON object, plain tables, files; everything redacted."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sickbay.errors import UserError
from sickbay.redact import redact, redact_all
from sickbay.terms.wire import plain


def print_json(thing: Any) -> None:
    """Print one JSON object on stdout; ASCII, so that no terminal's encoding can damage it."""
    click.echo(json.dumps(redact_all(plain(thing)), indent=2, allow_nan=False))


def print_line(thing: Any) -> None:
    """Print one JSON object on one line of stdout, at once: a stream that others follow."""
    click.echo(json.dumps(redact_all(plain(thing)), allow_nan=False))


def say(text: str = "") -> None:
    """Print a line of progress on stderr."""
    click.echo(redact(text), err=True)


def out(text: str = "") -> None:
    """Print a line of the result on stdout."""
    click.echo(redact(text))


def table(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Return aligned rows; the last column wraps at the width of the terminal, at most 100 and 80 when unknown."""
    if not rows:
        return ""
    total = min(100, shutil.get_terminal_size((80, 24)).columns)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    start = len(indent) + sum(width + 2 for width in widths)
    if total - start < 24:  # no room beside the names: the last column goes below them
        return "\n".join(f"{indent}{'  '.join(row[:-1])}\n{wrapped(row[-1], indent + '    ', total)}" for row in rows)
    lines = []
    for row in rows:
        head = indent + "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        lines.append((head + wrapped(row[-1], " " * start, total).lstrip()).rstrip())
    return "\n".join(lines)


def wrapped(text: str, indent: str = "", width: int = 0) -> str:
    """Return a paragraph with every line indented."""
    room = width or min(100, shutil.get_terminal_size((80, 24)).columns)
    return textwrap.fill(
        " ".join(text.split()), room, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def write(path: Path, text: str) -> None:
    """Write a file the user asked for; a place that cannot be written is a UserError naming it."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in an existing directory"
        ) from None
