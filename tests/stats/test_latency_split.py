"""Where a request's time goes: the parts add up, what is not measured is not zero, overlap is said."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sickbay.stats.latency import PARTS, split

SERVICE = {"request": 0.5, "requests_a_second": 4.0, "call:risk": 0.1, "pool_request": 0.02}
PROCESS = {
    "cpu": 0.4, "run_delay": 0.8, "throttled": 0.6, "blocked": 0.2, "faulting": 0.0, "stalled": 0.0, "unread": 0.4,
    "majors": 0.0,
}  # fmt: skip


def test_numbers_of_threads_become_seconds_of_a_request():
    found = split(SERVICE, PROCESS)
    assert found.whole == pytest.approx(0.6), "what waits unread comes before what the server times"
    expected = {
        "queue": 0.1, "processor": 0.1, "held_back": 0.15, "runnable": 0.05, "memory": 0.0, "disk": 0.05,
        "downstream": 0.1, "pool": 0.02,
    }  # fmt: skip
    assert {name: found.parts[name] for name in expected} == pytest.approx(expected)
    assert math.isnan(found.parts["loop"])
    assert found.rest == pytest.approx(0.03)


@given(st.dictionaries(st.sampled_from(sorted(PROCESS)), st.floats(0, 20)), st.floats(0.001, 5), st.floats(0.1, 100))
def test_parts_are_never_more_than_the_whole(process, request, rate):
    service = {"request": request, "requests_a_second": rate, "lag": 0.01, "call:x": request / 3}
    found = split(service, process)
    known = [value for value in found.parts.values() if value == value]
    assert set(found.parts) == set(PARTS)
    assert all(value >= 0 for value in known)
    assert sum(known) + found.rest == pytest.approx(found.whole)
    assert 0 < found.overlap <= 1


def test_what_is_not_measured_is_not_zero():
    found = split({"request": 0.2, "requests_a_second": 1.0}, {})
    assert all(math.isnan(value) for value in found.parts.values())
    assert found.rest == 0.2


def test_faults_and_reads_are_told_apart_or_left_open():
    told = {"blocked": 1.0, "faulting": 0.75}
    seen = split({"request": 2.0, "requests_a_second": 1.0}, told).parts
    assert (seen["memory"], seen["disk"]) == (0.75, 0.25)
    seen = split({"request": 2.0, "requests_a_second": 1.0}, {"blocked": 1.0, "majors": 0.0}).parts
    assert (seen["memory"], seen["disk"]) == (0.0, 1.0)
    seen = split({"request": 2.0, "requests_a_second": 1.0}, {"blocked": 1.0, "majors": 900.0}).parts
    assert math.isnan(seen["memory"])
    assert math.isnan(seen["disk"])


def test_without_a_request_there_is_nothing_to_split():
    with pytest.raises(ValueError, match="no request"):
        split({"requests_a_second": 0.0}, PROCESS)
