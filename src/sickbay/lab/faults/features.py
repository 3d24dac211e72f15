"""Breaks a feature store so that serving and training differ: in code, data or infrastructure; each undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sickbay.lab.systems.features import TICKS, WARM, Features, Setting
from sickbay.registry import fault


def played(system: Features, seed: int, **what: Any) -> Iterator[None]:
    """Play the days with a setting; healing takes servers and tables back to the last healthy days."""
    system.play(Setting(seed=seed, **what))
    yield
    system.restore()


def draw(seed: int) -> np.random.Generator:
    """Return the randomness of a fault."""
    return np.random.default_rng([seed, 5])


def pick(seed: int, among: list[Any]) -> Any:
    """Return one of these."""
    return among[int(draw(seed).integers(len(among)))]


def when(seed: int) -> int:
    """Return a tick at which something begins: the middle of the days, roughly."""
    return int(draw(seed).integers(WARM + (TICKS - WARM) // 4, WARM + 3 * (TICKS - WARM) // 4))


@fault(produces="logic-mismatch", system="features")
def widen_serving_window(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets serving count over another window than training."""
    hours = pick(seed, [2.0, 3.0, 12.0, 24.0])
    yield from played(system, seed, code=(("WINDOW_HOURS = 6.0", f"WINDOW_HOURS = {hours}"),))


@fault(produces="logic-mismatch", system="features")
def average_over_fewer(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets serving average over another number of payments than training."""
    yield from played(system, seed, code=(("LAST = 5", f"LAST = {pick(seed, [2, 3, 10])}"),))


@fault(produces="logic-mismatch", system="features")
def rewrite_serving_formula(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Changes a formula of the serving code: a cap, a default, a sign, a unit, a spelling."""
    edits = [
        ('"last_amount": events[-1][1]', f'"last_amount": min(events[-1][1], {round(60 - 30 * strength)}.0)'),
        ('"hours_since_previous": gap', '"hours_since_previous": 0.0 if len(events) < 3 else gap'),
        ('"last_amount": events[-1][1]', '"last_amount": events[-1][1] * 1.19'),
        ('"last_country": events[-1][3]', '"last_country": events[-1][3].lower()'),
        ('"avg_amount": avg_amount', '"avg_amount": max(amounts)'),
        ('"last_amount": events[-1][1]', '"last_amount": -events[-1][1]'),
    ]
    yield from played(system, seed, code=(pick(seed, edits),))


@fault(produces="library-version", system="features")
def serve_with_older_libraries(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Runs the serving code, unchanged, on earlier releases of its libraries."""
    yield from played(system, seed, libraries="features-serving-old")


@fault(produces="timezone", system="features")
def cut_days_in_another_zone(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets serving begin its days at the midnight of another time zone."""
    zone = pick(seed, ["Asia/Tokyo", "America/New_York", "America/Los_Angeles", "Australia/Brisbane", "Asia/Kolkata"])
    yield from played(system, seed, code=(('ZONE = "UTC"', f'ZONE = "{zone}"'),))


@fault(produces="timezone", system="features")
def write_local_times(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets one of the writers store the wall clock of another time zone as if it were UTC."""
    yield from played(system, seed, clock_minutes=60 * pick(seed, [-8.0, -5.0, 3.0, 5.5, 9.0]))


@fault(produces="rounding", system="features")
def round_for_serving(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets serving round, truncate or store in fewer bits what training keeps whole."""
    name = pick(seed, ["avg_amount", "spend_today"])
    how = [f"round({name}, {int(draw(seed).integers(0, 2))})", f"float(int({name}))", f"float(np.float16({name}))"]
    edit = (f'"{name}": {name}', f'"{name}": {pick(seed + 1, how)}')
    yield from played(system, seed, code=(edit,))


@fault(produces="late-data", system="features")
def deliver_late(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets a share of the payments arrive hours late: training sees them, serving did not."""
    hours = float(draw(seed).uniform(4, 12))
    yield from played(system, seed, late_share=0.05 + 0.2 * strength, late_hours=(0.4 * hours, hours))


@fault(produces="different-source", system="features")
def read_from_mirror(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets serving compute from a mirror that lacks payments and keeps them net of fees; the view is pointed at it."""
    yield from played(system, seed, mirror=0.05 + 0.3 * strength)


@fault(produces="schema-evolution", system="features")
def switch_amounts_to_cents(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the producers write whole cents from some day on; training knows, serving takes them as euros."""
    yield from played(system, seed, schema="cents", schema_at=when(seed))


@fault(produces="schema-evolution", system="features")
def switch_countries_to_numbers(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the producers write countries as numbers from some day on; training names them, serving does not."""
    yield from played(system, seed, schema="codes", schema_at=when(seed))


@fault(produces="point-in-time-violation", system="features")
def join_the_newest_values(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets training join every row with the newest values of its user, whatever the row's time."""
    yield from played(system, seed, join="latest")


@fault(produces="point-in-time-violation", system="features")
def join_the_next_values(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets training join every row with the next values after it."""
    yield from played(system, seed, join="next")


@fault(produces="point-in-time-violation", system="features")
def join_at_the_label(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets training join as of the time of the label, hours after the prediction."""
    yield from played(system, seed, join_hours=round(2 + 10 * strength + float(draw(seed).uniform(0, 4)), 2))


@fault(produces="clock-skew", system="features")
def shift_writers_clock(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Shifts the clock of one of the two writers by some hours and minutes."""
    minutes = float(draw(seed).integers(2, 9)) * 60 + float(pick(seed + 3, [7, 11, 17, 23, 37, 41, 47, 53]))
    yield from played(system, seed, clock_minutes=minutes * pick(seed + 1, [1, 1, -1]))


@fault(produces="stale-cache", system="features")
def cache_in_front(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Puts a cache with a time to live in front of the store."""
    yield from played(system, seed, cache_hours=round(4 + 12 * strength + float(draw(seed).uniform(0, 4)), 1))


@fault(produces="replication-lag", system="features")
def hold_replication_back(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Holds what the primary sends to the replica back for hours."""
    yield from played(system, seed, lag=int(3 + 6 * strength + draw(seed).integers(0, 3)))


@fault(produces="network-partition", system="features")
def cut_replica(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Cuts the line between the primary and the replica at some time: the replica serves what it has."""
    yield from played(system, seed, cut="replica", cut_at=when(seed))


@fault(produces="network-partition", system="features")
def cut_writer(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Cuts the line between the writer and the primary at some time: writing fails, serving goes on."""
    yield from played(system, seed, cut="writer", cut_at=when(seed))


@fault(produces="", system="features")
def add_float_noise(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets serving differ in the last bits, as another order of summing does."""
    yield from played(system, seed, noise=True)


@fault(produces="", system="features")
def deliver_a_few_late(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Lets a few payments in a thousand arrive late, as they always do."""
    yield from played(system, seed, late_share=0.002 + 0.004 * strength, late_hours=(1.0, 3.0))


@fault(produces="", system="features")
def materialise_meanwhile(system: Features, *, seed: int, strength: float) -> Iterator[None]:
    """Leaves a materialisation under way while somebody looks."""
    system.play(Setting(seed=seed))
    system.materialise_behind()
    yield
    system.let_go()
    system.restore()
