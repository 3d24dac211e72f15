"""A stream keeps what batches held in constant memory, and raises alarms within its budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sickbay.errors import UserError
from sickbay.monitor import Rule, Stream
from sickbay.monitor.comparing import profile

pytest.importorskip("datasketches")
rng = np.random.default_rng(5)


@pytest.fixture(scope="module")
def reference():
    import pandas as pd

    return profile(pd.DataFrame({"x": rng.normal(size=40_000), "k": rng.choice(["a", "b", "c"], 40_000)}))


def batch(rows, shift=0.0):
    return {"x": rng.normal(shift, 1, rows), "k": rng.choice(np.array(["a", "b", "c"], dtype=object), rows)}


def test_quantiles_moments_and_levels_are_those_of_the_values():
    values, words = rng.normal(3, 2, 50_000), rng.choice(["a", "b", "b", "c"], 50_000).astype(object)
    stream = Stream()
    for i in range(0, 50_000, 7_000):
        stream.update({"x": values[i : i + 7_000], "k": words[i : i + 7_000]})
    found = stream.summary()
    assert found["x"]["mean"] == pytest.approx(values.mean())
    assert found["x"]["deviation"] == pytest.approx(values.std())
    for level, value in found["x"]["quantiles"].items():
        assert abs((values <= value).mean() - float(level)) < 0.02
    assert found["k"]["heavy"] == {w: int((words == w).sum()) for w in "bac"} or set(found["k"]["heavy"]) == set("abc")
    assert found["k"]["distinct"] == 3


ANY = st.floats(-1e6, 1e6) | st.just(float("nan")) | st.just(float("inf"))


@given(st.lists(ANY, min_size=2, max_size=80), st.data())
@settings(max_examples=40, deadline=None)
def test_two_streams_merged_are_one_stream_of_both(values, data):
    cut = data.draw(st.integers(1, len(values) - 1))
    whole, first, second = Stream(), Stream(), Stream()
    whole.update({"x": np.array(values)})
    first.update({"x": np.array(values[:cut])})
    second.update({"x": np.array(values[cut:])})
    first.merge(second)
    a, b = whole.summary()["x"], first.summary()["x"]
    assert (a["rows"], a["nan"], a["infinite"]) == (b["rows"], b["nan"], b["infinite"])
    for name in ("low", "high", "mean", "deviation"):
        assert a.get(name) == (None if name not in b else pytest.approx(b[name], rel=1e-6, abs=1e-4))


def test_bytes_bring_a_stream_back_and_other_bytes_are_refused():
    stream = Stream()
    stream.update(batch(3000))
    again = Stream.from_bytes(stream.to_bytes())
    assert again.summary() == stream.summary()
    for wrong in (b"", b"{}", b'{"schema": "sickbay.stream/9"}', stream.to_bytes()[:-40]):
        with pytest.raises(UserError, match="not a stream"):
            Stream.from_bytes(wrong)


def exact(stream):
    """What does not depend on the sketch's own draws."""
    return {name: {k: v for k, v in part.items() if k != "quantiles"} for name, part in stream.summary().items()}


def test_every_make_of_batch_gives_the_same():
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    made = batch(500)
    plain = Stream(["x", "k"])
    plain.update(made)
    frame = pd.DataFrame(made)
    for other in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), pa.RecordBatch.from_pandas(frame)):
        stream = Stream(["x", "k"])
        stream.update(other)
        assert exact(stream) == exact(plain)
    rows = Stream(["x", "k"])
    for x, k in zip(made["x"], made["k"], strict=True):
        rows.update_one({"x": x, "k": k})
    assert exact(rows)["k"] == exact(plain)["k"]
    matrix = Stream(["x"])
    matrix.update(made["x"].reshape(-1, 1))
    assert exact(matrix)["x"] == exact(plain)["x"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"x": np.zeros(3)}, "no column 'k'"),
        ({"x": np.zeros(3), "k": np.array(["a"] * 4, dtype=object)}, "differ in length"),
        ({"x": np.array(["a"] * 3, dtype=object), "k": np.array(["a"] * 3, dtype=object)}, "held numbers"),
        (np.zeros((2, 5)), "5 columns for 2 names"),
        (17, "is no batch"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_whole(wrong, said):
    stream = Stream(["x", "k"])
    stream.update(batch(100))
    before = stream.summary()
    with pytest.raises(UserError, match=said):
        stream.update(wrong)
    assert stream.summary() == before


def test_missing_and_infinite_values_are_counted_apart_and_kept_out_of_the_sketch():
    stream = Stream()
    stream.update(
        {"x": np.array([1.0, np.nan, np.inf, -np.inf, 2.0]), "k": np.array(["a", None, "a", "b", None], object)}
    )
    found = stream.summary()
    assert (found["x"]["rows"], found["x"]["nan"], found["x"]["infinite"]) == (5, 1, 2)
    assert (found["x"]["low"], found["x"]["high"]) == (1.0, 2.0)
    assert (found["k"]["rows"], found["k"]["nulls"]) == (5, 2)


def test_a_change_is_told_and_its_end_too(reference):
    told = []
    stream = Stream(reference=reference, window=2000, on_change=told.append)
    for _ in range(20):
        stream.update(batch(1000))
    assert stream.alarms == ()
    for _ in range(4):
        stream.update(batch(1000, shift=0.6))
    assert stream.alarms == ("x",)
    for _ in range(6):
        stream.update(batch(1000))
    assert stream.alarms == ()
    assert [(c.column, c.what) for c in told] == [("x", "raised"), ("x", "cleared")]


def test_values_that_go_missing_raise_the_alarm(reference):
    stream = Stream(reference=reference, window=1000)
    gone = batch(1000)
    gone["x"][rng.random(1000) < 0.3] = np.nan
    assert [(c.column, c.what) for c in stream.update(gone)] == [("x", "raised")]
    assert stream.changes[0].missing > 0.2


def test_a_month_without_change_stays_within_the_budget(reference):
    raised = 0
    for _ in range(12):  # months of 720 windows; seed 5
        stream = Stream(["x"], reference=reference, window=200, rule=Rule(false_alarms_per_month=1.0))
        for _ in range(72):
            stream.update({"x": rng.normal(size=200)})
        raised += sum(change.what == "raised" for change in stream.changes)
    assert raised <= 4


def test_memory_does_not_grow_with_the_stream():
    stream = Stream()
    for _ in range(3):
        stream.update({"x": rng.normal(size=200_000)})
    before = len(stream.to_bytes())
    for _ in range(20):
        stream.update({"x": rng.normal(size=200_000)})
    assert len(stream.to_bytes()) < 1.3 * before
