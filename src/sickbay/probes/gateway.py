"""Probes of the access log of a gateway: failing requests, their rate, and whether large ones take pods down."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from sickbay.errors import SourceError
from sickbay.probes.pods import CLEAR, SURE
from sickbay.registry import probe
from sickbay.sources.access import Request, requests
from sickbay.sources.logs import Logs
from sickbay.stats.grading import grade, proportion_error
from sickbay.terms.evidence import Evidence, Line, Numbers, Series
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

NAMES = ("gateway", "access", "ingress", "nginx", "serving")
WITHIN = timedelta(hours=2)
ROSE = math.log(1.6)
"""Ratio of rates that matters."""
LARGE = 5.0
"""A request counts as large from this many times the median."""
QUIET = 1800.0
"""Seconds without a failure after which an earlier incident is past."""
TELLING = 5.0
"""Log likelihood by which two shares of failures have to explain a log better than one."""
TOGETHER = 0.6
"""Seconds within which failures belong to one death of a pod, where the log is finer than a second."""
TOGETHER_IN_WHOLE_SECONDS = 1.0
"""The same for a log of whole seconds (nginx): two instants 0.6 s apart may stand in neighbouring seconds."""
NO_SIZES = "no data: the access log does not say how large requests are (nginx: $request_length)"
REFUSED = 0.02
"""Seconds below which a failure is a refused connection: nothing was being worked on."""
FAILS = FindingKind("gateway.requests_fail", says="Requests fail with server errors.", leak=0.03)
RATE = FindingKind("gateway.rate_rose", says="Clients send more requests than before.", leak=0.04)
LARGE_FAIL = FindingKind(
    "gateway.large_requests_fail", says="Pods die while they work on single large requests.", leak=0.03
)
SIZES = FindingKind("gateway.sizes_rose", says="The largest requests are larger than before.", leak=0.06)


@probe(findings=[FAILS, RATE, LARGE_FAIL, SIZES], seconds=0.3, deadline=20)
def traffic(logs: Logs) -> Iterable[Finding]:
    """Reads the gateway's access log: errors, rate and sizes before and since the first failures, and who failed."""
    name = next((name for name in NAMES if logs.has(name)), None)
    if name is None:
        raise SourceError(f"no data: [source.logs] files names no access log ({', '.join(NAMES)})")
    found = requests(logs.tail(name, WITHIN))
    if len(found) < 10:
        raise SourceError(f"too few rows: {len(found)} requests in the last {WITHIN.total_seconds() / 3600:.0f} hours")
    failed = [one for one in found if one.failed]
    share = len(failed) / len(found)
    since = _onset(failed, found)
    recent = [one for one in found if since is not None and one.at >= since]
    now = sum(one.failed for one in recent) / len(recent) if recent else 0.0
    error = float(proportion_error(now or share, len(recent) or len(found)))
    yield measured(
        FAILS, grade(now, error, 0.02) if failed else -CLEAR, statistic=now,
        says=f"{now:.0%} of requests failed since {since:%H:%M:%S} UTC." if since else "No request failed.",
        evidence=Evidence({"requests": len(found), "failed": len(failed)}, [_chart(found)]),
    )  # fmt: skip
    if since is None:
        yield measured(LARGE_FAIL, -CLEAR, says="No request failed.")
    else:
        yield _large(found, failed)
    yield from _before_and_since(found, since)


def _onset(failed: Sequence[Request], found: Sequence[Request]) -> datetime | None:
    """Return when failures began: where their share rises most; those of an incident before a quiet half hour are past.

    A few lone ones long before the others are not it: the two parts of the log are those that binomial shares explain
    best, unless one share explains all of it nearly as well.
    """
    if len(failed) < max(2, 0.005 * len(found)):
        return None
    gaps = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(failed)]
    past = max((i + 1 for i, gap in enumerate(gaps) if gap > QUIET), default=0)
    left = [one for one in found if one.at > failed[past - 1].at] if past else list(found)
    bad = np.array([one.failed for one in left], dtype=np.float64)
    starts = np.flatnonzero(bad)
    before, rows = np.cumsum(bad)[starts] - 1, len(bad)
    whole = bad.sum()
    parts = _log_likelihood(before, starts) + _log_likelihood(whole - before, rows - starts)
    rises = before * (rows - starts) < (whole - before) * starts
    gain = np.where(rises, parts - _log_likelihood(whole, rows), 0.0)
    return left[int(starts[gain.argmax()])].at if gain.max() > TELLING else left[int(starts[0])].at


def _log_likelihood(some: NDArray[np.float64], of: NDArray[np.float64] | NDArray[np.int64] | int) -> Any:
    """Return the log likelihood of so many of so many at their own share."""
    share = np.asarray(some) / np.maximum(of, 1)
    return xlogy(some, share) + xlogy(np.asarray(of) - some, 1 - share)


def _before_and_since(found: Sequence[Request], since: datetime | None) -> Iterable[Finding]:
    """Compare the time before the failures with the time from just before them on."""
    first, last = found[0].at, found[-1].at
    cut = since - timedelta(seconds=1.5) if since else first + (last - first) / 2
    before, after = [one for one in found if one.at < cut], [one for one in found if one.at >= cut]
    spans = [(cut - first).total_seconds(), (last - cut).total_seconds()]
    if min(spans) < 2 or min(len(before), len(after)) < 8:
        until = max(0.0, spans[0])
        why = f"too few rows: {len(before)} requests in {until:.0f} s before the failures, {len(after)} since"
        yield unknown(RATE, why)
        yield unknown(SIZES, why)
        return
    rates = [len(side) / (span - _standstill(side, span)) for side, span in zip((before, after), spans, strict=True)]
    ratio = rates[1] / rates[0]
    error = math.sqrt(_bunching(before) / len(before) + _bunching(after) / len(after))
    yield measured(
        RATE, grade(math.log(ratio), error, ROSE), statistic=ratio,
        says=f"{rates[1]:.1f} requests a second since then, {rates[0]:.1f} before: {ratio:.1f} times as many.",
        evidence=Evidence({"before": rates[0], "since": rates[1]}, [Numbers({"before": rates[0], "since": rates[1]})]),
    )  # fmt: skip
    sizes = [np.array([one.size for one in side if one.size is not None]) for side in (before, after)]
    if min(len(side) for side in sizes) < 8:
        yield unknown(SIZES, NO_SIZES)
        return
    middle = float(np.median(sizes[0])) or 1.0
    bound = max(float(sizes[0].max()) * 1.5, middle * LARGE)
    larger = int((sizes[1] > bound).sum())
    chance = (larger + 0.1) / (0.1 + len(sizes[1]) / (len(sizes[0]) + 1))  # against one in all those before
    yield measured(
        SIZES, max(-CLEAR, min(SURE, math.log(chance) + (0.7 if larger > 1 else 0.0))), statistic=float(larger),
        says=f"{larger} of {len(sizes[1])} requests are more than half as large again as the largest before "
        f"({sizes[0].max():,.0f} bytes; now up to {sizes[1].max():,.0f}).",
    )  # fmt: skip


def _standstill(side: Sequence[Request], span: float) -> float:
    """Return the longest time, in seconds, without any request, if chance does not make one so long; else 0.

    It says that clients or the log stood still for once, not that clients come more rarely. Traffic that comes in
    bunches has many such times, of which one changes little.
    """
    longest = max((later.at - earlier.at).total_seconds() for earlier, later in pairwise(side))
    by_chance = (math.log(len(side)) + 3) * (span - longest) / len(side)
    return longest if longest > by_chance else 0.0


def _bunching(side: Sequence[Request]) -> float:
    """Return the variance of the arrivals of a second over their mean; 1 for Poisson's, never taken below 1.5.

    Clients that stood still for seconds, or come in bunches, make a rate less certain than the count says.
    """
    first = side[0].at
    counts = np.bincount([int((one.at - first).total_seconds()) for one in side])[:-1]  # the last second is cut short
    return max(1.5, float(counts.var(ddof=1) / counts.mean())) if len(counts) > 2 and counts.any() else 1.5


def _large(found: Sequence[Request], failed: Sequence[Request]) -> Finding:
    """Weigh whether each death of a pod took a large request with it more often than chance would have it."""
    sizes = np.array([one.size for one in found if one.size is not None])
    if len(sizes) < 10:
        return unknown(LARGE_FAIL, NO_SIZES)
    bound = LARGE * float(np.median(sizes))
    share = float((sizes > bound).mean())
    broken = [one for one in failed if one.status == 502 and one.size is not None]
    deaths = _deaths([one for one in broken if one.seconds is None or one.seconds > REFUSED])
    if not deaths:
        return unknown(LARGE_FAIL, "no data: no answer broke off (502), so no death can be told from refusals")
    if share == 0:
        return measured(LARGE_FAIL, -CLEAR, statistic=0.0, says="All requests are of about one size.")
    ratio, took = 0.0, 0
    for death in deaths:
        chance = 1 - (1 - share) ** len(death)
        large = any((one.size or 0) > bound for one in death)
        took += large
        ratio += math.log(0.93 / chance) if large else math.log(0.07 / (1 - chance)) if chance < 1 else 0.0
    says = (
        f"{took} of {len(deaths)} deaths of pods took a request of more than {bound:,.0f} bytes with them; "
        f"{share:.1%} of all requests are that large."
    )
    return measured(LARGE_FAIL, ratio, statistic=took / len(deaths), says=says)


def _deaths(broken: Sequence[Request]) -> list[list[Request]]:
    """Return failures that came together at one pod; each list is one death."""
    whole = not any(one.at.microsecond for one in broken)
    together = TOGETHER_IN_WHOLE_SECONDS if whole else TOGETHER
    deaths: list[list[Request]] = []
    for upstream in sorted({one.upstream for one in broken}):
        for one in (one for one in broken if one.upstream == upstream):
            same = deaths and deaths[-1][-1].upstream == upstream
            if same and (one.at - deaths[-1][-1].at).total_seconds() <= together:
                deaths[-1].append(one)
            else:
                deaths.append([one])
    return deaths


def _chart(found: Sequence[Request]) -> Series:
    """Return requests and failures over time, in forty pieces."""
    first, last = found[0].at, found[-1].at
    width = max((last - first).total_seconds() / 40, 0.5)
    place = [min(39, int((one.at - first).total_seconds() / width)) for one in found]
    every = np.bincount(place, minlength=40) / width
    bad = np.bincount([p for p, one in zip(place, found, strict=True) if one.failed], minlength=40) / width
    return Series(
        tuple(first + timedelta(seconds=width * k) for k in range(40)),
        (Line("all", tuple(every.tolist())), Line("failed", tuple(bad.tolist()))), "requests/s",
        "Requests at the gateway",
    )  # fmt: skip
