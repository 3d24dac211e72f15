"""The shape of a life's memory, on series whose truth is known: leaks, warm-ups, load, jumps, full from loading."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sickbay.probes import memory
from sickbay.probes import memory_shapes as shapes
from sickbay.probes.memory_lives import Life, Sample, Watch

MIB = 2**20
LIMIT = 300 * MIB


def life(
    seconds=8.0, *, base=120.0, leak=0.0, warm=0.0, each=10.0, running=1.5, spikes=(), seed=1, killed=False, limit=LIMIT
):
    """Return a life: megabytes; ``leak`` a second, ``warm`` approached within two seconds, ``spikes`` at (at, size)."""
    rng = np.random.default_rng(seed)
    samples = [Sample(-0.4 + 0.2 * k, base * MIB, None, None, None, False) for k in range(2)]
    for at in np.arange(0.0, seconds, 0.2):
        under_way = int(rng.poisson(running)) if at > 0 else 0
        extra = sum(size for when, size in spikes if when <= at < when + 0.2)
        used = base + leak * at + warm * (1 - np.exp(-at / 0.7)) + each * under_way + extra + rng.normal(0, 0.5)
        samples.append(Sample(float(at), used * MIB, None, float(int(8 * at)), float(under_way), True))
    gone = samples[-1].at + 0.2 if killed else None
    return Life("scorer-1", "a", limit, True, samples, killed, 0, gone)


def found(*lives):
    """Return the findings of a watch of these lives, by name."""
    each = [shapes.of(one) for one in lives]
    seen = Watch(tuple(lives), 8.0, "control groups", 2, ())
    evidence = memory.Evidence()
    return {
        f.id: f
        for f in [
            *memory._base(each, evidence), memory._climbs(each, seen), memory._follows(each), memory._jumps(each),
            memory._needs(each, seen),
        ]
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_leak_climbs_and_nothing_else_is_said(seed):
    said = found(life(leak=8.0, seed=seed), life(leak=8.0, seed=seed + 10))
    assert said["memory.climbs"].log_ratio > 2
    assert not [
        name for name in said if name not in ("memory.climbs", "memory.needs_more") and said[name].log_ratio > 0.7
    ]
    assert said["memory.climbs"].evidence.numbers["mib_per_second"] == pytest.approx(8.0, rel=0.2)
    for shape in (shapes.of(life(leak=8.0, seed=seed + k)) for k in range(10)):
        slope, low, high = shape.slope
        assert low < slope < high
        assert low < 8.4 * MIB
        assert high > 7.6 * MIB


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_service_in_its_stride_shows_nothing(seed):
    said = found(life(seed=seed))
    assert not [name for name in said if said[name].log_ratio > 0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_warm_up_that_levels_off_is_no_leak(seed):
    assert found(life(warm=40.0, seed=seed))["memory.climbs"].log_ratio < 0.7


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_heap_that_keeps_what_large_requests_grew_jumps_and_does_not_climb(seed):
    rng = np.random.default_rng(seed)
    one = life(seed=seed, base=90.0)
    for at in np.sort(rng.uniform(1.2, 7.5, 3)):  # each grows the heap by 40 MiB, and keeps 25 of them
        for k, sample in enumerate(one.samples):
            more = 40.0 if at <= sample.at < at + 0.25 else 25.0 if sample.at >= at else 0.0
            one.samples[k] = replace(sample, memory=sample.memory + more * MIB)
    said = found(one)
    assert said["memory.climbs"].log_ratio < 0.7


def test_a_long_watch_finds_a_slow_leak():
    rng = np.random.default_rng(5)
    minutes = [
        Sample(2.0 * k, (120 + 0.05 * 2 * k + rng.normal(0, 1)) * MIB, None, 16.0 * k, float(rng.poisson(1.5)), True)
        for k in range(300)
    ]
    shape = shapes.of(Life("scorer-1", "a", LIMIT, False, minutes))
    assert shape.slope is not None
    assert shape.slope[1] > 0
    assert shape.slope[0] / MIB == pytest.approx(0.05, rel=0.1)


def test_memory_that_requests_under_way_hold_follows_load_and_does_not_climb():
    said = found(life(each=12.0, running=12.0))
    assert said["memory.follows_load"].log_ratio > 2
    assert said["memory.climbs"].log_ratio < 0.7
    assert said["memory.follows_load"].evidence.numbers["mib_each"] == pytest.approx(12.0, rel=0.15)


def test_a_spike_jumps_over_a_flat_base():
    said = found(life(spikes=[(3.0, 140.0), (5.4, 150.0)]))
    assert said["memory.jumps"].log_ratio > 1.5
    assert said["memory.climbs"].log_ratio < 0.7


def test_a_kill_from_afar_is_a_jump_when_it_was_seen_closely_and_not_otherwise():
    near, far = life(killed=True), life(killed=True)
    far.gone = far.samples[-1].at + 3.0
    assert found(near)["memory.jumps"].on
    assert not found(far)["memory.jumps"].on


def test_a_base_near_the_limit_is_told_from_one_that_is_tight():
    near, tight = found(life(base=280.0, each=1.0)), found(life(base=228.0))
    assert near["memory.base_near_limit"].log_ratio > 2
    assert tight["memory.base_near_limit"].log_ratio < -1
    assert tight["memory.base_tight"].log_ratio > 2


def loading(reached, *, killed=True):
    samples = [Sample(0.2 * k, reached * (k + 1) / 10 * MIB, None, None, None, False) for k in range(10)]
    return Life("scorer-1", "a", LIMIT, True, samples, killed)


def test_a_life_that_was_killed_while_it_loaded_was_full_from_loading():
    assert found(loading(298.0))["memory.base_near_limit"].log_ratio > 2


def test_a_life_that_ended_before_it_served_and_below_the_limit_says_nothing():
    said = found(loading(200.0))
    assert {f.status for f in said.values()} == {"unknown"}
    assert all(f.reason for f in said.values())


def test_a_life_too_short_for_a_slope_is_unknown_and_not_flat():
    assert found(life(2.0, leak=8.0))["memory.climbs"].status == "unknown"


def test_a_service_that_does_not_say_its_requests_is_still_read():
    one = life(leak=8.0, running=0.0)
    one.samples[:] = [Sample(s.at, s.memory, None, None, None, s.ready) for s in one.samples]
    said = found(one)
    assert said["memory.follows_load"].status == "unknown"
    assert said["memory.base_tight"].status == "measured"


def plan(base, usual):
    rows = shapes.plan(base * MIB, 10 * MIB, usual, 0.0, LIMIT, 2)
    return {what: fits for what, _, fits in rows}


def test_the_plan_fits_what_was_measured():
    rows = plan(120, 2.0)
    assert rows["memory request"] == "140 MiB"
    assert rows["memory limit"] == "225 MiB"
    assert rows["replicas"] == "2"
    more = plan(120, 12.0)
    assert int(more["replicas"]) == 6, "3 x 12 x 2 requests at once, 12 of which fit a pod"
    assert "not one" in plan(290, 1.0)["replicas"]


def test_a_process_that_is_being_taken_apart_does_not_read_as_a_small_base():
    one = life(2.0, killed=True)
    one.samples = [s for s in one.samples if s.ready and (s.requests or 0) > 0]
    usual = min(s.memory for s in one.samples)
    one.samples.append(Sample(one.samples[-1].at + 0.2, 0.06 * LIMIT, None, None, None, True))
    assert shapes.of(one).least == usual
