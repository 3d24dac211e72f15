"""The bars of the ledger: what a finding speaks for the leader and for the runner-up, either side of zero."""

from __future__ import annotations

import math
from html import escape

from sickbay.report import words
from sickbay.report.charts import svg

WIDTH, HEIGHT = 220.0, 24.0


def reach(amounts: list[float | None]) -> float:
    """Return the log odds that fill half a picture, so that all rows share one scale; at least 1."""
    return max([1.0, *(abs(a) for a in amounts if a is not None and math.isfinite(a))])


def draw(leader: float, rival: float | None, full: float, names: tuple[str, str]) -> str:
    """Return one row's bars as SVG: the leader's solid, the runner-up's outlined; right of zero speaks for a cause."""
    said = f"{words.log_odds(leader)} for {names[0]}"
    bars = _bar(leader, full, 3.0 if rival is not None else 7.0, "bar")
    if rival is not None:
        said += f", {words.log_odds(rival)} for {names[1]}"
        bars += _bar(rival, full, 14.0, "base")
    zero = svg.element("line", x1=WIDTH / 2, x2=WIDTH / 2, y1=0, y2=HEIGHT, class_="axis")
    return (
        f'<svg class="ledger-bars" role="img" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" aria-label="{escape(said)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(said)}</title>{bars}{zero}</svg>'
    )


def _bar(amount: float, full: float, y: float, kind: str) -> str:
    if not math.isfinite(amount) or amount == 0:
        return ""
    length = min(1.0, abs(amount) / full) * (WIDTH / 2 - 2)
    x = WIDTH / 2 if amount > 0 else WIDTH / 2 - length
    return svg.element("rect", x=x, y=y, width=length, height=7.0, class_=kind)
