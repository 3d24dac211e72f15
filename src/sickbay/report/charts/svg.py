"""The few SVG parts that all charts share: elements, text that fits, scales with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import count

from sickbay.report import words

Point = tuple[float, float]
GLYPH = 6.4
"""Width in user units of an average glyph at the charts' text size; text is cut by it, never measured."""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS = (
    *(timedelta(minutes=m) for m in (1, 5, 10, 15, 30)),
    *(timedelta(hours=h) for h in (1, 2, 3, 6, 12)),
    *(timedelta(days=d) for d in (1, 2, 3, 7, 14, 28, 91, 182, 364)),
)
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday, so that weekly ticks fall on Mondays


def element(tag: str, content: str = "", /, **attributes: object) -> str:
    """Return one element; attribute values are escaped, ``class_`` means class, ``_`` in a name means ``-``."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for name, value in attributes.items()
    )
    return f"<{tag}{given}>{content}</{tag}>" if content else f"<{tag}{given}/>"


def text(x: float, y: float, said: str, *, anchor: str = "start", kind: str = "", room: float = 0) -> str:
    """Return a text element, cut with an ellipsis to ``room`` user units when that is given."""
    return element("text", escape(fit(said, room) if room else said), x=x, y=y, text_anchor=anchor, class_=kind or "t")


def picture(width: float, height: float, title: str, description: str, body: str) -> str:
    """Return a complete picture with a name and a description for people who do not see it."""
    # A <title> also pops up as a tooltip over the whole chart; screen readers rely on it, so it stays.
    head = element("title", escape(words.clean(title))) + element("desc", escape(words.clean(description, 2000)))
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {_short(width)} {_short(height)}" '
        f'aria-label="{escape(words.clean(title))}" xmlns="http://www.w3.org/2000/svg">{head}{body}</svg>'
    )


def path(points: Sequence[Point], kind: str, *, closed: bool = False) -> str:
    """Return a path through the points."""
    steps = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if closed else ''}", class_=kind)


def fit(said: str, room: float) -> str:
    """Return the text cut to about ``room`` user units.

    >>> fit("merchant_category", 60)
    'merchant…'
    """
    glyphs = max(1, int(room / GLYPH))
    plain = words.clean(said, 200)
    return plain if len(plain) <= glyphs else plain[: max(1, glyphs - 1)] + "…"


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round values inside low…high, about that many; a single value when the interval is empty.

    >>> ticks(0, 1, 4)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    raw = span / max(1, about)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in _STEPS if factor * size >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def time_ticks(first: datetime, last: datetime, about: int = 7) -> list[tuple[datetime, str]]:
    """Return round UTC instants inside first…last with labels; a label gives the date where the day is new."""
    wanted = (last - first) / max(1, about)
    step = next((s for s in _TIME_STEPS if s >= wanted), None) or timedelta(days=364 * math.ceil(wanted.days / 364))
    start = -((_EPOCH - first) // step)
    instants = []
    for k in count(start):
        at = _EPOCH + k * step
        if at > last:
            break
        if at >= first:
            instants.append(at)
    return _labelled(instants, step, last - first)


def _labelled(instants: list[datetime], step: timedelta, span: timedelta) -> list[tuple[datetime, str]]:
    labels: list[tuple[datetime, str]] = []
    before: datetime | None = None
    for at in instants:
        new_day = before is None or at.date() != before.date()
        date = at.strftime("%d %b %Y") if span > timedelta(days=330) else at.strftime("%d %b")
        if step >= timedelta(days=1):
            labels.append((at, date))
        else:
            labels.append((at, f"{date} {at:%H:%M}" if new_day else f"{at:%H:%M}"))
        before = at
    return labels


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
