"""A service's figures against what they are when it is well, as graded evidence; and where a request's time goes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sickbay.stats.grading import grade

KNOWN_ERROR, UNKNOWN_ERROR = 0.3, 0.8
"""Standard error of the log of a ratio to the service's own healthy figure, and to a figure of services in general."""


def against(now: float, usual: float | None, *, general: float, matters: float, floor: float) -> float:
    """Return the log factor for "this figure is ``matters`` times what is usual" against "it is as usual".

    ``usual`` is the service's own figure when it was well; None takes ``general`` in its place, and teaches less.
    ``floor`` is the size below which differences are of no interest, in the unit of the figure.
    """
    expected = general if usual is None else usual
    ratio = math.log((max(0.0, now) + floor) / (max(0.0, expected) + floor))
    return grade(ratio, UNKNOWN_ERROR if usual is None else KNOWN_ERROR, math.log(matters))


def share(value: float, turning: float, *, steep: float = 12.0, most: float = 3.0) -> float:
    """Return a log factor that is 0 where a share (0…1) is at its turning point, bounded on both sides.

    >>> share(0.9, 0.5) > 2 > -2 > share(0.1, 0.5)
    True
    """
    return max(-most, min(most, steep * (value - turning)))


def added(now: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each part of a request takes longer than usual, in its unit; parts that got faster are 0.

    A part without a usual figure is new as a whole.
    """
    return {name: max(0.0, value - usual.get(name, 0.0)) for name, value in now.items()}
