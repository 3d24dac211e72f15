"""When to answer, and when to stop looking for a second fault."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sickbay.engine.belief import Belief

Stage = Literal["open", "answered", "settled"]

CONFIDENT = 0.9
"""Probability from which a cause is believed."""
IN_DOUBT = 0.1
"""Probability from which another cause (or none of these) still stands against an answer."""
SECOND = 0.03
"""Probability that no other cause may keep before the search for a second fault ends (measured: with 10 % instead of
3 % the second of two faults was found in 42 % instead of 65 % of the cases)."""


def stage(belief: Belief) -> Stage:
    """Return how far the belief has come.

    ``open``: no answer yet. ``answered``: a cause (or a pair) is believed and nothing else is in doubt; the search
    goes on at low priority for a second fault. ``settled``: nothing else keeps more than 3 %.
    """
    marginals = belief.marginals()
    none = belief.none()
    if not len(marginals):
        return "settled"
    believed = marginals >= CONFIDENT
    if not believed.any() and none < CONFIDENT:
        return "open"
    others = np.append(marginals[~believed], none if none < CONFIDENT else 0.0)
    rest = float(others.max()) if len(others) else 0.0
    if rest >= IN_DOUBT:
        return "open"
    return "settled" if rest < SECOND else "answered"
