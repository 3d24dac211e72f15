"""What the faults of the nightly pipeline share: the night is run as the scheduler does, and has to fail for real."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from sickbay.lab.systems.nightly import Pipeline
from sickbay.lab.systems.processes import LabError


def spoilt(system: Pipeline, undo: Callable[[], object], *, until: Callable[[], bool] | None = None) -> Iterator[None]:
    """Run the night on what was broken, and heal by ``undo``; LabError when the night succeeds all the same.

    ``until`` says when it is bad enough, for a night that does not end or does not begin.
    """
    try:
        system.night(until=until)
        if until is None and system.state != "failed":
            raise LabError(f"the night was to fail and is {system.state!r}: {system.tasks()}")
    except LabError:
        undo()
        raise
    yield
    undo()


def quiet(system: Pipeline, undo: Callable[[], object]) -> Iterator[None]:
    """Run the night with a harmless change in force; LabError when it fails."""
    try:
        system.night()
        if system.state != "success":
            raise LabError(f"the night was to succeed and is {system.state!r}: {system.tasks()}")
    except LabError:
        undo()
        raise
    yield
    undo()


def after(seconds: float) -> Callable[[], bool]:
    """Return a condition that holds once some seconds have gone by: for a run that never begins."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
