"""Drift measures are those of the textbooks, their errors are what repetition shows, and verdicts need evidence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, wasserstein_distance

from sickbay.stats import bins, drift
from sickbay.stats.judging import judge
from sickbay.stats.profile import Column, Profile

rng = np.random.default_rng(7)
EDGES = np.linspace(-3, 3, 60)


def column(values, edges=EDGES, *, nulls=0):
    values = np.asarray(values, dtype=float)
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1).astype(float)
    low, high = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
    fixed = bins.NumberBins(edges, edges[0], edges[-1])
    return Column("x", fixed, len(values) + nulls, nulls, counts, low=low, high=high)


def test_the_measures_are_those_of_the_textbooks():
    a, b = column(rng.normal(0, 1, 4000)), column(rng.normal(0.4, 1.2, 3000))
    found = drift.compare(a, b)
    p, q = a.shares, b.shares
    merged = drift.enough(a.counts, b.counts, ordered=True)
    assert drift.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert found.ks == pytest.approx(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    assert found.tv == pytest.approx(np.abs(p @ merged - q @ merged).sum() / 2)
    table = np.vstack([a.counts @ merged, b.counts @ merged])
    assert found.chi2 == pytest.approx(chi2_contingency(table, correction=False).statistic)
    assert found.degrees == merged.shape[1] - 1


def test_the_area_between_the_curves_is_the_wasserstein_distance_up_to_a_bin():
    x, y = rng.normal(0, 1, 20_000), rng.normal(0.5, 1.3, 20_000)
    found = drift.compare(column(x), column(y))
    assert found.wasserstein == pytest.approx(wasserstein_distance(x, y), abs=0.03)


@given(st.lists(st.integers(0, 400), min_size=3, max_size=12), st.lists(st.integers(0, 400), min_size=12, max_size=12))
@settings(max_examples=60, deadline=None)
def test_measures_stay_in_their_ranges_and_do_not_depend_on_the_side(first, second):
    second = second[: len(first)]
    edges = np.arange(len(first) - 1, dtype=float)
    fixed = bins.NumberBins(edges, 0.0, edges[-1])
    a, b = (Column("x", fixed, float(sum(c)), 0.0, np.array(c, dtype=float)) for c in (first, second))
    there, back = drift.compare(a, b), drift.compare(b, a)
    if sum(first) and sum(second):
        assert all(0 <= value <= 1 for value in (there.js, there.tv, there.ks))
        assert there.psi >= 0
        assert (there.js, there.ks, there.psi) == pytest.approx((back.js, back.ks, back.psi))
        assert all(v >= 0 for n, v in dataclasses.asdict(there).items() if n.endswith("_error"))
    else:
        assert np.isnan([there.js, there.psi]).all()


@pytest.mark.parametrize("rows", [500, 5000])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.8])
def test_the_stated_error_is_the_one_that_repetition_shows(rows, shift):
    found = [
        drift.compare(column(rng.normal(0, 1, rows)), column(rng.normal(shift, 1, rows))) for _ in range(150)
    ]  # the seed is fixed: 7
    for name in ("psi", "js", "ks", "wasserstein", "tv"):
        spread = np.std([getattr(d, name) for d in found])
        stated = np.median([getattr(d, f"{name}_error") for d in found])
        assert 0.5 * stated < spread < 1.7 * stated or (shift == 0.0 and spread < 1.2 * stated), (name, spread, stated)


def test_sampling_alone_is_not_drift():
    found = [drift.compare(column(rng.normal(size=3000)), column(rng.normal(size=800))) for _ in range(30)]
    assert np.mean([d.js for d in found]) < 0.04
    assert np.mean([d.psi for d in found]) < 0.03


@pytest.mark.parametrize("rows", [25, 40, 100, 300, 1000])
def test_few_rows_of_the_same_are_hardly_ever_called_drift(rows):
    reference = column(rng.normal(size=20_000))
    found = [judged(reference, column(rng.normal(size=rows))).drifted for _ in range(200)]
    assert found.count(True) <= 4, "of 200; the seed is fixed: 7"


def judged(a, b):
    return judge(Profile(a.rows, {"x": a}), Profile(b.rows, {"x": b}))[0]


def test_a_verdict_needs_rows():
    a = column(rng.normal(0, 1, 50_000))
    assert judged(a, column(rng.normal(0, 1, 20_000))).drifted is False
    assert judged(a, column(rng.normal(1, 1, 20_000))).drifted is True
    few = judged(a, column(rng.normal(0, 1, 30)))
    assert few.drifted is None
    assert "too few rows" in few.because


def test_ten_million_rows_do_not_turn_a_trifle_into_drift():
    a, b = column(rng.normal(0, 1, 10_000)), column(rng.normal(0.03, 1, 10_000))
    many = [dataclasses.replace(c, rows=c.rows * 1000, counts=c.counts * 1000) for c in (a, b)]
    found = judged(*many)
    assert found.measures.p_value < 1e-12
    assert found.drifted is False


def test_a_column_that_lost_its_values_has_drifted():
    a = column(rng.normal(0, 1, 5000))
    assert judged(a, column([], nulls=5000)).drifted is True
    assert judged(a, column(rng.normal(0, 1, 4000), nulls=1000)).drifted is True


def test_an_empty_table_is_unknown_not_normal():
    a = column(rng.normal(0, 1, 5000))
    assert judged(a, column([])).drifted is None
    assert judged(column([]), a).drifted is None


def test_a_column_only_one_side_has_is_named():
    a = column(rng.normal(0, 1, 5000))
    gone = judge(Profile(5000, {"x": a, "y": a}), Profile(5000, {"x": a}))[1]
    assert (gone.name, gone.drifted) == ("y", True)
    new = judge(Profile(5000, {"x": a}), Profile(5000, {"x": a, "z": a}))[1]
    assert (new.name, new.drifted) == ("z", None)


def test_two_windows_added_are_the_profile_of_both():
    x, y = rng.normal(0, 1, 900), rng.normal(1, 1, 400)
    together, added = column(np.concatenate((x, y)), nulls=30), column(x, nulls=10) + column(y, nulls=20)
    assert added.counts.tolist() == together.counts.tolist()
    assert (added.rows, added.nulls, added.low, added.high) == (
        together.rows, together.nulls, together.low, together.high,
    )  # fmt: skip


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_every_value_lies_in_the_bin_its_cell_says(values):
    size = np.abs(values)
    values = np.where(size < 1e-280 * max(1.0, size.max()), 0.0, np.array(values))  # what vanishes beside the step
    low, high = float(values.min()), float(values.max())
    step = bins.grid_step(low, high)
    edges = bins.grid(low, high, step)
    chosen = bins.choose_edges(edges, np.histogram(values, edges)[0].astype(float))
    step = bins.common_step(chosen, step)
    if step:
        cells = np.ceil(values / step) - np.round(chosen[0] / step)
        placed = bins.NumberBins(chosen, low, high, step).place(cells.astype(np.int64))
        assert placed.tolist() == np.searchsorted(chosen, values, side="left").tolist()
