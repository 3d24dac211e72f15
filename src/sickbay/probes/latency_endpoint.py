"""Probes of a model server from its clients' side: how slow it is, whether size, company or the event loop makes it so.

A handful of requests, at most four at once: it adds next to no load, and does not wait for the symptom.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.context import TOO_HEAVY
from sickbay.sources.replies import Reply
from sickbay.sources.serving import Serving
from sickbay.stats import latency
from sickbay.stats.scaling import Growth, growth
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SIZES = (0.1, 2.0, 4.0)
GENERAL_SECONDS = 0.1
"""What a request of a model server takes in general, where nothing is known of this one."""
PATIENCE = 6.0
"""Seconds after which no further requests are begun."""
AWAY = ("refused", "unresolved", "unreachable", "certificate")

SLOW = FindingKind(
    "latency.slow", says="Requests take several times what they take when all is well.", leak=0.03, unit="s"
)
HEALTH_SLOW = FindingKind("latency.health_slow", says="The health check is slow or fails.", leak=0.04, unit="s")
GROWS = FindingKind(
    "latency.grows_fast", says="The time of a request grows faster than its size.", leak=0.02, unit="order"
)
STALLS = FindingKind(
    "latency.health_stalls", says="The health check waits until a prediction that is under way ends.", leak=0.03
)
QUEUE = FindingKind(
    "latency.requests_queue", says="Requests that come together are answered one after the other.", leak=0.15
)
ALL = (SLOW, HEALTH_SLOW, GROWS, STALLS, QUEUE)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the handful of requests showed; seconds. ``stall``: the share of a prediction that health waited."""

    solo: list[float]
    failed: list[str]
    health: list[float]
    health_failed: str
    sizes: list[float]
    by_size: list[float]
    together: float
    stall: float
    stalled: float

    @property
    def typical(self) -> float:
        """Median time of a request alone."""
        return statistics.median(self.solo)

    def numbers(self) -> dict[str, float]:
        """Return the figures that a baseline keeps."""
        found = {"solo_seconds": self.typical}
        if self.together == self.together:
            found["together_ratio"] = self.together / self.typical
        return found | ({"health_seconds": min(self.health)} if self.health else {})


def observe(serving: Serving) -> dict[str, float]:
    """Return the figures of a server that is well, for a baseline."""
    return look(serving).numbers()


def look(serving: Serving) -> Seen:
    """Send the requests; SourceError when the server does not answer a prediction at all."""
    if serving.body is None:
        raise SourceError('no data: [source.serving] names no request = "file.json" that may be sent')
    began = time.monotonic()

    def left() -> float:
        return PATIENCE - (time.monotonic() - began)

    health = _healths(serving)
    replies: list[Reply] = []
    while len(replies) < 5 and (len(replies) < 2 or left() > 0.6 * PATIENCE):
        replies.append(serving.predict())
    solo = [reply.seconds for reply in replies if reply.ok]
    failed = [reply.says for reply in replies if not reply.ok]
    if not solo and health and health[-1].ok and all(reply.state == "timed out" for reply in replies):
        nan, waited = float("nan"), [reply.seconds for reply in replies]  # it lives: a bound on its slowness is known
        return Seen(waited, failed, [h.seconds for h in health], "", [], [], nan, 0.0, nan)
    if not solo:
        _raise(replies[-1])
    sizes, times = [float(serving.size)], [min(solo)]
    for scale in SIZES if serving.grows and not serving.gentle else ():
        expected = max(times) * max(1.0, scale)
        tries = [serving.predict(scale=scale) for _ in range(2 if left() > 6 * expected else 1 if left() > 0 else 0)]
        good = [reply.seconds for reply in tries if reply.ok]
        if good:
            sizes.append(max(1.0, round(serving.size * scale)))
            times.append(min(good))
    stall, stalled = 0.0, float("nan")
    if health and health[-1].ok:
        stall, stalled = _stall(serving, 2 if left() > 3 * min(solo) else 1)
    together = float("nan") if serving.gentle else max(reply.seconds for reply in serving.together(4))
    bad = next((reply.says for reply in health if not reply.ok), "")
    return Seen(solo, failed, [h.seconds for h in health if h.ok], bad, sizes, times, together, stall, stalled)


@probe(findings=ALL, seconds=3.0, deadline=45, name="latency.endpoint")
def endpoint(serving: Serving) -> Iterable[Finding]:
    """Times a handful of requests: alone, four at once, small and large, and the health check beside a prediction.

    In the gentle mode only requests of the usual size, one at a time.
    """
    seen = look(serving)
    usual = serving.baseline
    known = usual.get("solo_seconds", serving.expected)
    ratio = latency.against(seen.typical, known, general=GENERAL_SECONDS, matters=2.5, floor=0.01)
    table = tuple(
        (f"{size:.0f}", f"{seconds * 1000:.0f} ms")
        for size, seconds in sorted(zip(seen.sizes, seen.by_size, strict=False))
    )
    told = "" if known is None else f", {seen.typical / known:.1f} times the usual {known * 1000:.0f} ms"
    yield measured(
        SLOW, 3.0 if len(seen.failed) >= 3 else ratio, statistic=seen.typical,
        says=f"A request alone takes {seen.typical * 1000:.0f} ms{told}; {len(seen.failed)} of "
        f"{len(seen.failed) + len(seen.solo)} failed.",
        evidence=Evidence(seen.numbers() | {"failed": len(seen.failed)}, [Rows(("size", "time"), table, "By size")]),
    )  # fmt: skip
    yield _health(seen, usual)
    yield _stalls(seen)
    if serving.gentle:
        yield from (unknown(kind, TOO_HEAVY) for kind in (GROWS, QUEUE))
    else:
        yield _growth(seen)
        yield _queue(seen, usual)


def _health(seen: Seen, usual: Mapping[str, float]) -> Finding:
    if seen.health_failed:
        return measured(HEALTH_SLOW, 3.0, says=f"The health check fails: {seen.health_failed}.")
    if not seen.health:
        return unknown(HEALTH_SLOW, "no data: [source.serving] names no health check")
    typical = statistics.median(seen.health)
    ratio = latency.against(typical, usual.get("health_seconds"), general=0.01, matters=5.0, floor=0.01)
    return measured(HEALTH_SLOW, ratio, statistic=typical, says=f"The health check answers in {typical * 1000:.0f} ms.")


def _growth(seen: Seen) -> Finding:
    if len(seen.sizes) < 3:
        return unknown(
            GROWS, 'no data: requests of other sizes were not answered, or [source.serving] names no "grows"'
        )
    found: Growth = growth(seen.sizes, seen.by_size)
    small, large = (f(zip(seen.sizes, seen.by_size, strict=True)) for f in (min, max))
    rise = large[1] / small[1]
    says = (
        f"Time grows as size to the power {found.order:.1f} (95 % interval {found.low:.1f} to {found.high:.1f}): "
        f"{small[1] * 1000:.0f} ms at {small[0]:.0f}, {large[1] * 1000:.0f} ms at {large[0]:.0f}."
    )
    if rise < 3 or found.growing < 0.6:
        return measured(GROWS, -3.0, statistic=found.order, says=f"Size hardly matters. {says}")
    ratio = latency.share(found.low / 2, 0.68, steep=14.0)
    if found.high - found.low > 1.2:  # noise could have made it so
        ratio = max(-1.0, min(1.0, ratio))
    return measured(GROWS, ratio, statistic=found.order, says=says)


def _stalls(seen: Seen) -> Finding:
    if seen.stalled != seen.stalled:
        return unknown(STALLS, "no data: there is no health check that answers")
    idle = min(seen.health)
    says = (
        f"Beside a prediction of {seen.stalled * 1000:.0f} ms the health check takes "
        f"{seen.stall * seen.stalled * 1000:.0f} ms, alone {idle * 1000:.0f} ms."
    )
    if seen.stall * seen.stalled < 0.05:
        return measured(STALLS, -2.5, statistic=seen.stall, says=says)
    return measured(STALLS, latency.share(seen.stall, 0.5, steep=9.0), statistic=seen.stall, says=says)


def _queue(seen: Seen, usual: Mapping[str, float]) -> Finding:
    if seen.together != seen.together:
        return unknown(QUEUE, "timed out: not even one alone is answered in time")
    ratio = seen.together / max(1e-9, min(seen.solo))
    says = f"Four requests at once take {ratio:.1f} times one alone."
    if seen.together < 0.1:
        return measured(QUEUE, -2.0, statistic=ratio, says=says)
    return measured(QUEUE, latency.share(ratio / 4, 0.55, steep=6.0, most=2.0), statistic=ratio, says=says)


def _healths(serving: Serving) -> list[Reply]:
    """Return what came of asking the health check three times; once where nothing comes."""
    found: list[Reply] = []
    while len(found) < 3:
        reply = serving.health()
        if reply is None:
            break
        found.append(reply)
        if reply.state != "answered":
            break
    return found


def _stall(serving: Serving, times: int) -> tuple[float, float]:
    """Return which share of a prediction's time the slowest health check beside it took, and the prediction's time."""
    best = (0.0, 0.0)
    for _ in range(times):
        found: list[Reply] = []
        thread = threading.Thread(target=lambda: found.append(serving.predict(scale=2.0)), daemon=True)  # noqa: B023
        thread.start()
        time.sleep(0.02)
        waited: list[float] = []
        while thread.is_alive() and len(waited) < 20:
            reply = serving.health()
            if reply is not None:
                waited.append(reply.seconds)
            thread.join(0.02)
        thread.join(10)
        if found and found[0].ok and waited:
            best = max(best, (min(1.0, max(waited) / found[0].seconds), found[0].seconds))
    return best if best[1] else (0.0, float("nan"))


def _raise(reply: Reply) -> None:
    if reply.status in (401, 403):
        raise SourceError(f"forbidden: {reply.says}")
    if reply.state == "timed out":
        raise SourceError(f"timed out: {reply.says}")
    if reply.state == "answered":
        raise SourceError(f"garbled: {reply.says}" if reply.status < 400 else f"unreachable: {reply.says}")
    raise SourceError(f"unreachable: {reply.says}")
