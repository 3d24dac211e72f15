"""The search for slices finds what was put there, pays for searching, and runs in the engine."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sickbay.config import load_site
from sickbay.sources.context import Context
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import profiling, slices


def rows(seed, n=6000, *, wrong=lambda frame: np.full(len(frame), 0.1), lean=0.0):
    """Predictions of a model that is wrong with the chance ``wrong`` gives; the score leans on a, or on b."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=n) for i in range(4)})
    frame["a"], frame["b"] = rng.normal(size=n), rng.exponential(size=n)
    frame["country"] = rng.choice(["DE", "FR", "PL", None], n, p=[0.5, 0.3, 0.15, 0.05])
    frame["device"] = rng.choice(["app", "web", "kiosk"], n, p=[0.6, 0.35, 0.05])
    frame["score"] = 1 / (1 + np.exp(-(1 - lean) * frame.a - lean * (frame.b - 1)))
    frame["prediction"] = (frame.score > 0.5).astype(int)
    frame["label"] = np.where(rng.uniform(size=n) < wrong(frame), 1 - frame.prediction, frame.prediction)
    frame["ts"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="s")
    return frame


@contextlib.contextmanager
def opened(reference, window):
    columns = {"timestamp": "ts", "prediction": "prediction", "label": "label", "score": "score"}
    model = {"predictions": window, "reference": reference, "columns": columns}
    log = PredictionLog.connect(
        Context(load_site({"model": {"m": model}}, {}, Path()), datetime(2027, 1, 1, tzinfo=UTC))
    )
    try:
        yield log.reference(), log.everything()
    finally:
        log.close()


def found(reference, window, **asked):
    with opened(reference, window) as (before, now):
        return slices.worst(before, now, slices.cuts(profiling.reference(before)), **asked)


def test_a_bad_pair_is_named_with_its_loss_before_and_its_columns_alone_come_after_it():
    def wrong(frame):
        return np.where((frame.country == "DE") & (frame.b > np.log(4 / 1)), 0.4, 0.08)

    first = found(rows(1), rows(2, wrong=wrong))[0]
    assert sorted(first.on) == ["b", "country"]
    assert "country=DE" in first.says
    assert "b >" in first.says
    assert first.loss == pytest.approx(0.4, abs=0.06)
    assert first.before == pytest.approx(0.1, abs=0.04)
    assert first.p_value < 1e-6


def test_a_bad_level_is_named_alone_and_not_with_every_other_column():
    said = [one.says for one in found(rows(3), rows(4, wrong=lambda f: np.where(f.device == "kiosk", 0.5, 0.08)))]
    assert said == ["device=kiosk"]


def test_missing_values_are_a_slice():
    worst = found(rows(5), rows(6, wrong=lambda f: np.where(f.country.isna(), 0.5, 0.08)))
    assert worst[0].says == "country missing"
    assert worst[0].share == pytest.approx(0.05, abs=0.01)


def test_searching_is_paid_for():
    named = sum(bool(found(rows(100 + seed, 1500), rows(500 + seed, 1500))) for seed in range(24))
    assert named <= 4  # the chance of one in a window without any is below 5 %, so about 1 of 24 is to be expected


def test_few_rows_and_no_loss_name_nothing():
    assert found(rows(7), rows(8, 80, wrong=lambda f: np.full(len(f), 0.5))) == []
    assert found(rows(7), rows(8).drop(columns="label")) == []


def test_a_model_that_leans_on_another_column_shows():
    with opened(rows(9), rows(10, lean=0.9)) as (before, now):
        shifted = slices.importances(before, now, slices.cuts(profiling.reference(before)))
    by_name = {one.column: one for one in shifted}
    assert {shifted[0].column, shifted[1].column} == {"a", "b"}
    assert by_name["a"].before > 0.8
    assert by_name["a"].now < 0.1
    assert by_name["b"].before < 0.01
    assert by_name["b"].now > 0.6
    assert abs(by_name["x0"].now - by_name["x0"].before) < 0.01


def test_the_counts_are_those_of_counting_by_hand():
    frame = rows(11)
    with opened(frame, frame) as (before, _):
        cut = slices.cuts(profiling.reference(before), ["b", "country"])
        one = slices.count(before, cut, [("b", "country")])[0]
    edges = np.array(cut["b"].bins.edges)
    levels = {level: i for i, level in enumerate(cut["country"].levels)}
    places = np.searchsorted(edges, frame.b, side="left") * cut["country"].size
    places += frame.country.map(levels).fillna(cut["country"].size - 1).astype(int)
    wrong = (frame.label != frame.prediction).astype(float)
    assert one.rows.tolist() == np.bincount(places, minlength=len(one.rows)).tolist()
    assert one.loss == pytest.approx(np.bincount(places, weights=wrong, minlength=len(one.rows)))
