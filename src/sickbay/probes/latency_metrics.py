"""Probe of what a service tells of itself in Prometheus' format: where a request's time goes, and what is waited for.

Names differ between frameworks; families are found by what their names and labels usually say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.pod_metrics import Scrape
from sickbay.sources.prometheus import Prometheus
from sickbay.stats import latency
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SECONDS, LONGEST = 4.0, 8.0
"""How long two readings lie apart, and how long it is waited for a request in between."""
LOOKS = 6
"""Readings in between: a pool that is used up is not used up at every instant."""
REQUEST = re.compile(r"(http|grpc|request|predict|server).*(duration|latency|seconds)", re.I)
STAGE_LABELS = ("stage", "step", "phase", "part")
PEER_LABELS = ("peer", "target", "upstream", "service", "host", "peer_service", "server_address")
OWN = re.compile(r"health|metrics|ready|live", re.I)
ROLES = {
    "features": re.compile(r"feature|preproc|transform|encod|token|prepare", re.I),
    "inference": re.compile(r"infer|predict|score|model|forward|embed", re.I),
}
POOL = re.compile(r"pool", re.I)

SLOW = FindingKind(
    "latency.requests_slow", says="Requests of its clients take several times the usual.", leak=0.04, unit="s",
    group="latency.slow",
)  # fmt: skip
FEATURES = FindingKind(
    "latency.features_take_it", says="The time that was added is spent on features.", leak=0.03, group="latency.stage"
)
INFERENCE = FindingKind(
    "latency.inference_takes_it",
    says="The time that was added is spent in the model.",
    leak=0.03,
    group="latency.in_model",
)
CALLS = FindingKind(
    "latency.calls_take_it", says="The time that was added is spent waiting for other services.", leak=0.04
)
POOL_WAITS = FindingKind("latency.pool_waits", says="Requests wait for a connection of the pool.", leak=0.02, unit="s")
LAG = FindingKind(
    "latency.loop_lags", says="The event loop runs its timers late: something holds it.", leak=0.05, unit="s"
)
PAUSES = FindingKind(
    "latency.collector_pauses",
    says="The garbage collector stops the process much of the time.",
    leak=0.02,
    unit="s/s",
)
BUSIER = FindingKind("latency.more_requests", says="More requests come than usual.", leak=0.1, unit="1/s")
ALL = (SLOW, FEATURES, INFERENCE, CALLS, POOL_WAITS, LAG, PAUSES, BUSIER)
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to histograms and counters between two readings of a page, ``seconds`` apart."""

    before: Scrape
    after: Scrape
    seconds: float
    between: tuple[Scrape, ...] = ()

    def rise(self, name: str, labels: Labels) -> float:
        """Return by how much a counter rose; after a restart, what it counts since then."""
        now = self.after.samples.get(name, {}).get(labels, 0.0)
        then = self.before.samples.get(name, {}).get(labels, 0.0)
        return now - then if now >= then else now

    def means(self, family: str, wanted: Mapping[str, str] | None = None) -> tuple[float, float]:
        """Return how many observations a histogram took in, and their sum; health and metrics are left out."""
        count = total = 0.0
        for labels in self.after.samples.get(f"{family}_count", {}):
            given = dict(labels)
            if any(OWN.search(value) for value in given.values()):
                continue
            if wanted and any(given.get(key) != value for key, value in wanted.items()):
                continue
            count += self.rise(f"{family}_count", labels)
            total += self.rise(f"{family}_sum", labels)
        return count, total

    def families(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the histograms and summaries whose names match."""
        names = (name.removesuffix("_count") for name in self.after.samples if name.endswith("_count"))
        return [name for name in names if pattern.search(name) and f"{name}_sum" in self.after.samples]


def watch(prometheus: Prometheus, seconds: float = SECONDS) -> Change:
    """Read the first page several times over some seconds, and once more if no request came in between."""
    if not prometheus.pages:
        raise SourceError("no data: [source.prometheus] names no pages of the service")
    name = prometheus.pages[0]
    before, began = prometheus.scrape(name), time.monotonic()
    between = []
    for _ in range(LOOKS):
        time.sleep(seconds / LOOKS)
        between.append(prometheus.scrape(name))
    while True:
        seen = Change(before, prometheus.scrape(name), time.monotonic() - began, tuple(between))
        if seen.seconds > LONGEST or _requests(seen)[0] >= 3:
            return seen
        time.sleep(0.5)


def watched(prometheus: Prometheus) -> Change:
    """Return what happened to the page in a while; probes of one investigation share it."""
    return prometheus.once.get("watch", lambda: watch(prometheus))


def observe(prometheus: Prometheus) -> dict[str, float]:
    """Return the figures of a service that is well, for a baseline."""
    return figures(watch(prometheus))


def figures(seen: Change) -> dict[str, float]:
    """Return means in seconds: requests, each stage, calls of others, waits; and rates a second."""
    found: dict[str, float] = {}
    count, total = _requests(seen)
    found["requests_a_second"] = count / seen.seconds
    if count:
        found["request"] = total / count
    found |= {f"stage:{name}": value for name, value in _labelled(seen, re.compile("."), STAGE_LABELS, count)}
    found |= {f"call:{name}": value for name, value in _labelled(seen, re.compile("client"), PEER_LABELS, count)}
    for name, pattern in {"pool_wait": r"pool.*wait", "lag": r"loop.*(lag|delay)"}.items():
        families = seen.families(re.compile(pattern, re.I))
        if families:
            times, whole = seen.means(families[0])
            found[name] = whole / times if times else 0.0
            if name == "pool_wait" and count:
                found["pool_request"] = whole / count
    sides = (seen.before, *seen.between, seen.after)
    for name, pattern in {"waiting": r"pool.*(waiting|pending)", "idle": r"pool.*(available|idle)"}.items():
        gauge = next((n for n in seen.after.samples if re.search(pattern, n, re.I)), None)
        if gauge:
            values = [sum(side.samples.get(gauge, {}).values()) for side in sides]
            found[name] = max(values)
            found[f"{name}_none"] = sum(value == 0 for value in values) / len(values)
    pause = next((n for n in seen.after.samples if re.search(r"gc.*(pause|duration).*(total|sum)$", n)), None)
    if pause:
        found["collector"] = sum(seen.rise(pause, labels) for labels in seen.after.samples[pause]) / seen.seconds
    return found


@probe(findings=ALL, seconds=SECONDS, deadline=30, name="latency.metrics")
def metrics(prometheus: Prometheus) -> Iterable[Finding]:
    """Reads the service's own metrics twice, and splits the time of the requests in between into its parts."""
    seen = watched(prometheus)
    now, usual = figures(seen), prometheus.baseline
    rows = tuple((n, f"{v:.4g}", f"{usual[n]:.4g}" if n in usual else "") for n, v in sorted(now.items()))
    evidence = Evidence(now, [Rows(("figure", "now", "usual"), rows, "What it tells of itself")])
    if "request" not in now:
        for kind in (SLOW, FEATURES, INFERENCE, CALLS):
            yield unknown(kind, f"no data: no request came in {seen.seconds:.0f} s", evidence=evidence)
    else:
        ratio = latency.against(now["request"], usual.get("request"), general=0.1, matters=2.5, floor=0.01)
        told = f", usually {usual['request'] * 1000:.0f} ms" if "request" in usual else ""
        yield measured(
            SLOW, ratio, statistic=now["request"], evidence=evidence,
            says=f"Its clients' requests take {now['request'] * 1000:.0f} ms on average{told}.",
        )  # fmt: skip
        yield from _parts(now, usual)
    yield from _waits(now, usual)
    if "requests_a_second" in usual:
        rate = now["requests_a_second"]
        ratio = latency.against(rate, usual["requests_a_second"], general=1, matters=2.0, floor=1.0)
        yield measured(
            BUSIER,
            ratio,
            statistic=rate,
            says=f"It gets {rate:.1f} requests a second, usually {usual['requests_a_second']:.1f}.",
        )
    else:
        yield unknown(BUSIER, "no data: there is no baseline to compare the load with")


def _requests(seen: Change) -> tuple[float, float]:
    families = [name for name in seen.families(REQUEST) if "client" not in name and "stage" not in name]
    return seen.means(families[0]) if families else (0.0, 0.0)


def _labelled(
    seen: Change, pattern: re.Pattern[str], labels: tuple[str, ...], requests: float
) -> Iterator[tuple[str, float]]:
    """Yield each value of a label and the seconds that a request spent there, all its visits together."""
    for family in seen.families(pattern):
        values = {
            (key, value) for given in seen.after.samples[f"{family}_count"] for key, value in given if key in labels
        }
        for key, value in sorted(values):
            _, total = seen.means(family, {key: value})
            if requests:
                yield value, total / requests


def _parts(now: Mapping[str, float], usual: Mapping[str, float]) -> Iterator[Finding]:
    more = max(1e-9, now["request"] - usual.get("request", 0.0))
    stages = {name.partition(":")[2]: value for name, value in now.items() if name.startswith("stage:")}
    before = {name.partition(":")[2]: value for name, value in usual.items() if name.startswith("stage:")}
    added = latency.added(stages, before)
    pauses = now.get("collector", 0.0) / max(1e-9, now["requests_a_second"])  # they fall into whatever stage allocates
    slower = more > max(0.015, 0.5 * usual.get("request", 0.0))
    for kind, role in ((FEATURES, "features"), (INFERENCE, "inference")):
        mine = {name: value for name, value in added.items() if ROLES[role].search(name)}
        if not mine:
            yield unknown(kind, f"no data: the service tells of no stage that sounds like {role}")
            continue
        part = max(0.0, sum(mine.values()) - pauses) / max(more, sum(added.values()))
        says = _longer({"features": "Features take", "inference": "The model takes"}[role], sum(mine.values()), more)
        yield measured(kind, latency.share(part, 0.5, steep=7.0) if slower else -1.5, statistic=part, says=says)
    calls = {name: value for name, value in now.items() if name.startswith("call:")}
    if not calls:
        yield unknown(CALLS, "no data: the service tells nothing of its calls of others")
        return
    longer = sum(latency.added(calls, usual).values())
    part = longer / more
    says = _longer("Other services take", longer, more)
    yield measured(CALLS, latency.share(min(1.0, part), 0.5, steep=7.0) if slower else -1.5, statistic=part, says=says)


def _longer(who: str, part: float, whole: float) -> str:
    return f"{who} {part * 1000:.0f} of the {whole * 1000:.0f} ms that a request takes longer."


def _waits(now: Mapping[str, float], usual: Mapping[str, float]) -> Iterator[Finding]:
    if "pool_wait" in now or "waiting" in now:
        wait = now.get("pool_wait", 0.0)
        ratio = latency.against(wait, usual.get("pool_wait"), general=0.002, matters=8.0, floor=0.004)
        more = max(1e-9, now.get("request", 0.0) - usual.get("request", 0.0))
        used_up = now.get("idle_none", 1.0)
        if used_up < 0.15 or wait < 0.08 * more:
            ratio = min(ratio, -1.5)  # whoever waited, waited for something else: a connection was there
        elif used_up > 0.6 and now.get("waiting_none", 1.0) < 0.7:
            ratio = max(ratio, 2.0)
        says = (
            f"A connection comes after {wait * 1000:.1f} ms on average; no connection was idle in {used_up:.0%} of the "
            f"readings, and up to {now.get('waiting', 0):.0f} requests waited."
        )
        yield measured(POOL_WAITS, ratio, statistic=wait, says=says)
    else:
        yield unknown(POOL_WAITS, "no data: the service tells nothing of a pool of connections")
    for kind, name, general, matters, floor, told in (
        (LAG, "lag", 0.003, 6.0, 0.003, "The event loop runs its timers {:.1f} ms late on average{}."),
        (PAUSES, "collector", 0.01, 6.0, 0.015, "The garbage collector takes {:.1f} ms of each second{}."),
    ):
        if name not in now:
            yield unknown(kind, f"no data: the service tells nothing of its {name}")
            continue
        ratio = latency.against(now[name], usual.get(name), general=general, matters=matters, floor=floor)
        often = f", usually {usual[name] * 1000:.1f}" if name in usual else ""
        yield measured(kind, ratio, statistic=now[name], says=told.format(now[name] * 1000, often))
