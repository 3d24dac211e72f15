"""Probe of the history of a service's load: whether more replicas can help, by how much, and what is used up.

Throughput over requests under way follows the universal scalability law while a system stays the same; so the latest
while, in which it may be sick, is left out of the fit and compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.prometheus import Prometheus
from sickbay.stats import latency
from sickbay.stats.scaling import Pooling, Scalability, by_level, pooling, scalability, steepness, steepness_error
from sickbay.terms.evidence import Evidence, Exhibit, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

POINTS = 480
LATEST_SECONDS = 1800.0
"""What counts as now: left out of the fit, at most a tenth of the history."""
FEWEST_LEVELS, VARIED, APART = 4, 3.0, 0.4
"""Levels of concurrency, the factor between the highest and the lowest, and the greatest scatter within one."""
USED_UP = 0.85

SATURATES = FindingKind(
    "latency.load_saturates",
    says="At the highest load, more requests at once no longer bring more throughput.",
    leak=0.1,
)
SHARED = FindingKind(
    "latency.shared_limit",
    says="What limits throughput is shared by all replicas: more of them would hardly help.",
    leak=0.05,
)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Load:
    """The history: requests under way, a second, and replicas (NaN where none are told) at each time; use 0…1."""

    under_way: Floats
    rate: Floats
    replicas: Floats
    own: Mapping[str, Floats]
    shared: Mapping[str, Floats]
    warnings: tuple[str, ...]
    latest: int

    def before(self, row: Floats) -> Floats:
        """Return what lies before the latest while."""
        return row[: len(row) - self.latest]

    def now(self, row: Floats) -> float:
        """Return the median over the latest while; NaN where there is none."""
        part = row[len(row) - self.latest :]
        return float(np.median(part[np.isfinite(part)])) if np.isfinite(part).any() else float("nan")


@dataclass(frozen=True, slots=True)
class Fit:
    """The law per replica, and how replicas enter it; ``top``: the highest usual concurrency per replica."""

    law: Scalability
    pool: Pooling | None
    top: float
    replicas: float
    levels: tuple[Floats, Floats, Floats]

    def steepness(self) -> tuple[float, float]:
        """Return by how many % throughput rises for 1 % more under way at the top, and its standard error."""
        under_way, rate, replicas = self.levels
        own = self.pool.own if self.pool else 1.0
        at = self.top * self.replicas / self.replicas**own
        n, x = under_way / replicas**own, rate / replicas**own
        return steepness(self.pool.law if self.pool else self.law, at), steepness_error(n, x, at)

    def under_way(self, rate: float, replicas: float) -> float:
        """Return the least number of requests under way at which the law gives this throughput; NaN above its peak."""
        tried = np.geomspace(0.01, max(self.top * 4, 2.0), 400)
        if self.pool:
            share = replicas**self.pool.own
            rates = share * self.pool.law.throughput(tried * replicas / share)
        else:
            rates = replicas * self.law.throughput(tried)
        enough = np.flatnonzero(rates >= rate)
        return float(tried[enough[0]] * replicas) if len(enough) else float("nan")


def read(prometheus: Prometheus) -> Load:
    """Return the history that the site's queries give; SourceError, or SiteFileError for a query that is wrong."""
    given = prometheus.scaling
    if given is None:
        raise SourceError(
            "no data: [source.prometheus.scaling] names no queries for throughput and concurrency; a page of metrics "
            "alone has no history"
        )
    wanted = {"throughput": given.throughput, "concurrency": given.concurrency}
    wanted |= {"replicas": given.replicas} if given.replicas else {}
    wanted |= {f"resources.{name}": query for name, query in given.resources.items()}
    wanted |= {f"shared.{name}": query for name, query in given.shared.items()}
    with ThreadPoolExecutor(4) as pool:
        asked = {
            key: pool.submit(prometheus.history, f"scaling.{key}", query, given.hours, POINTS)
            for key, query in wanted.items()
        }
        found = {key: future.result() for key, future in asked.items()}
    rows: dict[str, Floats] = {}
    for key, history in found.items():
        if len(history.rows) != 1:
            what = "no series" if not history.rows else f"{len(history.rows)} series: sum(…) makes one of them"
            raise SourceError(f"no data: 'source.prometheus.scaling.{key}' gives {what}")
        rows[key] = history.rows[0][1]
    times = next(iter(found.values())).times
    step = float(times[1] - times[0])
    latest = max(1, min(len(times) // 10, math.ceil(LATEST_SECONDS / step)))
    return Load(
        rows["concurrency"], rows["throughput"], rows.get("replicas", np.full(len(times), np.nan)),
        {key.partition(".")[2]: row for key, row in rows.items() if key.startswith("resources.")},
        {key.partition(".")[2]: row for key, row in rows.items() if key.startswith("shared.")},
        tuple(dict.fromkeys(warning for history in found.values() for warning in history.warnings)), latest,
    )  # fmt: skip


def fit(load: Load) -> Fit:
    """Fit the law to what lies before the latest while; SourceError that says why that cannot be done."""
    n, x = load.before(load.under_way), load.before(load.rate)
    told = np.isfinite(load.replicas).any()
    r = load.before(load.replicas) if told else np.ones(len(n))
    under_way, rate, replicas, scatter = by_level(n, x, r)
    if len(under_way) < FEWEST_LEVELS:
        raise SourceError(f"no data: {len(under_way)} levels of concurrency were seen, {FEWEST_LEVELS} are needed")
    each = under_way / replicas
    if each.max() < VARIED * each.min():
        raise SourceError(
            f"no data: concurrency varied only between {each.min():.2g} and {each.max():.2g}"
            f"{' per replica' if told else ''}: how throughput grows with it cannot be told"
        )
    if scatter > APART:
        raise SourceError(
            f"no data: throughput at the same concurrency lies {math.expm1(scatter):.0%} apart: something besides the "
            "load changed in this history"
        )
    law = scalability(each, rate / replicas)
    together = pooling(under_way, rate, replicas) if replicas.max() >= 1.5 * replicas.min() else None
    known = np.isfinite(n) & np.isfinite(r) & (r > 0)
    top = float(np.quantile(n[known] / r[known], 0.97))
    return Fit(law, together, top, float(np.median(r[known])), (under_way, rate, replicas))


@probe(findings=[SATURATES, SHARED], seconds=1.5, deadline=60, name="latency.scaling")
def scaling(prometheus: Prometheus) -> Iterable[Finding]:
    """Fits throughput over concurrency (and replicas) in Prometheus' history, and says whether scaling out can help."""
    load = read(prometheus)
    found = fit(load)
    steep, error = found.steepness()
    low, high = steep - 1.96 * error, steep + 1.96 * error
    changed, now = _now(load, found)
    uses = _uses(load)
    numbers = {
        "serial": found.law.serial, "crosstalk": found.law.crosstalk, "steepness": steep, "steepness_low": low,
        "steepness_high": high, "top_per_replica": found.top,
    }  # fmt: skip
    if math.isfinite(found.law.peak):
        numbers["peak_per_replica"] = found.law.peak
    if found.pool:
        numbers |= {"own": found.pool.own, "own_low": found.pool.low, "own_high": found.pool.high}
        numbers["gain_of_twice_the_replicas"] = found.pool.gain(found.top, found.replicas, 2 * found.replicas)
    evidence = Evidence(numbers, [*_levels(found), *_table(uses)])
    ratio = latency.share(1 - steep, 0.65, steep=7.0, most=2.5)
    ratio *= 1 / (1 + (4 * error) ** 2) if math.isfinite(error) else 0.3  # a steepness that is hardly known says little
    interval = f" (95 % interval {low:.2f} to {high:.2f})" if math.isfinite(error) else ""
    warned = f" Prometheus warns: {load.warnings[0]}." if load.warnings else ""
    yield measured(
        SATURATES, ratio, statistic=steep, evidence=evidence,
        says=f"At {found.top:.3g} requests under way{' per replica' if found.pool else ''}, 1 % more of them bring "
        f"{steep:.2f} % more throughput{interval}.{now}{warned}",
    )  # fmt: skip
    yield _shared(found, steep, changed, uses, evidence)


def _shared(
    found: Fit, steep: float, changed: bool, uses: Mapping[str, tuple[bool, float, float, float]], evidence: Evidence
) -> Finding:
    nearest = max(uses, key=lambda name: uses[name][2], default="")
    told = ""
    if nearest:
        shared, _, use, limit = uses[nearest]
        kind = "shared by all" if shared else "each replica's own"
        what = "is used up" if use >= USED_UP else f"comes nearest to its limit, which is at about {limit:.3g}/s"
        told = f" At the highest load {nearest} ({kind}) {what}: {use:.0%} of it are used."
    if steep > 0.6:
        if changed:
            return unknown(
                SHARED, "no data: nothing limited throughput in the history, and the latest while does not follow it",
                evidence=evidence,
            )  # fmt: skip
        says = f"No limit was reached: requests hardly wait for each other; more replicas would change little.{told}"
        return measured(SHARED, -1.5, statistic=steep, says=says, evidence=evidence)
    if found.pool:
        gains = [
            found.pool.gain(found.top, found.replicas, 2 * found.replicas, own)
            for own in (found.pool.own, found.pool.low, found.pool.high)
        ]
        ratio = latency.share(1 - found.pool.own, 0.5, steep=6.0, most=2.5)
        if found.pool.low < 0.5 < found.pool.high:
            ratio = max(-0.5, min(0.5, ratio))
        says = (
            f"Twice the replicas would bring {gains[0]:.2g} times the throughput (95 % interval {min(gains):.2g} to "
            f"{max(gains):.2g}): {found.pool.own:.0%} of what is waited for comes with each replica.{told}"
        )
        return measured(SHARED, ratio, statistic=gains[0], says=says, evidence=evidence)
    if nearest and uses[nearest][2] >= USED_UP:
        shared = uses[nearest][0]
        says = f"{told.strip()} More replicas {'would not help' if shared else 'bring more of it'}."
        return measured(SHARED, 1.5 if shared else -1.5, statistic=uses[nearest][2], says=says, evidence=evidence)
    why = "no number of replicas is asked for or it did not vary, and no resource that is asked for was used up"
    return unknown(SHARED, f"no data: {why}.{told}".rstrip("."), evidence=evidence)


def _now(load: Load, found: Fit) -> tuple[bool, str]:
    """Return whether far more requests are under way now than the load explains, and a sentence on it."""
    under_way, rate = load.now(load.under_way), load.now(load.rate)
    replicas = load.now(load.replicas)
    replicas = found.replicas if math.isnan(replicas) or replicas <= 0 else replicas
    if math.isnan(under_way) or math.isnan(rate) or rate <= 0:
        return False, ""
    expected = found.under_way(rate, replicas)
    if math.isnan(expected):
        return False, f" Now {rate:.3g} come a second, more than it ever could serve."
    if under_way > 2.5 * expected and under_way - expected > 1:
        return True, (
            f" Now {under_way:.3g} are under way at {rate:.3g} a second, where its history expects {expected:.2g}: the "
            "load does not explain that."
        )
    return False, ""


def _uses(load: Load) -> dict[str, tuple[bool, float, float, float]]:
    """Return per resource: whether it is shared, its use at low and high load, and the throughput that uses it up."""
    n, x = load.before(load.under_way), load.before(load.rate)
    found = {}
    for shared, given in ((False, load.own), (True, load.shared)):
        for name, whole in given.items():
            use = load.before(whole)
            known = np.isfinite(use) & np.isfinite(n) & np.isfinite(x)
            if known.sum() < 10:
                continue
            quiet, busy = np.quantile(n[known], [0.25, 0.95])
            low = float(np.median(use[known & (n <= quiet)]))
            high = float(np.median(use[known & (n >= busy)]))
            rate = float(np.median(x[known & (n >= busy)]))
            found[name] = (shared, low, high, rate / high if high > 0 else math.inf)
    return found


def _levels(found: Fit) -> list[Exhibit]:
    rows = tuple(
        (f"{replica:.0f}", f"{n:.3g}", f"{x:.4g}", f"{replica * float(found.law.throughput(n / replica)):.4g}")
        for n, x, replica in zip(*found.levels, strict=True)
    )
    columns = ("replicas", "under way", "a second", "law, if nothing is shared")
    return [Rows(columns, rows[:: max(1, len(rows) // 24)], "Throughput over requests under way")]


def _table(uses: Mapping[str, tuple[bool, float, float, float]]) -> list[Exhibit]:
    rows = tuple(
        (name, "all replicas" if shared else "each replica", f"{low:.0%}", f"{high:.0%}", f"{limit:.4g}")
        for name, (shared, low, high, limit) in uses.items()
    )
    columns = ("resource", "of", "at low load", "at high load", "used up at, a second")
    return [Rows(columns, rows, "What is used")] if rows else []
