"""An hour's or a day's boundary in another time zone: shifted timestamps, hours, days, and daily aggregates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from sickbay.stats.skew import lags
from sickbay.stats.skew.aggregates import DAY, HOUR, HOWS, over, same
from sickbay.stats.skew.case import Case, Fit, View, modes
from sickbay.stats.skew.registered import hypothesis
from sickbay.stats.skew.timeline import Timeline
from sickbay.stats.table import Floats

OFFSETS = tuple(
    sorted({*(HOUR * h for h in range(-12, 15) if h), *(HOUR * h for h in (-9.5, -3.5, 3.5, 4.5, 5.5, 5.75, 6.5, 9.5))})
)
"""Distances of the world's clocks from UTC, in seconds."""
DAILY = ("today so far", "the whole day", "the day before")


@hypothesis(
    "timezone",
    kinds=("number", "time", "text"),
    fix="Store instants in UTC with their zone, and name the zone of every day boundary in the feature's definition.",
    told_by="raw events, or pairs with times around midnight",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose shifted instants, hours and weekdays, daily snapshots, and daily aggregates over another day's events."""
    if case.kind in ("time", "number"):
        yield from _instants(case)
    if case.kind == "number":
        yield from _cycles(case)
        for name, events in case.events.items():
            yield from _days(case, name, events)
    if lags.usable(case):
        yield from _snapshots(case)


def _instants(case: Case) -> Iterator[Fit]:
    """Timestamps that are a whole number of quarter hours apart, in seconds, milliseconds or as times."""
    view = case.view("online")
    there = view.both
    if not there.any():
        return
    size = float(np.median(np.abs(view.source[there])))
    unit = 1.0 if case.kind == "time" or 5e8 < size < 4e9 else 1000.0 if 5e11 < size < 4e12 else 0.0
    if not unit:
        return
    for shift in modes((view.target - view.source)[there] / unit, absolute=0.5, fewest=max(4, len(there) // 50)):
        hours = round(shift / 900) / 4
        if hours and abs(hours) <= 14 and abs(shift - hours * HOUR) < 1:
            yield Fit(
                "online", {"offset_hours": hours}, [view.source + hours * HOUR * unit], 7.0, by_values=True,
                says=f"the online time is {hours:+g} hours from the offline time",
            )  # fmt: skip
    if case.kind == "time" and case.time is not None:
        yield from _dates(case, view)


def _dates(case: Case, view: View) -> Iterator[Fit]:
    """Dates that are one day apart, at one end of the day only."""
    assert case.time is not None
    clock = np.mod(case.time[case.rows], DAY)
    for day in (-1.0, 1.0):
        there = np.abs(view.target - view.source - day * DAY) < 1
        if there.sum() < 8:
            continue
        edge = float(np.quantile(clock[there], 0.02 if day > 0 else 0.98))
        hours = (DAY - edge) / HOUR if day > 0 else -edge / HOUR
        if abs(hours) <= 14:
            hours = round(hours * 2) / 2
            made = np.where(there, view.target, np.nan)
            says = f"the online day begins {abs(hours):g} hours {'earlier' if hours > 0 else 'later'}"
            yield Fit("online", {"offset_hours": hours}, [made], 10.0, 1.0, by_values=True, says=says)


def _cycles(case: Case) -> Iterator[Fit]:
    """Hours of the day (0…23) or days of the week that are a constant apart on the circle."""
    everything = np.concatenate((case.offline, case.online))
    everything = everything[np.isfinite(everything)]
    if not len(everything) or case.grid < 1 or everything.min() < 0:
        return
    view = case.view("online")
    top, many = everything.max(), len(np.unique(everything))
    if 12 < top <= 23 and many > 12:
        found = np.mod(view.target - view.source, 24)
        for shift in modes(found, fewest=max(4, len(found) // 25)):
            hours = shift if shift <= 14 else shift - 24
            made = np.mod(view.source + shift, 24)
            past_midnight = (made != view.source + hours) & (made == view.target)
            if not past_midnight.any():
                continue  # a count that is off by a constant looks the same until a value goes round
            says = f"the online hour is {hours:+g} from the offline hour"
            yield Fit("online", {"offset_hours": hours}, [made], 7.0, by_values=True, says=says)
    elif top <= 7 and many >= 5 and case.time is not None:
        yield from _weekdays(case, view, float(everything.min()))


def _weekdays(case: Case, view: View, least: float) -> Iterator[Fit]:
    """Days of the week that follow from the pair's time in one zone and in another."""
    assert case.time is not None
    time = case.time[case.rows]
    for first in range(7):

        def day(offset: float, first: int = first) -> Floats:
            return np.asarray(np.mod(np.floor((time + offset) / DAY) + first, 7) + least)

        if np.mean(day(0.0) == view.source) < 0.9:
            continue
        for offset in OFFSETS:
            says = f"the online weekday is that of a zone {offset / HOUR:+g} hours from UTC"
            yield Fit("online", {"offset_hours": offset / HOUR}, [day(offset)], 9.0, says=says)


def _snapshots(case: Case) -> Iterator[Fit]:
    """The value at the beginning of the day, of two different days' beginnings."""
    line, entity, time = case.timeline, case.entity, case.time
    assert line is not None
    assert entity is not None
    assert time is not None
    for view in case.views():
        start = line.at(entity[case.rows], _floor(time[case.rows], 0.0))
        if np.mean(case.hits(start, view.source, view.target, says_missing=True)) < 0.6:
            continue
        for offset in OFFSETS:
            made = line.at(entity[case.rows], _floor(time[case.rows], offset))
            says = f"the {view.side} day begins where the clock is {offset / HOUR:+g} hours from UTC"
            yield Fit(
                view.side, {"offset_hours": offset / HOUR, "of": "value at the day's start"}, [made], 9.0, says=says
            )


def _days(case: Case, name: str, events: Timeline) -> Iterator[Fit]:
    """Daily aggregates that the truth has in one zone's days, the altered side in another's."""
    if case.time is None or case.entity is None:
        return
    for view in case.views():
        found = case.defined(("day", view.side, name), partial(_definition, case, view, events))
        if found is None:
            continue
        how, part, zone = found
        for offset in (0.0, *OFFSETS):
            if offset != zone:
                made = daily(events, case.entity[case.rows], case.time[case.rows], how, part, offset)
                parameters = {"offset_hours": (offset - zone) / HOUR, "aggregate": how, "of": name, "day": part}
                says = f"{how} of {name} over {part}, the day moved by {(zone - offset) / HOUR:+g} hours ({view.side})"
                yield Fit(view.side, parameters, [made], 10.0, says=says)


def _definition(case: Case, view: View, events: Timeline) -> tuple[str, str, float] | None:
    """Return the daily aggregate that reproduces the side taken as the truth: how, of which part, in which zone."""
    assert case.entity is not None
    assert case.time is not None
    rows = np.concatenate((case.rows, case.equal))
    rows = rows[:: max(1, len(rows) // 300)]
    truth = (case.offline if view.side == "online" else case.online)[rows]
    for zone in (0.0, *OFFSETS):
        for how in HOWS:
            for part in DAILY:
                made = daily(events, case.entity[rows], case.time[rows], how, part, zone)
                if np.mean(same(made, truth, case)) > 0.85:
                    return how, part, zone
    return None


def daily(
    events: Timeline,
    entity: np.ndarray[tuple[int], np.dtype[np.int64]],
    time: Floats,
    how: str,
    part: str,
    offset: float,
) -> Floats:
    """Return an aggregate over the day of ``time`` on a clock ``offset`` seconds from UTC."""
    start = _floor(time, offset)
    if part == "today so far":
        return over(events, entity, start - 1e-3, time, how, closed=True)
    if part == "the whole day":
        return over(events, entity, start, start + DAY, how, closed=False)
    return over(events, entity, start - DAY, start, how, closed=False)


def _floor(time: Floats, offset: float) -> Floats:
    return np.asarray(np.floor((time + offset) / DAY) * DAY - offset)
