"""Aggregated over a longer or shorter window than on the other side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from sickbay.stats.skew.aggregates import WINDOWS, best, search, span
from sickbay.stats.skew.case import Case, Fit, hits
from sickbay.stats.skew.registered import hypothesis

_WINDOW = re.compile(
    r"(?<![a-zA-Z])(\d+)_?(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w|months?|mo|y)(?![a-zA-Z])"
)


@hypothesis(
    "window-length",
    kinds=("number",),
    fix="Give both sides the window from one definition, and put its length into the feature's name.",
    told_by="raw events by entity and time",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose columns of the same name with another window, and windows over the events that the feature counts."""
    for view in case.views():
        for column, values in view.others.items():
            alike = sibling(case.name, column) and values.dtype.kind == view.target.dtype.kind
            if alike and hits(values, view.target, view.source, case.tolerance).mean() > 0.05:
                says = f"the {view.side} value is the one of the window in {column}"
                yield Fit(view.side, {"column": column, "window": window(column)}, [values], 6.0, says=says)
    for name, events in case.events.items():
        for view in case.views():
            found = case.defined(("window", view.side, name), partial(best, case, view, events))
            if found is None:
                continue
            how, length = found
            for other, made in search(case, events, how):
                if other != length:
                    parameters = {"aggregate": how, "of": name, "window": span(other), "instead_of": span(length)}
                    says = f"{how} over {span(other)} ({view.side}) instead of {span(length)}"
                    yield Fit(view.side, parameters, [made], 8.0 + 2 * len(WINDOWS) ** 0.5, says=says)


def window(name: str) -> str | None:
    """Return the length of a window written in a column's name.

    >>> window("amount_sum_7d"), window("amount_30_days"), window("country")
    ('7d', '30_days', None)
    """
    found = _WINDOW.search(name.lower())
    return found[0] if found else None


def sibling(first: str, second: str) -> bool:
    """Return whether two column names differ in the length of their window alone.

    >>> sibling("amount_7d", "amount_30d"), sibling("amount_7d", "count_7d")
    (True, False)
    """
    if first == second or window(first) is None or window(second) is None:
        return False
    return _WINDOW.sub("#", first.lower()) == _WINDOW.sub("#", second.lower())
