"""A share with its interval."""

from __future__ import annotations

import math


def wilson(hits: float, rows: float, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a share after Wilson (1927); 0…1 when there are no rows.

    >>> low, high = wilson(0, 100)
    >>> low, round(high, 3)
    (0.0, 0.037)
    """
    if rows <= 0:
        return 0.0, 1.0
    share = hits / rows
    width = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    centre, scale = share + z * z / (2 * rows), 1 + z * z / rows
    low, high = (centre - width) / scale, (centre + width) / scale
    return (0.0 if hits <= 0 else max(0.0, low)), (1.0 if hits >= rows else min(1.0, high))
