"""A time plot: lines with gaps and confidence bands, marked instants, a shaded interval, a UTC axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sickbay.report import words
from sickbay.report.charts import svg
from sickbay.terms.evidence import Line, Series

WIDTH, LEFT, RIGHT = 720.0, 52.0, 12.0
PLOT = 190.0
LINES = 6
"""Lines that can still be told apart by their dashes; further ones are left to the table."""
POINTS = 1500


@dataclass(frozen=True, slots=True)
class Frame:
    """Where data land on the canvas."""

    first: datetime
    last: datetime
    low: float
    high: float
    top: float

    def x(self, at: datetime) -> float:
        """Return the horizontal position of an instant."""
        span = (self.last - self.first) / timedelta(seconds=1)
        part = (at - self.first) / timedelta(seconds=1) / span if span else 0.5
        return LEFT + min(1.0, max(0.0, part)) * (WIDTH - LEFT - RIGHT)

    def y(self, amount: float) -> float:
        """Return the vertical position of a value."""
        span = self.high - self.low
        return self.top + PLOT * (1 - ((amount - self.low) / span if span else 0.5))


def draw(series: Series, title: str = "") -> str:
    """Return the time plot as SVG, or an empty string when it holds no finite value at all."""
    name = title or series.title or "Over time"
    numbers = [v for line in series.lines[:LINES] for v in (*line.values, *line.low, *line.high) if finite(v)]
    if not series.times or not numbers:
        return ""
    marks = sorted((utc(at), label) for at, label in series.marks)
    frame = _frame(series, [n for n in numbers if n is not None], 30.0 + 15 * len(marks[:6]))
    times, lines = _thinned(series)
    body = [_shade(series, frame), _grid(frame, series.unit), *(_mark(frame, i, m) for i, m in enumerate(marks[:6]))]
    body += [_band(frame, times, line, i) for i, line in enumerate(lines)]
    body += [_line(frame, times, line, i) for i, line in enumerate(lines)]
    body.append(_legend(series))
    return svg.picture(WIDTH, frame.top + PLOT + 42, name, describe(series), "".join(body))


def describe(series: Series) -> str:
    """Return the plot in words: span, and first, lowest, highest and last value of every line."""
    if not series.times:
        return "No points."
    parts = [f"From {words.moment(series.times[0])} to {words.moment(series.times[-1])}."]
    for line in series.lines[:LINES]:
        known = [v for v in line.values if v is not None and math.isfinite(v)]
        if known:
            first, low, high, last = (words.number(v) for v in (known[0], min(known), max(known), known[-1]))
            parts.append(
                f"{line.name}: first {first}, lowest {low}, highest {high}, last {last} {series.unit}".strip() + "."
            )
    parts += [f"Marked: {label} at {words.moment(at)}." for at, label in series.marks[:6]]
    if series.band:
        parts.append(f"Shaded: {words.moment(series.band[0])} to {words.moment(series.band[1])}.")
    return " ".join(parts)


def finite(amount: float | None) -> bool:
    """Return whether there is a number to draw."""
    return amount is not None and math.isfinite(amount)


def utc(at: datetime) -> datetime:
    """Return the instant in UTC; without a zone it is taken as UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _frame(series: Series, numbers: list[float], top: float) -> Frame:
    low, high = min(numbers), max(numbers)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    floor = 0.0 if 0 <= low < 0.35 * high else low - room  # start at zero when that costs little
    ceiling = 1.0 if 0.9 < high <= 1 and not series.unit else high + room
    first, last = utc(series.times[0]), utc(series.times[-1])
    return Frame(min(first, last), max(first, last), floor, ceiling, top)


def _thinned(series: Series) -> tuple[list[datetime], list[Line]]:
    step = math.ceil(len(series.times) / POINTS)

    def every(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(values[::step])

    times = [utc(at) for at in series.times[::step]]
    return times, [
        Line(line.name, every(line.values), every(line.low), every(line.high)) for line in series.lines[:LINES]
    ]


def _grid(frame: Frame, unit: str) -> str:
    parts = []
    rungs = svg.ticks(frame.low, frame.high)
    step = rungs[1] - rungs[0] if len(rungs) > 1 else 0.0
    for tick in rungs:
        y = frame.y(tick)
        parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(
            svg.text(
                LEFT - 8, y + 4, words.tick(tick, step) if step else words.number(tick), anchor="end", kind="t num"
            )
        )
    base = frame.top + PLOT
    parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis"))
    for at, label in svg.time_ticks(frame.first, frame.last):
        x = frame.x(at)
        parts.append(svg.element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis"))
        parts.append(svg.text(min(max(x, 34.0), WIDTH - 40), base + 18, label, anchor="middle", kind="t num"))
    parts.append(svg.text(WIDTH - RIGHT, base + 36, "time in UTC", anchor="end", kind="t soft"))
    if unit:
        parts.append(svg.text(0, frame.top - 8, unit, kind="t soft", room=160))
    return "".join(parts)


def _shade(series: Series, frame: Frame) -> str:
    if not series.band:
        return ""
    left, right = sorted(frame.x(utc(at)) for at in series.band)
    width = max(2.0, right - left)
    return svg.element("rect", x=left, y=frame.top, width=width, height=PLOT, class_="shade")


def _mark(frame: Frame, index: int, mark: tuple[datetime, str]) -> str:
    at, label = mark
    if not frame.first <= at <= frame.last:
        label = f"{label} (outside: {words.moment(at)})"
    x, y = frame.x(at), 32.0 + 15 * index
    right = x < WIDTH * 0.6
    said = svg.text(
        x + 5 if right else x - 5,
        y,
        label,
        anchor="start" if right else "end",
        kind="t",
        room=WIDTH - x - 10 if right else x - 10,
    )
    return svg.element("line", x1=x, x2=x, y1=y - 9, y2=frame.top + PLOT, class_="mark") + said


def _runs(times: Sequence[datetime], values: Sequence[float | None], frame: Frame) -> Iterator[list[svg.Point]]:
    run: list[svg.Point] = []
    for at, amount in zip(times, values, strict=False):
        if amount is not None and math.isfinite(amount):
            run.append((frame.x(at), frame.y(amount)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _line(frame: Frame, times: Sequence[datetime], line: Line, index: int) -> str:
    parts = []
    for run in _runs(times, line.values, frame):
        if len(run) == 1:  # a lone point between two gaps would be invisible as a path
            parts.append(svg.element("circle", cx=run[0][0], cy=run[0][1], r=2.2, class_=f"dot l{index}"))
        else:
            parts.append(svg.path(run, f"line l{index}"))
    return "".join(parts)


def _band(frame: Frame, times: Sequence[datetime], line: Line, index: int) -> str:
    if len(line.low) != len(line.values) or len(line.high) != len(line.values):
        return ""
    both: Callable[[int], bool] = lambda i: finite(line.low[i]) and finite(line.high[i])  # noqa: E731
    low = [v if both(i) else None for i, v in enumerate(line.low)]
    high = [v if both(i) else None for i, v in enumerate(line.high)]
    pairs = zip(_runs(times, low, frame), _runs(times, high, frame), strict=True)
    return "".join(svg.path([*upper, *reversed(lower)], f"band l{index}", closed=True) for lower, upper in pairs)


def _legend(series: Series) -> str:
    parts, x = [], LEFT
    for index, line in enumerate(series.lines[:LINES]):
        name = svg.fit(line.name, 150)
        parts.append(svg.path([(x, 9.0), (x + 22, 9.0)], f"line l{index}"))
        parts.append(svg.text(x + 28, 13, name))
        x += 28 + len(name) * svg.GLYPH + 22
    if any(line.low for line in series.lines):
        parts.append(svg.element("rect", x=x, y=4, width=22, height=10, class_="band l0"))
        parts.append(svg.text(x + 28, 13, "95% interval"))
        x += 28 + 12 * svg.GLYPH + 22
    if series.band:
        parts.append(svg.element("rect", x=x, y=4, width=22, height=10, class_="shade"))
        parts.append(svg.text(x + 28, 13, "likely onset"))
    return "".join(parts)
