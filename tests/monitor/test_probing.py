"""Monitors of probes: what they read is kept, an alarm comes before the end, and no end is told where none is."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sickbay.cli import main
from sickbay.config import load_site
from sickbay.knowledge import loader
from sickbay.monitor import probing
from sickbay.monitor.store import Reading, Store
from sickbay.monitor.watching import Watch

DAY = 86_400
START = datetime(2026, 1, 1, tzinfo=UTC)


def readings(values, *, every=3600, limit=0.0):
    start = int(START.timestamp())
    return [Reading("m", "f", start + i * every, "measured", False, v, limit, "") for i, v in enumerate(values)]


@settings(deadline=None)  # the first example imports scipy
@given(
    st.floats(0.05, 3), st.floats(0.2, 0.9), st.integers(24, 1000), st.integers(0, 2**32 - 1), st.sampled_from([0, 1])
)
def test_the_days_left_of_a_noisy_line_are_those_of_the_line(pace, left, count, seed, limit):
    """``pace``: share of what is left now that goes in a day."""
    rng = np.random.default_rng(seed)
    gap = left * (1 + pace * np.arange(count - 1, -1, -1) / 24) + rng.normal(0, 0.002 * left * pace, count)
    found = probing.days_left(readings(limit - gap if limit else gap, limit=limit))
    days = 1 / pace
    if days > 11 * (count - 1) / 24:
        assert found is None, "farther ahead than what was seen allows"
    elif days < 9 * (count - 1) / 24:
        assert found is not None
        assert found[0] == pytest.approx(days, rel=0.1)
        assert found[1] <= found[0]


@pytest.mark.parametrize(
    "values",
    [
        [0.5] * 50,
        np.linspace(0.5, 0.9, 50),
        [0.5, 0.45, 0.4, 0.35],
        0.5 + np.random.default_rng(1).normal(0, 0.01, 100),
        [0.5] * 50 + [0.2],
    ],
    ids=["flat", "away from the limit", "too few", "noise", "one odd reading"],
)
def test_no_end_is_told_where_none_is_in_sight(values):
    assert probing.days_left(readings(values)) is None


def test_a_finding_is_investigated_as_what_it_speaks_for():
    known = loader.load()
    assert probing.scenario("database.sessions_near_limit", known) == "tracking-down"
    assert probing.scenario(probing.finding_of("database.disk_full/days-left"), known) == "tracking-down"
    assert probing.scenario("nothing.known", known) is None


def test_probes_run_when_they_are_due_and_what_they_read_is_kept(tmp_path):
    site = site_in(tmp_path, "here = '.'")
    loaded, store = load_site(site, {}, tmp_path), Store(tmp_path / "watch.db")
    watch = Watch(loaded, store, environ={})
    (first,) = watch.turn(START)
    (early,) = watch.turn(START + timedelta(minutes=4))
    (second,) = watch.turn(START + timedelta(minutes=5))
    assert (len(first.readings), len(early.readings), len(second.readings)) == (2, 0, 2)
    assert [r.status for r in store.readings("disks", "host.disk_full")] == ["measured"] * 2
    assert watch.seconds_to_next(START + timedelta(minutes=7)) == 180
    (late,) = watch.turn(START + timedelta(days=31))
    assert len(store.readings("disks", "host.disk_full")) == 1, "what is older than its history is forgotten"
    assert late.days_left == {"host.disk_full": math.inf, "host.disk_nearly_full": math.inf}


def test_what_cannot_be_read_is_said_and_raises_no_alarm(tmp_path, capsys):
    site = site_in(tmp_path, "gone = 'missing'")
    assert main(["watch", "--once", "--site", str(site), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert "nothing could be measured: unreachable: host path gone" in told["error"]
    assert {finding["status"] for finding in told["findings"]} == {"unknown"}
    assert told["events"] == []


def test_the_command_says_what_was_read(tmp_path, capsys):
    site = site_in(tmp_path, "here = '.'")
    assert main(["watch", "--once", "--site", str(site)]) == 0
    assert "disks: 2 findings read" in capsys.readouterr().out


def site_in(directory, paths):
    path = directory / "sickbay.toml"
    path.write_text(
        f"[source.host]\npaths = {{ {paths} }}\n[monitor.disks]\nprobes = ['host.disks']\ninvestigate = false\n"
    )
    return path
