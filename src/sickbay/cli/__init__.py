"""The command line: a thin door over the same operations, and the outermost place where errors are reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sickbay.errors import SickbayError, SourceError

if TYPE_CHECKING:
    from sickbay.cli.rooms import Door

GATE, USAGE, NOTHING, INTERNAL, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 70, 130, 141
"""Exit codes besides 0: a gate failed, usage or site file, nothing measured, a defect, Ctrl-C, reader gone."""


def main(arguments: Sequence[str] | None = None, door: Door | None = None) -> int:
    """Run one command and return its exit code; every error becomes a message on stderr, never a bare traceback.

    ``door`` puts other rooms behind the commands; left out, the real ones.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail at 3 AM
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments), door)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away; the flush at interpreter exit must not complain about it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except SickbayError as error:
        _say(str(error), error.hint)
        return NOTHING if isinstance(error, SourceError) else USAGE
    except Exception as error:  # noqa: BLE001  the outermost door: everything is reported, nothing is swallowed
        return _defect(error)
    return code


def _run(arguments: list[str], door: Door | None) -> int:
    import click

    from sickbay.cli.commands import sickbay

    try:
        result = sickbay.main(args=arguments, prog_name="sickbay", standalone_mode=False, obj=door)
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except SystemExit:
        raise BrokenPipeError from None  # click leaves this way for one reason only: the reader is gone
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return result if isinstance(result, int) else 0


def _say(message: str, hint: str = "") -> None:
    from sickbay.redact import redact

    print(redact(f"sickbay: {message}"), file=sys.stderr)
    if hint:
        print(redact(f"  hint: {hint}"), file=sys.stderr)


def _defect(error: Exception) -> int:
    import traceback

    if os.environ.get("SICKBAY_DEBUG"):
        from sickbay.redact import redact

        print(redact("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    first = (str(error).splitlines() or [""])[0]
    _say(
        f"this is a defect in sickbay: {type(error).__name__}: {first}".rstrip(": "),
        "" if os.environ.get("SICKBAY_DEBUG") else "run it again with SICKBAY_DEBUG=1 for the traceback, and report it",
    )
    return INTERNAL
