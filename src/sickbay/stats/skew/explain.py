"""Why two sides of a feature differ: hypotheses compared by description length, the parameters of each paid for."""

from __future__ import annotations

from collections.abc import Mapping

from sickbay.stats.skew.explanation import Explained
from sickbay.stats.skew.pairs import EXACT, History, Pairs, Tolerance


def explain(
    pairs: Pairs,
    *,
    history: History | None = None,
    events: Mapping[str, History] | None = None,
    tolerance: Tolerance = EXACT,
) -> Explained:
    """Return which hypotheses turn one side into the other, best first; none where nothing can be claimed.

    ``history``: the feature's earlier and later values by entity and time, as the truth had them; without it, the
    offline side's own rows serve when there are several times per entity. ``events``: name → what the feature is
    computed from.
    """
    raise NotImplementedError
