"""Logging predictions: nothing blocks, nothing is lost unseen, and what the caller gets is untouched."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import threading

import duckdb
import numpy as np
import pytest

from sickbay.monitor import JsonLines, Parquet, PredictionLogger, Stream, log_predictions


class Memory:
    """A sink that keeps what it is given; it can be slow, or dead for a while."""

    def __init__(self):
        self.rows, self.open, self.failures = [], threading.Event(), 0
        self.open.set()

    def write(self, rows):
        self.open.wait(10)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the sink is away")
        self.rows += rows


def test_what_is_logged_arrives_and_the_answer_is_untouched():
    sink = Memory()
    logger = PredictionLogger(sink)
    predict = log_predictions(logger)(lambda row: {"prediction": row["a"] * 2, "score": 0.5})
    assert [predict({"a": i})["prediction"] for i in range(50)] == [2 * i for i in range(50)]
    assert logger.flush()
    assert [row["a"] for row in sink.rows] == list(range(50))
    assert all(row["status"] == "ok" and row["latency_ms"] >= 0 and row["timestamp"] for row in sink.rows)
    logger.close()


def test_a_sink_that_hangs_blocks_nobody_and_what_is_dropped_is_counted():
    sink = Memory()
    sink.open.clear()
    logger = PredictionLogger(sink, capacity=100, batch=10)
    taken = [logger.log([i], i) for i in range(1000)]
    counts = logger.counts
    assert counts.offered == 1000
    assert counts.dropped == taken.count(False) > 800
    sink.open.set()
    assert logger.flush()
    assert logger.counts.logged + logger.counts.dropped == 1000
    assert len(sink.rows) == logger.counts.logged
    logger.close()


def test_a_sink_that_fails_is_tried_again_and_nothing_is_lost_or_doubled():
    sink = Memory()
    sink.failures = 2
    logger = PredictionLogger(sink)
    for i in range(20):
        logger.log([i], i)
    assert logger.flush(10)
    assert [row["prediction"] for row in sink.rows] == list(range(20))
    assert logger.counts.sink_errors == 2
    assert "the sink is away" in logger.counts.last_error
    logger.close()


def test_a_dead_sink_is_given_up_and_counted(monkeypatch):
    monkeypatch.setattr("sickbay.monitor.tap.IDLE_SECONDS", 0.001)
    sink = Memory()
    sink.failures = 10**9
    logger = PredictionLogger(sink, stream=Stream(["x0"]))
    for i in range(20):
        assert logger.log([float(i)], i)
    assert logger.flush(10)
    assert (logger.counts.given_up, logger.counts.logged) == (20, 0)
    assert logger.stream.sketch("x0").rows == 20, "the stream has them all the same"
    logger.close()


def test_an_exception_of_the_model_is_logged_and_goes_on_unchanged():
    sink = Memory()
    logger = PredictionLogger(sink)

    @log_predictions(logger)
    def predict(row):
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError, match="no"):
        predict({"a": 1})
    logger.flush()
    assert (sink.rows[0]["status"], sink.rows[0]["error"]) == ("error", "ZeroDivisionError")
    logger.close()


def test_an_async_function_is_awaited_and_logged():
    sink = Memory()
    logger = PredictionLogger(sink)

    @log_predictions(logger)
    async def predict(row):
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(predict({"a": 1})) == 7
    logger.flush()
    assert sink.rows[0]["prediction"] == 7
    logger.close()


def test_many_threads_lose_nothing():
    sink = Memory()
    logger = PredictionLogger(sink, capacity=100_000)
    threads = [threading.Thread(target=lambda: [logger.log([1.0], 1) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logger.flush(20)
    assert (logger.counts.offered, logger.counts.logged, logger.counts.dropped) == (16_000, 16_000, 0)
    logger.close()


def test_a_row_that_cannot_be_read_does_not_stop_the_others():
    class Odd:
        def _asdict(self):
            raise RuntimeError("not me")

    sink = Memory()
    logger = PredictionLogger(sink)
    for features in ([1.0], Odd(), [2.0]):
        logger.log(features, 1)
    assert logger.flush()
    assert (len(sink.rows), logger.counts.given_up) == (2, 1)
    logger.close()


def test_secrets_can_be_taken_out_before_a_row_leaves():
    sink = Memory()
    logger = PredictionLogger(sink, redact=lambda row: {k: v for k, v in row.items() if k != "name"})
    logger.log({"name": "Ann", "age": 3}, 1)
    logger.flush()
    assert "name" not in sink.rows[0]
    logger.close()


def _in_the_child(logger, directory):
    logger.log([1.0], 1)
    logger.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_logs_by_itself(tmp_path):
    logger = PredictionLogger(JsonLines(tmp_path))
    logger.log([0.0], 0)
    assert logger.flush()
    child = multiprocessing.get_context("fork").Process(target=_in_the_child, args=(logger, tmp_path))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    lines = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert sorted(line["prediction"] for line in lines) == [0, 1]
    logger.close()


@pytest.mark.parametrize("kind", [JsonLines, Parquet])
def test_the_files_are_a_prediction_log_that_sickbay_reads(tmp_path, kind):
    logger = PredictionLogger(kind(tmp_path / "log"), batch=100)
    for i in range(250):
        logger.log({"amount": float(i), "country": "DE"}, i % 2, score=0.25)
    assert logger.flush(20)
    logger.close()
    pattern = f"{tmp_path}/log/**/*.{'jsonl' if kind is JsonLines else 'parquet'}"
    rows = duckdb.sql(f"SELECT count(*), sum(amount), sum(prediction) FROM '{pattern}'").fetchall()
    assert rows == [(250, 31125.0, 125)]
    assert not list(tmp_path.rglob(".*"))


def test_arrays_of_one_row_become_columns_of_the_stream():
    stream = Stream(["a", "b"])
    logger = PredictionLogger(stream=stream)
    for i in range(10):
        logger.log(np.array([[float(i), 1.0]]), np.array([0.5]))
    assert logger.flush()
    assert stream.sketch("a").summary()["high"] == 9.0
    logger.close()
