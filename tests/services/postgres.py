"""A PostgreSQL server of the tests' own: the lab's, in a directory of its own, gone afterwards."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sickbay.lab.systems import postgres


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server and give its address, ``postgresql://…/postgres``."""
    with tempfile.TemporaryDirectory(prefix="sickbay-tests-") as directory:
        started = postgres.start(Path(directory))
        try:
            yield started.address
        finally:
            started.stop()
