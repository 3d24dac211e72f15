"""Whether scaling out helps, from a Prometheus whose series follow known laws: over its real HTTP interface."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from sickbay.investigation import run_probe
from tests.sources import prometheus

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
HOUR = 3600.0
QUERIES = {
    "throughput": "rate", "concurrency": "under_way", "replicas": "pods", "resources": {"processor": "cpu"},
    "shared": {"database": "db"},
}  # fmt: skip


class Day:
    """A day of a service: load goes up and down, replicas follow in steps; ``own``: 1 nothing is shared, 0 all is."""

    def __init__(self, own=1.0, serial=0.12, top=12.0, sick=1.0, noise=0.05):
        self.own, self.serial, self.top, self.sick, self.noise = own, serial, top, sick, noise

    def under_way(self, at):
        now = self.sick if at > NOW.timestamp() - 1500 else 1.0
        return now * self._base(at)

    def _base(self, at):
        wave = 0.5 + 0.5 * math.sin(2 * math.pi * at / (3.1 * HOUR))
        return self.pods(at) * 0.4 * (self.top / 0.4) ** wave

    def pods(self, at):
        return (2.0, 3.0, 4.0, 6.0)[int(at // 4000) % 4]

    def rate(self, at):
        r, n = self.pods(at), self._base(at)
        m = n / r**self.own
        wobble = math.exp(self.noise * np.random.default_rng(int(at)).normal())
        return wobble * r**self.own * 40 * m / (1 + self.serial * (m - 1) + 0.0005 * m * (m - 1))

    def series(self, **more):
        found = {"rate": self.rate, "under_way": self.under_way, "pods": self.pods}
        found |= {"cpu": lambda at: 0.4 * self.rate(at) / 600, "db": lambda at: self.rate(at) / 600} | more
        return {name: [({}, value)] for name, value in found.items()}


def looked(series, queries=QUERIES):
    with prometheus.served(series) as url:
        site = {"source": {"prometheus": {"url": url, "scaling": queries}}}
        return {f.id: f for f in run_probe(site, "latency.scaling", clock=lambda: NOW)}


def test_replicas_that_share_nothing_help():
    found = looked(Day(own=1.0, top=25).series())
    assert found["latency.load_saturates"].on
    shared = found["latency.shared_limit"]
    assert shared.log_ratio < -1
    assert shared.statistic > 1.8, "twice the replicas bring twice the throughput"


def test_replicas_that_share_what_is_waited_for_do_not_help_and_it_is_named():
    day = Day(own=0.0, serial=0.2, top=20)
    used_up = 40 / 0.2 / 1.3
    found = looked(day.series(db=lambda at: min(1.0, day.rate(at) / used_up)))
    shared = found["latency.shared_limit"]
    assert shared.on, shared
    assert shared.statistic < 1.25
    assert "database" in shared.says
    assert "used up" in shared.says


def test_a_service_that_is_not_busy_has_no_limit():
    found = looked(Day(serial=0.0, top=4.0).series())
    assert found["latency.load_saturates"].log_ratio < -1
    assert found["latency.shared_limit"].log_ratio < 0


def test_more_under_way_at_the_same_load_is_not_called_saturation():
    found = looked(Day(serial=0.0, top=4.0, sick=12.0).series())
    assert not found["latency.load_saturates"].on
    assert "the load does not explain that" in found["latency.load_saturates"].says
    assert found["latency.shared_limit"].status == "unknown"


def test_without_replicas_the_resource_that_is_used_up_decides():
    day = Day(own=0.0, serial=0.2, top=20)
    day.pods = lambda at: 1.0
    few = {name: QUERIES[name] for name in ("throughput", "concurrency", "resources", "shared")}
    full = 40 / 0.2 / 1.3
    for name, sign in {"db": 1, "cpu": -1}.items():
        found = looked(day.series(**{name: lambda at: min(1.0, day.rate(at) / full)}), few)
        assert sign * found["latency.shared_limit"].log_ratio > 1, name
    found = looked(day.series(), {name: few[name] for name in ("throughput", "concurrency")})
    assert found["latency.load_saturates"].on
    assert found["latency.shared_limit"].status == "unknown"


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ({"under_way": [({}, lambda at: 3.0)]}, "levels of concurrency"),
        ({"under_way": [({}, lambda at: 3.0 + 0.5 * math.sin(at / 4000))]}, "varied only"),
        ({"under_way": []}, "no series"),
        ({"under_way": [({"pod": "a"}, lambda at: 1.0), ({"pod": "b"}, lambda at: 1.0)]}, "2 series"),
        ({"rate": [({}, lambda at: math.nan)]}, "levels of concurrency"),
        ({"rate": [({}, lambda at: 20.0 * math.exp(math.sin(at)))]}, "besides the load"),
        ({"rate": "timeout"}, "timed out"), ({"rate": "parse error"}, "scaling.throughput"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_unknown_with_its_reason(series, reason):
    day = Day()
    day.pods = lambda at: 2.0
    found = looked(day.series() | series)
    assert {f.status for f in found.values()} == {"unknown"}
    assert all(reason in f.reason for f in found.values()), found


def test_without_queries_it_says_what_is_missing():
    found = run_probe({"source": {"prometheus": {"pages": {"m": "http://127.0.0.1:9/metrics"}}}}, "latency.scaling")
    assert {f.status for f in found} == {"unknown"}
    assert all("source.prometheus.scaling" in f.reason for f in found)


def test_a_warning_of_the_server_is_passed_on():
    with prometheus.served(Day().series(), warnings=["a store did not answer"]) as url:
        site = {"source": {"prometheus": {"url": url, "scaling": QUERIES}}}
        found = run_probe(site, "latency.scaling", clock=lambda: NOW)
    assert "a store did not answer" in found[0].says
