"""Queries of Prometheus: its own answers and errors as 2.42 gave them, gaps, warnings, bounds, wrong addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from sickbay.config import load_site
from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.sources.context import Context
from sickbay.sources.prometheus import Prometheus, QueryRefused
from sickbay.sources.serving import Serving
from sickbay.sources.traces import Traces
from tests.sources import prometheus

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
MATRIX = {"status": "success", "data": {"resultType": "matrix", "result": []}}


def context(tmp_path, **source):
    return Context(load_site({"source": source}, {}, tmp_path), NOW)


def client(tmp_path, url, **more):
    return Prometheus.connect(context(tmp_path, prometheus={"url": url, **more}))


def asked(tmp_path, answer, method="range"):
    with prometheus.served(whatever=answer) as url:
        source = client(tmp_path, url)
        try:
            if method == "instant":
                return source.instant("up")
            return source.range("up", NOW - timedelta(minutes=1), NOW, 5)
        finally:
            source.close()


def test_recorded_series_are_read_with_their_gaps(tmp_path):
    assert asked(tmp_path, "vector", "instant").series[0].labels["job"] == "self"
    gaps = asked(tmp_path, "gaps").series[0].values
    assert {round(b[0] - a[0]) for a, b in pairwise(gaps)} == {1, 3}
    assert {value for _, value in gaps} == {1.0}
    assert asked(tmp_path, "empty").series == ()


def test_what_is_no_number_is_no_point(tmp_path):
    seen = {one.labels["k"]: one.values for one in asked(tmp_path, "nan and inf").series}
    assert seen == {"inf": (), "minus": (), "nan": ()}


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("parse error", QueryRefused, "unclosed left parenthesis"),
        ("execution error", QueryRefused, "duplicate series"),
        ("too many points", QueryRefused, "11,000 points"),
        ("timeout", SourceTimeout, "deadline exceeded"),
        # 2.42 could not be made to run into its own limit between two steps: the shape is that of its documentation
        ({"_status": 503, "status": "error", "errorType": "timeout", "error": "timed out"}, SourceTimeout, "time"),
        ({"_status": 503, "status": "error", "errorType": "unavailable", "error": "starting"}, SourceError, "starting"),
        ({"_status": 403, "status": "error", "errorType": "forbidden", "error": "tenant"}, SourceForbidden, "403"),
        ("not there", SourceError, "404"),
        ("vector", SourceGarbled, "a vector, not a matrix"),
        ("scalar", SourceGarbled, "a scalar, not a matrix"),
        ({"status": "success"}, SourceGarbled, "data"),
        ({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]}},
         SourceGarbled, "native histogram"),
    ],
)  # fmt: skip
def test_an_error_is_what_it_is(tmp_path, answer, error, says):
    with pytest.raises(error, match=says) as raised:
        asked(tmp_path, answer)
    assert type(raised.value) is error


def test_a_warning_is_kept(tmp_path):
    found = asked(tmp_path, MATRIX | {"warnings": ["a store did not answer"]})
    assert found.warnings == ("a store did not answer",)


def test_an_answer_that_is_too_long_is_said_to_be(tmp_path):
    long = [({"n": str(k)}, lambda at: at) for k in range(4000)]
    with prometheus.served({"q": long}) as url, pytest.raises(SourceGarbled, match="too many series"):
        client(tmp_path, url).range("q", NOW - timedelta(minutes=2), NOW, 1)


def test_a_history_is_laid_on_whole_steps_and_has_holes_where_nothing_is(tmp_path):
    told = []
    series = [({"service": "a"}, lambda at: None if at % 180 == 0 else at), ({"service": "b"}, lambda at: 1.0)]
    with prometheus.served({"q": series}, asked=told) as url:
        found = client(tmp_path, url).history("graph.latency", "q", hours=2, points=120)
    assert len(found.times) == 120
    assert np.all(found.times % 60 == 0)
    row = {labels["service"]: row for labels, row in found.rows}["a"]
    assert np.array_equal(np.isnan(row), found.times % 180 == 0)
    assert np.allclose(row[np.isfinite(row)], found.times[np.isfinite(row)])
    assert told[0]["timeout"] == "6s"


def test_more_points_than_the_server_gives_are_never_asked_for(tmp_path):
    with prometheus.served({"q": []}) as url:
        source = client(tmp_path, url)
        with pytest.raises(ValueError, match="5000 points"):
            source.range("q", NOW - timedelta(days=1), NOW, 15)
        assert len(source.history("x", "q", hours=24 * 31, points=500).times) <= 500


def test_a_query_that_is_wrong_names_its_key(tmp_path):
    with prometheus.served(whatever="parse error") as url, pytest.raises(SiteFileError) as raised:
        client(tmp_path, url).history("scaling.throughput", "sum(up", 24, 100)
    assert "source.prometheus.scaling.throughput" in str(raised.value)


def test_a_server_that_is_slow_or_away_is_not_empty(tmp_path):
    with prometheus.served({"up": []}, slow=1.0) as url, pytest.raises(SourceTimeout):
        client(tmp_path, url).instant("up", seconds=0.3)
    with pytest.raises(SourceError, match="refused"):
        client(tmp_path, "http://127.0.0.1:9").instant("up")


@pytest.mark.parametrize(
    ("source", "kind", "given", "key"),
    [
        (Prometheus, "prometheus", {"url": "prometheus:9090"}, "source.prometheus.url"),
        (Prometheus, "prometheus", {"pages": {"model": "model:8080"}}, "source.prometheus.pages.model"),
        (Prometheus, "prometheus", {"url": "http://p", "scaling": {"throughput": "x"}}, "scaling.concurrency"),
        (Prometheus, "prometheus", {"url": "http://p", "graph": {"latency": "x", "hours": -1}}, "graph.hours"),
        (Serving, "serving", {"url": "model"}, "source.serving.url"),
        (Serving, "serving", {"url": "http://model/p", "health": "/health"}, "source.serving.health"),
        (Traces, "traces", {"url": "jaeger"}, "source.traces.url"),
    ],
)
def test_what_is_wrong_in_the_site_file_is_named_by_its_key(tmp_path, source, kind, given, key):
    with pytest.raises(SiteFileError) as raised:
        source.connect(context(tmp_path, **{kind: given}))
    assert key in str(raised.value)
    assert raised.value.hint
