"""The shape of one life's memory: base, floor, slope, memory of a request under way, jumps; and what would fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sickbay.probes.memory_lives import Life, Sample

MIB = 2**20
SPAN = 3.0
"""Seconds of serving that a slope needs."""
SETTLING = 1.0
"""Seconds after the first request that are left out: what is set up on first use looks like a leak."""
RESERVE = 1.25
EMPTY = 0.02
"""Share of the limit below which nothing runs in the group: it was just made, or its process is gone."""
CLOSE = 0.6
"""Seconds between the last look at a life and its end within which the end says something about a jump."""
STEP = 0.08
"""Share of the limit from which a rise between two looks is a jump, which no climb is made of."""
PIECE, MOST_PIECES = 0.6, 40
"""Seconds of a piece whose least memory is the floor; a long watch has as many pieces, each longer."""
FULL = 0.93
"""Share of the limit that a life which never served must be seen to reach, to count as full from loading."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Bytes; None where the life was too short to tell. ``slope``: bytes a second with its 95 % interval.

    ``each``: memory of a request under way; ``held``: what the most of them held, with half the width of its 95 %
    interval; ``jump``: the largest rise between two looks that they do not explain, or the distance to the limit from
    which the kernel's kill came, and the least that it may be for what ``each`` is known to.
    """

    pod: str
    limit: int
    base: float | None
    least: float | None
    last: float | None
    slope: tuple[float, float, float] | None
    driver: str
    each: float | None
    running: float
    usual: float | None
    held: tuple[float, float] | None
    jump: tuple[float, float] | None

    @property
    def driver_says(self) -> str:
        """What it rises with, in words."""
        return {
            "requests": "with requests rather than with time", "time": "with time, also without requests",
        }.get(self.driver, "with requests or with time: the load was too even to tell")  # fmt: skip


def of(life: Life) -> Shape:
    """Return the shape of a life that has a limit."""
    assert life.limit
    samples = [s for s in life.samples if s.memory > EMPTY * life.limit]
    while len(samples) > 1 and samples[-1].memory < 0.5 * samples[-2].memory:
        samples.pop()  # its process is being taken apart: that is no memory in use
    start = life.serves_from
    serving = [s for s in samples if start is not None and s.at >= start]
    each, doubt = _each(serving) or (None, 0.0)
    running = [s.running for s in serving if s.running is not None]
    most = float(np.quantile(running, 0.95)) if running else 0.0
    floor = _floor([s for s in serving if _settled(s, serving)], each or 0.0, life.limit)
    # workers killed again and again load again and again: that climb is no leak
    slope, driver = (None, "") if life.child_kills > 1 else _slope(floor)
    return Shape(
        pod=life.pod, limit=life.limit, base=_base(life, samples, serving),
        least=_least(life, serving), last=samples[-1].memory if samples else None,
        slope=slope, driver=driver, each=each, running=most,
        usual=float(np.median(running)) if running else None,
        held=(each * most, doubt * most) if each is not None and running else None,
        jump=_jumped(life, serving, each or 0.0, doubt),
    )  # fmt: skip


def _least(life: Life, serving: list[Sample]) -> float | None:
    """Return the least memory while serving; after a worker was killed, what is left of the pod is no base."""
    return None if life.child_kills else min((s.memory for s in serving), default=None)


def _base(life: Life, samples: list[Sample], serving: list[Sample]) -> float | None:
    """Return memory before the first request; of a life that was killed while it loaded, what it had reached."""
    fresh = [s.memory for s in serving if s.requests == 0 and not s.running]
    if fresh:
        return fresh[-1]
    if not serving and samples and (life.killed or life.child_kills) and life.limit:
        reached = max(s.peak or s.memory for s in samples)
        return reached if reached > FULL * life.limit else None  # else the kill came later, perhaps with requests
    loading = [s for s in samples if serving and s.at < serving[0].at]
    return max(s.memory for s in loading) if loading and life.born else None


def _settled(sample: Sample, serving: list[Sample]) -> bool:
    worked = next((s.at for s in serving if s.requests), None)
    return worked is not None and sample.at >= worked + SETTLING


def _each(serving: list[Sample]) -> tuple[float, float] | None:
    """Return memory per request under way and half its 95 % interval.

    It is the slope of memory over their number, time taken out, never below 0.
    """
    from scipy.stats import t

    known = [(s.running, s.at, s.memory) for s in serving if s.running is not None]
    if len(known) < 4 or len({running for running, _, _ in known}) < 2:
        return None
    table = np.array(known, dtype=np.float64)
    design = np.column_stack([table[:, 0], table[:, 1] - table[0, 1], np.ones(len(table))])
    found, _, rank, _ = np.linalg.lstsq(design, table[:, 2], rcond=None)
    if rank < 3:
        return None
    free = len(known) - 3
    left = float(np.sum((table[:, 2] - design @ found) ** 2)) / free
    error = math.sqrt(left * float(np.linalg.inv(design.T @ design)[0, 0]))
    return max(0.0, float(found[0])), error * float(t.ppf(0.975, free))


def _floor(settled: list[Sample], each: float, limit: int) -> NDArray[np.float64]:
    """Return (time, requests, memory) of the least memory of each piece, less what requests under way hold.

    A rise that came with a jump is taken out: a heap that keeps what one large request grew does not climb.
    """
    if len(settled) < 4:
        return np.empty((0, 3))
    width = max(PIECE, (settled[-1].at - settled[0].at) / MOST_PIECES)
    rows: list[tuple[float, float, float]] = []
    kept = [s.memory - each * (s.running or 0.0) for s in settled]
    pieces = [int((s.at - settled[0].at) / width) for s in settled]
    least = [min(found, key=kept.__getitem__) for found in _grouped(pieces)]
    taken = 0.0
    for last, here in zip([None, *least], least, strict=False):
        if last is not None:
            rises = [kept[k] - kept[k - 1] for k in range(last + 1, here + 1)]
            if max(rises) > STEP * limit:
                taken += max(0.0, kept[here] - kept[last])
        requests = settled[here].requests
        rows.append((settled[here].at, np.nan if requests is None else requests, kept[here] - taken))
    return np.array(rows)


def _grouped(pieces: list[int]) -> list[list[int]]:
    """Return the positions of each piece."""
    found: dict[int, list[int]] = {}
    for position, piece in enumerate(pieces):
        found.setdefault(piece, []).append(position)
    return list(found.values())


def _slope(floor: NDArray[np.float64]) -> tuple[tuple[float, float, float] | None, str]:
    """Return bytes a second with the 95 % interval, and what the rise goes with: ``requests``, ``time`` or neither."""
    from scipy.stats import theilslopes

    if len(floor) < 5 or floor[-1, 0] - floor[0, 0] < SPAN:
        return None, ""
    found = theilslopes(floor[:, 2], floor[:, 0], 0.95)
    slope = (float(found.slope), float(found.low_slope), float(found.high_slope))
    if slope[1] <= 0 or np.isnan(floor).any() or np.any(np.diff(floor[:, 1]) < 0):
        return slope, ""
    steps, seconds, rises = np.diff(floor[:, 1]), np.diff(floor[:, 0]), np.diff(floor[:, 2])
    paced = steps / seconds
    if np.std(paced) < 0.35 * max(float(np.mean(paced)), 1e-9):
        return slope, ""
    if np.std(rises) == 0:
        return slope, ""
    by_requests = float(np.corrcoef(steps, rises)[0, 1])
    by_time = float(np.corrcoef(seconds, rises)[0, 1]) if np.std(seconds) > 0.05 else 0.0
    if by_requests > 0.6 and by_requests > by_time + 0.2:
        return slope, "requests"
    return slope, "time" if by_requests < 0.2 else ""


def _jumped(life: Life, serving: list[Sample], each: float, doubt: float) -> tuple[float, float] | None:
    if len(serving) < 2:
        return None
    return _jump(life, serving, each), _jump(life, serving, each + doubt)


def _jump(life: Life, serving: list[Sample], each: float) -> float:
    """Return the largest rise between looks beyond what requests explain; a kill from afar counts as one."""
    found = [0.0]
    for a, b in pairwise(serving):
        more = max(0.0, (b.running or 0.0) - (a.running or 0.0) + 1)
        top = b.peak if b.peak is not None and a.peak is not None and b.peak > a.peak else b.memory
        if b.at - a.at < 1.0:
            found.append(top - a.memory - more * each)
    ended = next((s.at for s in life.samples if s.at > serving[-1].at), life.gone)  # what is left is an empty group
    if life.killed and life.limit and ended is not None and ended - serving[-1].at < CLOSE:
        found.append(life.limit - serving[-1].memory - each * ((serving[-1].running or 0.0) + 1))
    return max(found)


def limit(base: float, each: float, usual: float, jump: float) -> float:
    """Return the limit in MiB that fits what was seen, with a quarter of reserve."""
    return RESERVE * (base + each * max(1.0, 3 * usual) + min(jump, base)) / MIB


def request(base: float, each: float, usual: float) -> float:
    """Return the request in MiB: what is in use at usual load."""
    return (base + each * max(1.0, usual)) / MIB


def plan(
    base: float, each: float, usual: float, jump: float, limit_now: float, replicas: int
) -> tuple[tuple[str, str, str], ...]:
    """Return rows (what, measured, would fit) of the capacity plan; replicas are for the limit that is in force."""
    room = (limit_now / RESERVE - base) / each if each else np.inf
    total = 3 * max(1.0, usual) * replicas
    wanted = f"{max(2, int(np.ceil(total / room)))}" if room >= 1 else "none: not one request fits the limit in force"
    return (
        ("memory request", f"{base / MIB:.0f} MiB base", f"{request(base, each, usual):.0f} MiB"),
        ("memory limit", f"{each / MIB:.1f} MiB a request", f"{limit(base, each, usual, jump):.0f} MiB"),
        ("requests at once", f"{usual:.0f} usual", f"{max(2.0, 3 * usual):.0f}, more are to be turned away"),
        ("replicas", f"{replicas} now", wanted),
        ("workers in a pod", f"{base / MIB:.0f} MiB each", "1 a pod: each loads the model"),
    )
