"""One column of a stream in constant memory: exact counts and moments, and mergeable sketches of ``datasketches``."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sickbay.errors import UserError
from sickbay.monitor.batches import Array

KLL_K = 200
"""Rank error of quantiles about 1.3 % (99 % confidence), a few kilobytes."""
HLL_LOG2, ITEMS_LOG2 = 12, 12


@dataclass(frozen=True, slots=True)
class Numbers:
    """A batch of a number column: its finite values, and how many were not finite."""

    values: Array
    nans: int
    infinite: int


@dataclass(frozen=True, slots=True)
class Words:
    """A batch of a category column: how often each value came, and how many were null."""

    counts: Mapping[str, int]
    nulls: int


def _datasketches() -> Any:
    try:
        import datasketches
    except ImportError:
        raise UserError("a stream needs the extra 'datasketches'", hint="pip install 'sickbay[datasketches]'") from None
    return datasketches


class NumberSketch:
    """Counts, range, moments and a KLL sketch of a number column. NaN stands for null as well: arrays have no other."""

    kind = "number"

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.nans = self.infinite = 0
        self.low, self.high, self.mean, self.squares = math.inf, -math.inf, 0.0, 0.0
        self.kll = _datasketches().kll_doubles_sketch(KLL_K)

    @property
    def filled(self) -> int:
        """Finite values seen."""
        return self.rows - self.nans - self.infinite

    def prepare(self, values: Array) -> Numbers:
        """Return a batch ready to be counted; UserError when it is not numbers."""
        if values.dtype.kind not in "iufb":
            raise UserError(
                f"column {self.name!r} held numbers and now holds {_example(values)!r}",
                hint="give numbers, or leave it out",
            )
        if values.dtype.kind == "f":
            # one sum tells whether anything is not finite; only then is it looked for
            with np.errstate(invalid="ignore", over="ignore"):
                clean = bool(np.isfinite(values.sum(dtype=np.float64)))
            if not clean:
                nans, fine = int(np.isnan(values).sum()), np.isfinite(values)
                return Numbers(values[fine].astype(np.float64), nans, len(values) - int(fine.sum()) - nans)
        return Numbers(values.astype(np.float64, copy=False), 0, 0)

    def update(self, batch: Numbers | Words) -> None:
        """Count a batch that ``prepare`` gave."""
        assert isinstance(batch, Numbers)
        values = batch.values
        self.rows += len(values) + batch.nans + batch.infinite
        self.nans += batch.nans
        self.infinite += batch.infinite
        if not len(values):
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        mean = float(values.mean())
        spread = values - mean
        self._moments(self.filled - len(values), len(values), mean, float(spread @ spread))
        own = values.flags.writeable and values.flags.c_contiguous
        self.kll.update(values if own else values.copy())  # the library takes no borrowed memory

    def merge(self, other: Sketch) -> None:
        """Take in another sketch of the same column."""
        if not isinstance(other, NumberSketch):
            raise UserError(f"column {self.name!r} is a number here and a category there")
        before = self.filled
        self.rows, self.nans, self.infinite = (
            self.rows + other.rows, self.nans + other.nans, self.infinite + other.infinite,
        )  # fmt: skip
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if other.filled:
            self._moments(before, other.filled, other.mean, other.squares)
            self.kll.merge(other.kll)

    def _moments(self, before: int, count: int, mean: float, squares: float) -> None:
        """Join mean and sum of squared deviations of two parts (Chan, Golub, LeVeque 1983)."""
        both, gap = before + count, mean - self.mean
        self.mean += gap * count / both
        self.squares += squares + gap * gap * before * count / both

    def quantiles(self, levels: Sequence[float]) -> list[float]:
        """Return estimated quantiles, each within about 1.3 % in rank; NaN of an empty column."""
        if self.kll.is_empty():
            return [math.nan] * len(levels)
        return [float(q) for q in self.kll.get_quantiles(list(levels))]

    def summary(self) -> dict[str, Any]:
        """Return what is known as plain JSON types."""
        body: dict[str, Any] = {"kind": "number", "rows": self.rows, "nan": self.nans, "infinite": self.infinite}
        if self.filled:
            levels = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
            body |= {"low": self.low, "high": self.high, "mean": self.mean}
            body["deviation"] = math.sqrt(self.squares / self.filled)
            body["quantiles"] = dict(zip(map(str, levels), self.quantiles(levels), strict=True))
        return body

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        ends = [None if math.isinf(v) else v for v in (self.low, self.high)]
        return {
            "kind": "number", "counts": [self.rows, self.nans, self.infinite], "ends": ends,
            "moments": [self.mean, self.squares], "kll": base64.b64encode(self.kll.serialize()).decode(),
        }  # fmt: skip

    def restore(self, body: Mapping[str, Any]) -> None:
        """Take the state that ``to_dict`` gave."""
        self.rows, self.nans, self.infinite = (int(v) for v in body["counts"])
        low, high = body["ends"]
        self.low, self.high = math.inf if low is None else float(low), -math.inf if high is None else float(high)
        self.mean, self.squares = (float(v) for v in body["moments"])
        self.kll = _datasketches().kll_doubles_sketch.deserialize(base64.b64decode(body["kll"]))


class CategorySketch:
    """Counts, heavy hitters and an estimate of the distinct values of a category column."""

    kind = "category"

    def __init__(self, name: str) -> None:
        library = _datasketches()
        self.name = name
        self.rows = self.nulls = 0
        self.items = library.frequent_strings_sketch(ITEMS_LOG2)
        self.hll = library.hll_sketch(HLL_LOG2)

    def prepare(self, values: Array) -> Words:
        """Return a batch ready to be counted."""
        counted = Counter(values.tolist())
        nulls = counted.pop(None, 0)
        for value in [value for value in counted if value != value]:  # NaN, which is null in a column of text
            nulls += counted.pop(value)
        texts: dict[str, int] = {}
        for value, count in counted.items():
            text = value if isinstance(value, str) else str(value)
            texts[text] = texts.get(text, 0) + count
        return Words(texts, nulls)

    def update(self, batch: Numbers | Words) -> None:
        """Count a batch that ``prepare`` gave."""
        assert isinstance(batch, Words)
        self.rows += sum(batch.counts.values()) + batch.nulls
        self.nulls += batch.nulls
        for text, count in batch.counts.items():
            self.items.update(text, count)
            self.hll.update(text)

    def merge(self, other: Sketch) -> None:
        """Take in another sketch of the same column."""
        if not isinstance(other, CategorySketch):
            raise UserError(f"column {self.name!r} is a category here and a number there")
        library = _datasketches()
        self.rows, self.nulls = self.rows + other.rows, self.nulls + other.nulls
        self.items.merge(other.items)
        union = library.hll_union(HLL_LOG2)
        union.update(self.hll)
        union.update(other.hll)
        self.hll = union.get_result(library.tgt_hll_type.HLL_4)

    def heavy(self, most: int = 20) -> dict[str, int]:
        """Return the most frequent values with estimated rows, most frequent first."""
        kind = _datasketches().frequent_items_error_type.NO_FALSE_NEGATIVES
        found = sorted(self.items.get_frequent_items(kind), key=lambda item: (-item[1], item[0]))
        return {item[0]: int(item[1]) for item in found[:most]}

    def summary(self) -> dict[str, Any]:
        """Return what is known as plain JSON types."""
        distinct = round(self.hll.get_estimate())
        return {"kind": "category", "rows": self.rows, "nulls": self.nulls, "distinct": distinct, "heavy": self.heavy()}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "kind": "category", "counts": [self.rows, self.nulls],
            "items": base64.b64encode(self.items.serialize()).decode(),
            "hll": base64.b64encode(self.hll.serialize_updatable()).decode(),
        }  # fmt: skip

    def restore(self, body: Mapping[str, Any]) -> None:
        """Take the state that ``to_dict`` gave."""
        library = _datasketches()
        self.rows, self.nulls = (int(v) for v in body["counts"])
        self.items = library.frequent_strings_sketch.deserialize(base64.b64decode(body["items"]))
        self.hll = library.hll_sketch.deserialize(base64.b64decode(body["hll"]))


Sketch = NumberSketch | CategorySketch


def sketch_from_dict(body: Mapping[str, Any], name: str) -> Sketch:
    """Return the sketch that ``to_dict`` gave."""
    made: Sketch = NumberSketch(name) if body["kind"] == "number" else CategorySketch(name)
    made.restore(body)
    return made


def _example(values: Array) -> Any:
    return next((v for v in values.tolist() if isinstance(v, str)), values[:1])
