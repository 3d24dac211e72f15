"""Performance of a window from counts: realised where labels are there, estimated from the scores where they are not.

The estimate (confidence-based performance estimation) takes from the reference what a score meant there, and asks how
often the window's answers would be wrong if scores still mean that. It sees a loss that moved inputs bring, and is
blind to a changed relation between inputs and label: then the realised figure departs from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlglot import exp

from sickbay.stats import table as t
from sickbay.stats.bins import LevelBins, NumberBins
from sickbay.stats.table import Floats, Table
from sickbay.stats.tally import NO_KEY, Entry, Groups, tally

THIN = 20.0
"""Labelled reference rows below which a bin of scores has no known meaning."""
PREDICTED, LABELS = ("0", "1"), ("0", "1", None)


@dataclass(frozen=True, slots=True)
class Performance:
    """Sums of one window. ``counts[bin, predicted, label]`` are rows of a binary model by score; label 2: unknown."""

    rows: float
    labelled: float
    loss: float
    squares: float
    counts: Floats = field(default_factory=lambda: np.zeros((0, 2, 3)))

    @property
    def mean_loss(self) -> float:
        """Mean loss of the labelled rows (0/1 error, absolute error); NaN without labels."""
        return self.loss / self.labelled if self.labelled > 0 else math.nan

    @property
    def error(self) -> float:
        """Standard error of the mean loss; a loss never seen is given one row of doubt."""
        if self.labelled <= 1:
            return math.nan
        variance = max(0.0, self.squares / self.labelled - self.mean_loss**2)
        return math.sqrt((variance + 1 / self.labelled * (self.mean_loss or 1.0)) / self.labelled)

    @property
    def auc(self) -> float:
        """Area under the ROC curve of the labelled rows, read from the bins; NaN if it does not apply."""
        if not len(self.counts):
            return math.nan
        by_label = self.counts.sum(axis=1)
        return binned_auc(by_label[:, 1], by_label[:, 0])

    def __add__(self, other: Performance) -> Performance:
        """Return both windows together."""
        counts = self.counts + other.counts if self.counts.shape == other.counts.shape else self.counts
        return Performance(
            self.rows + other.rows, self.labelled + other.labelled, self.loss + other.loss,
            self.squares + other.squares, counts,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "rows": self.rows, "labelled": self.labelled, "loss": self.loss, "squares": self.squares,
            "counts": self.counts.tolist(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Performance:
        """Return what ``to_dict`` gave."""
        counts = np.array(body["counts"], dtype=np.float64).reshape(-1, 2, 3)
        return cls(body["rows"], body["labelled"], body["loss"], body["squares"], counts)


@dataclass(frozen=True, slots=True)
class Estimated:
    """The expected mean loss and AUC of a window, with the standard error of the loss.

    ``unknown``: share of its rows whose scores the reference hardly ever gave; their meaning is a guess.
    """

    loss: float
    error: float
    auc: float
    unknown: float


def measure(
    window: Table, scores: NumberBins | LevelBins | None, *, where: exp.Expression | None = None
) -> Performance:
    """Count one window in one pass; ``scores`` are the bins of a binary model's score, None where it has none."""
    has_loss = t.LOSS in window.roles
    loss = exp.column(t.LOSS)
    entries = [Entry()]
    if has_loss:
        entries += [Entry(value=loss), Entry(value=exp.Mul(this=loss.copy(), expression=loss.copy()))]
    binary = isinstance(scores, NumberBins) and t.SCORE in window.roles
    if binary and isinstance(scores, NumberBins):
        cell = scores.cell(exp.column(t.SCORE))
        entries.append(Entry(cell=cell, key=_code(window, t.PREDICTED), level=_code(window, t.LABEL)))
    counted = tally(window, entries, where=where)
    groups = counted.get(NO_KEY)
    counts = np.zeros((scores.size, 2, 3)) if binary and isinstance(scores, NumberBins) else np.zeros((0, 2, 3))
    if groups is None:
        return Performance(0.0, 0.0, 0.0, 0.0, counts)
    rows = float(groups[0].rows.sum())
    labelled = total = squares = 0.0
    if has_loss:
        labelled = float(groups[1].filled.sum())
        total, squares = (float(np.nansum(g.totals)) for g in groups[1:3])
    if binary and isinstance(scores, NumberBins):
        counts = _cube(groups[-1], scores)
    return Performance(rows, labelled, total, squares, counts)


def estimate(reference: Performance, window: Performance) -> Estimated | None:
    """Return the performance expected of a window's scores; None where the reference cannot say what scores mean."""
    if not len(reference.counts) or reference.counts.shape != window.counts.shape:
        return None
    before = reference.counts.sum(axis=1)
    known = before[:, 0] + before[:, 1]
    answers = window.counts.sum(axis=2)
    rows = answers.sum()
    if known.sum() < 5 * THIN or rows == 0 or min(before[:, 0].sum(), before[:, 1].sum()) == 0:
        return None
    meaning = _meaning(before[:, 1], known)
    wrong = answers[:, 1] * (1 - meaning) + answers[:, 0] * meaning
    own = (answers.sum(axis=1) * meaning * (1 - meaning)).sum()
    # what the reference's own sample leaves open about each bin
    side = answers[:, 0] - answers[:, 1]
    open_ = (side**2 * meaning * (1 - meaning) / np.maximum(known, 1.0)).sum()
    auc = binned_auc(answers.sum(axis=1) * meaning, answers.sum(axis=1) * (1 - meaning))
    unknown = float(answers.sum(axis=1)[known < THIN].sum() / rows)
    return Estimated(float(wrong.sum() / rows), math.sqrt(own + open_) / rows, auc, unknown)


def binned_auc(positive: Floats, negative: Floats) -> float:
    """Return the area under the ROC curve from counts per rising bin of scores, ties counted half; NaN if one-sided."""
    if positive.sum() <= 0 or negative.sum() <= 0:
        return math.nan
    below = np.concatenate(([0.0], np.cumsum(negative)[:-1]))
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def _meaning(positive: Floats, known: Floats) -> Floats:
    """Return the chance of a positive per bin of scores, never falling as scores rise (isotonic regression)."""
    from sklearn.isotonic import IsotonicRegression

    used = known > 0
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    places = np.arange(len(known), dtype=np.float64)
    fitted.fit(places[used], positive[used] / known[used], sample_weight=known[used])
    return np.asarray(fitted.predict(places))


def _code(window: Table, role: str) -> exp.Expression:
    column = exp.column(role)
    if role not in window.roles:
        return exp.cast(exp.Null(), "text")
    ones, zeros = (exp.EQ(this=column.copy(), expression=exp.convert(value)) for value in (1, 0))
    return exp.Case().when(ones, exp.Literal.string("1")).when(zeros, exp.Literal.string("0"))


def _cube(group: Groups, scores: NumberBins) -> Floats:
    counts = np.zeros((scores.size, 2, 3))
    bins = scores.place(np.maximum(group.cells, 0))
    for place, cell, predicted, label, rows in zip(
        bins, group.cells, group.keys, group.levels, group.rows, strict=True
    ):
        if cell >= 0 and predicted in PREDICTED:
            counts[place, PREDICTED.index(predicted), LABELS.index(label)] += rows
    return counts
