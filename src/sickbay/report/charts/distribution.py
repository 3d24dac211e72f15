"""Two distributions over the same bins: the baseline as an outline, the current one as solid bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sickbay.report import words
from sickbay.report.charts import svg
from sickbay.terms.evidence import Distribution

WIDTH = 720.0
FEW = 9
"""Up to so many bins are drawn as rows, so that long category names can be read."""
_ROW, _NAMES, _NUMBERS = 34.0, 190.0, 130.0
_LEFT, _TOP, _PLOT = 52.0, 28.0, 170.0


def draw(distribution: Distribution, title: str = "") -> str:
    """Return the picture as SVG, or an empty string when there is nothing to draw."""
    bins = shares(distribution)
    top = max((max(b, c) for _, b, c in bins), default=0.0)
    if top <= 0:
        return ""
    body, height = _rows(bins, top) if len(bins) <= FEW else _columns(bins, top)
    return svg.picture(WIDTH, height, title or distribution.title or "Distribution", describe(distribution), body)


def describe(distribution: Distribution) -> str:
    """Return the picture in words: the bins whose share changed most."""
    moved = sorted(shares(distribution), key=lambda b: -abs(b[2] - b[1]))[:3]
    changes = [f"{label} from {words.share(before)} to {words.share(now)}" for label, before, now in moved]
    return f"Share of rows per bin, baseline against current. Largest changes: {words.listed(changes)}."


def shares(distribution: Distribution) -> list[tuple[str, float, float]]:
    """Return (label, baseline, current) per bin; what is not a number counts as no rows."""
    return [
        (words.clean(label, 120), _finite(before), _finite(now))
        for label, before, now in zip(distribution.labels, distribution.baseline, distribution.current, strict=False)
    ]


def _rows(bins: Sequence[tuple[str, float, float]], top: float) -> tuple[str, float]:
    parts = [_legend(_NAMES)]
    scale = (WIDTH - _NAMES - _NUMBERS) / top
    for index, (label, before, now) in enumerate(bins):
        y = _TOP + index * _ROW
        parts.append(svg.text(_NAMES - 10, y + 18, label, anchor="end", room=_NAMES - 10))
        parts.append(svg.element("rect", x=_NAMES, y=y + 2, width=before * scale, height=9.0, class_="base"))
        parts.append(svg.element("rect", x=_NAMES, y=y + 14, width=now * scale, height=9.0, class_="bar"))
        said = f"{words.share(before)} → {words.share(now)}"
        parts.append(svg.text(WIDTH, y + 18, said, anchor="end", kind="t num"))
    bottom = _TOP + len(bins) * _ROW
    parts.append(svg.element("line", x1=_NAMES, x2=_NAMES, y1=_TOP - 2, y2=bottom - 4, class_="axis"))
    return "".join(parts), bottom


def _columns(bins: Sequence[tuple[str, float, float]], top: float) -> tuple[str, float]:
    parts = [_legend(_LEFT)]
    base, width = _TOP + _PLOT, (WIDTH - _LEFT) / len(bins)
    scale = _PLOT / top
    rungs = svg.ticks(0, top)
    for tick in rungs:
        y = base - tick * scale
        parts.append(svg.element("line", x1=_LEFT, x2=WIDTH, y1=y, y2=y, class_="grid"))
        parts.append(svg.text(_LEFT - 8, y + 4, words.tick(tick, rungs[1], as_share=True), anchor="end", kind="t num"))
    gap = min(2.0, width * 0.15)
    outline: list[svg.Point] = [(_LEFT, base)]
    for index, (_, before, now) in enumerate(bins):
        x = _LEFT + index * width
        bar = now * scale
        parts.append(svg.element("rect", x=x + gap, y=base - bar, width=width - 2 * gap, height=bar, class_="bar"))
        outline += [(x, base - before * scale), (x + width, base - before * scale)]
    parts.append(svg.path([*outline, (WIDTH, base)], "outline"))
    parts.append(svg.element("line", x1=_LEFT, x2=WIDTH, y1=base, y2=base, class_="axis"))
    parts.append(_labels([label for label, _, _ in bins], width, base + 17))
    return "".join(parts), base + 26


def _labels(labels: Sequence[str], width: float, y: float) -> str:
    longest = max(len(label) for label in labels) * svg.GLYPH + 10
    step = max(1, math.ceil(min(longest, 110.0) / width))
    parts = []
    for index in range(step // 2, len(labels), step):
        said = svg.fit(labels[index], step * width)
        half = len(said) * svg.GLYPH / 2
        x = min(_LEFT + (index + 0.5) * width, WIDTH - half)
        parts.append(svg.text(x, y, said, anchor="middle", kind="t num"))
    return "".join(parts)


def _legend(x: float) -> str:
    return (
        svg.element("rect", x=x, y=4.5, width=22, height=9, class_="base")
        + svg.text(x + 28, 13, "baseline")
        + svg.element("rect", x=x + 112, y=4.5, width=22, height=9, class_="bar")
        + svg.text(x + 140, 13, "current")
    )


def _finite(amount: float) -> float:
    return amount if isinstance(amount, int | float) and math.isfinite(amount) and amount > 0 else 0.0
