"""Version 2 of control groups on a real kernel: its limits, its kills, and what sickbay reads of them."""

from __future__ import annotations

import pytest

from tests.services import in_cgroup2, uml

pytestmark = [pytest.mark.cgroup2, pytest.mark.timeout(280)]
MIB = 2**20


@pytest.fixture(scope="module")
def said():
    return uml.run(in_cgroup2.__name__, 240)


def test_the_reader_knows_the_version_and_the_lab_makes_groups_of_it(said):
    assert (said["version"], said["kind"]) == (2, "cgroup2")


def test_a_process_over_its_limit_is_killed_by_the_kernel_and_both_count_it(said):
    assert said["exit"] in (-9, 137)
    assert said["kills"] == said["lab_kills"] == 1
    assert said["limit"] == 60 * MIB
    assert said["at_limit"] > 0
    assert 0.95 * 60 * MIB < said["peak"] <= 60 * MIB


def test_memory_that_is_held_is_anonymous_and_nobody_was_killed(said):
    held = said["held"]
    assert 30_000_000 <= held["anonymous"] < 45_000_000
    assert held["anonymous"] <= held["current"] <= held["peak"]
    assert held["kills"] == 0
    assert held["by_lab"] == pytest.approx(held["working_set"], rel=0.1)


def test_a_quota_holds_a_process_back_and_is_read(said):
    cpu = said["cpu"]
    assert cpu["quota"] == pytest.approx(0.2)
    assert cpu["throttled"] > 0.5 * cpu["periods"] > 5
    assert cpu["throttled_seconds"] > 1
    assert cpu["seconds"] < 0.4 * cpu["took"]


def test_nothing_is_left_behind(said):
    assert said["left"] == []
