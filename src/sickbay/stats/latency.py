"""A service's figures against what they are when it is well, as graded evidence; and where a request's time goes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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


PARTS: Mapping[str, str] = {
    "queue": "waiting in the kernel until the server reads it",
    "processor": "on a processor",
    "held_back": "held back by the quota",
    "runnable": "ready to run, waiting for a processor",
    "memory": "page faults and reclaim",
    "disk": "waiting for the disk",
    "downstream": "waiting for other services",
    "pool": "waiting for a connection of the pool",
    "loop": "waiting for the event loop (estimate)",
}
"""Where the time of a request can go, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Split:
    """A request's time in seconds, ``parts`` of it by name (NaN: not measured), and what none of them explains.

    ``whole`` holds the wait in the kernel besides what the server itself times. ``overlap``: the parts were more than
    the whole, as where a request runs on several threads, and were scaled down to it by this factor (below 1).
    """

    whole: float
    parts: Mapping[str, float]
    overlap: float

    @property
    def rest(self) -> float:
        """Seconds that are in no measured part: locks, and whatever could not be measured."""
        return max(0.0, self.whole - sum(value for value in self.parts.values() if value == value))


def split(service: Mapping[str, float], process: Mapping[str, float]) -> Split:
    """Return where the mean request's time goes, from what a service tells and what the kernel counts of its process.

    ``service``: ``request`` (seconds), ``requests_a_second``, and where known ``call:NAME``, ``pool_request``, ``lag``
    (seconds; the mean lateness of the event loop), ``stage:NAME``. ``process``: means over time of ``cpu``,
    ``run_delay``, ``throttled``, ``blocked``, ``faulting``, ``stalled``, ``unread``, ``majors`` (all a second, or
    numbers). By Little's law (1961) a mean number of requests in a state is the rate times the time that each spends
    there. ValueError without a request.
    """
    rate, request = service.get("requests_a_second", 0.0), service.get("request", 0.0)
    if rate <= 0 or request <= 0:
        raise ValueError("no request came")
    nan = float("nan")

    def each(number: float) -> float:
        return number / rate

    delay, held = process.get("run_delay", nan), process.get("throttled", nan)
    memory, disk = _disk(process)
    calls = [value for name, value in service.items() if name.startswith("call:")]
    parts = {
        "queue": each(process.get("unread", nan)),
        "processor": each(process.get("cpu", nan)),
        "held_back": each(min(delay, held)) if delay == delay and held == held else each(held),
        "runnable": each(max(0.0, delay - (held if held == held else 0.0))) if delay == delay else nan,
        "memory": each(memory), "disk": each(disk),
        "downstream": sum(calls) if calls else nan,
        "pool": service.get("pool_request", nan),
    }  # fmt: skip
    whole = request + (parts["queue"] if parts["queue"] == parts["queue"] else 0.0)
    known = sum(value for value in parts.values() if value == value)
    stages = sum(name.startswith("stage:") for name in service)
    parts["loop"] = min(service["lag"] * (stages + 1), max(0.0, whole - known)) if "lag" in service else nan
    overlap = min(1.0, whole / known) if known > 0 else 1.0
    return Split(whole, {name: value * overlap for name, value in parts.items()}, overlap)


def _disk(process: Mapping[str, float]) -> tuple[float, float]:
    """Return how many threads wait for memory and for the disk; NaN where the two are not told apart."""
    nan = float("nan")
    blocked, faulting = process.get("blocked", nan), process.get("faulting", nan)
    stalled = process.get("stalled", nan)
    if faulting != faulting and blocked == blocked and process.get("majors", nan) < 1.0:
        faulting = 0.0  # hardly a page came from the disk: what waited, waited for a read
    if faulting != faulting:
        return stalled, (max(0.0, blocked - stalled) if stalled == stalled else nan)
    return (max(faulting, stalled) if stalled == stalled else faulting), max(0.0, blocked - faulting)
