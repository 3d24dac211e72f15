"""Probes of the labels: whether the same inputs now mean something else, and whether the measurement is damaged."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sickbay.errors import SourceError
from sickbay.probes.study import Study, need_rows, study
from sickbay.registry import probe
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import arrivals, breakage, table
from sickbay.stats.grading import any_of, grade, grades, proportion_error
from sickbay.stats.labels import LabelChange, compare
from sickbay.terms.evidence import Evidence, Line, Rows, Series
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

PRACTICAL_GAIN = 0.012
"""Nats per row that knowing the window must tell before a change of labels given inputs matters."""

CHANGED = FindingKind(
    "labels.given_inputs_changed", says="The same inputs now carry other labels than before.", leak=0.03
)
COIN = FindingKind(
    "labels.damaged_at_random",
    says="Labels changed as if by a coin, alike at all inputs: flipped, late or lost, not a new world.",
    leak=0.03,
)
REGION = FindingKind(
    "labels.changed_by_region", says="Labels changed in some regions of the inputs and not in others.", leak=0.03
)
TIES = FindingKind(
    "labels.other_features_matter",
    says="The features that go with the label are others, or go the other way, than before.",
    leak=0.03,
)
FEWER = FindingKind("labels.share_fell", says="A smaller share of the rows has a label, at the same age.", leak=0.012)
SELECTIVE = FindingKind(
    "labels.missing_selectively", says="Whether a row has a label now depends on its score.", leak=0.012
)
YOUNG = FindingKind(
    "labels.positives_late", says="Positives are missing among the youngest rows, ever more towards now.", leak=0.012
)


@probe(findings=[CHANGED, COIN, REGION, TIES], seconds=3.0)
def given_inputs(predictions: PredictionLog) -> Iterable[Finding]:
    """Learns the labels from the sound inputs, with and without the window: did they change, alike or by region."""
    s = study(predictions)
    kinds = (CHANGED, COIN, REGION, TIES)
    if predictions.task != "binary":
        for kind in kinds:
            yield unknown(kind, f"not applicable: measured for binary labels in this release, not {predictions.task}")
        return
    if table.LABEL not in s.windows.baseline.roles or table.LABEL not in s.windows.current.roles:
        for kind in kinds:
            yield unknown(kind, predictions.why_no(table.LABEL))
        return
    change = label_change(s)
    numbers = {
        "gain": change.gain, "gain_of_coin": change.coin, "gain_by_region": change.by_region,
        "positives_booked_negative": change.missed, "negatives_booked_positive": change.invented,
    }  # fmt: skip
    yield measured(
        CHANGED,
        grade(change.gain, change.error, PRACTICAL_GAIN),
        statistic=change.gain,
        says=f"Knowing that a row is current tells {change.gain:.3f} nats more about its label than its inputs alone"
        + (" (practically nothing)." if change.gain < PRACTICAL_GAIN / 2 else "."),
        evidence=Evidence(numbers),
    )
    yield _coin(change, numbers)
    yield measured(
        REGION,
        grade(change.by_region, change.by_region_error, PRACTICAL_GAIN),
        statistic=change.by_region,
        says=f"Beyond a coin alike everywhere, a change by region explains {change.by_region:.3f} nats a row.",
        evidence=Evidence(numbers),
    )
    yield _ties(s, change)


def _coin(change: LabelChange, numbers: dict[str, float]) -> Finding:
    """On when a coin gains much, and most of what there is to gain."""
    size = grade(change.coin, change.error, PRACTICAL_GAIN)
    share = change.coin / max(change.coin + max(change.by_region, 0.0), 1e-9)
    purity = grade(share - 0.5, 0.08, 0.2)
    return measured(
        COIN,
        min(size, purity) if size > 0 else size,
        statistic=share,
        says=f"{change.missed:.0%} of positives booked as negatives, {change.invented:.0%} of negatives as positives, "
        f"alike at all inputs, would explain {share:.0%} of the change.",
        evidence=Evidence(numbers),
    )


def _ties(s: Study, change: LabelChange) -> Finding:
    """Compare each column's rank correlation with what the baseline's label model leaves over, now and before."""
    x, y, _ = s.matrices()
    rows = []
    for matrix, frame, expected in (
        (x, s.baseline, change.expected_baseline),
        (y, s.current, change.expected_current),
    ):
        known = np.isfinite(frame.role(table.LABEL))
        rows.append(ties_to(matrix[known], frame.role(table.LABEL)[known] - expected))
    error = float(np.sqrt(1 / max(1, len(change.expected_baseline)) + 1 / max(1, len(change.expected_current))))
    effects = np.abs(rows[1] - rows[0])
    strengths = grades(effects, np.full(len(effects), error), 0.05)
    top = int(np.argmax(effects))
    order = np.argsort(-effects)[:8]
    return measured(
        TIES,
        any_of(strengths),
        statistic=float(effects[top]),
        says=f"{s.clean[top]}: correlation with the unexpected part of the label "
        f"{rows[0][top]:+.2f} → {rows[1][top]:+.2f}.",
        evidence=Evidence(
            {"column": s.clean[top]},
            [
                Rows(
                    ("column", "tie before", "tie now"),
                    tuple((s.clean[int(j)], round(float(rows[0][j]), 3), round(float(rows[1][j]), 3)) for j in order),
                    "Ties of columns to the unexpected part of the label",
                )
            ],
        ),
    )


def ties_to(x: table.Floats, left_over: table.Floats) -> table.Floats:
    """Return the correlation of each column's ranks with what is left over of the label (which is not ranked)."""
    ranked = breakage.ranks(x)
    rest = left_over - left_over.mean()
    scale = np.sqrt((ranked**2).sum(axis=0) * (rest**2).sum())
    return np.asarray(ranked.T @ rest / np.where(scale > 0, scale, 1.0), dtype=np.float64)


def label_change(s: Study) -> LabelChange:
    """Return the comparison of P(y given x) on the sound columns, of two windows."""

    def fit() -> LabelChange:
        x, y, categorical = s.matrices()
        before, now = s.baseline.role(table.LABEL), s.current.role(table.LABEL)
        known, known_now = np.isfinite(before), np.isfinite(now)
        need_rows(int(known.sum()), int(known_now.sum()), 150)
        for labels in (before[known], now[known_now]):
            if len(np.unique(labels)) < 2:
                raise SourceError("no data: all labels of one side are the same class")
        return compare(x[known], before[known], y[known_now], now[known_now], categorical)

    return s.log.once(("study", "label change"), fit)


@probe(findings=[FEWER, SELECTIVE, YOUNG], seconds=1.0)
def arrival(predictions: PredictionLog) -> Iterable[Finding]:
    """Follows which rows have a label: the share by age, whether it depends on the score, and late positives."""
    s = study(predictions)
    if table.LABEL not in predictions.roles:
        for kind in (FEWER, SELECTIVE, YOUNG):
            yield unknown(kind, predictions.why_no(table.LABEL))
        return
    yield _fewer(s)
    yield _selective(s)
    yield _late(s)


def _fewer(s: Study) -> Finding:
    line = s.timeline
    if line is None:
        return unknown(FEWER, s.log.why_no(table.TIME))
    share = line.mean(f"{table.LABEL}/count", "rows")
    days = line.width.total_seconds() / 86400
    fit = arrivals.fit(share, line.sums["rows"], days)
    if fit is None:
        return unknown(FEWER, "too few rows: under six periods with rows")
    strength = grade(fit.drop, fit.error, 0.1)
    if fit.log_factor < 1:
        strength = min(0.0, strength)
    says = (
        f"Labelled share of rows old enough to have a label: {fit.usual:.0%} → {fit.usual * (1 - fit.drop):.0%}"
        if fit.drop > 0.02
        else f"Labelled share is steady at {fit.usual:.0%} of the rows old enough to have a label"
    )
    values = tuple(float(v) if np.isfinite(v) else None for v in share)
    return measured(
        FEWER,
        max(strength, 1.5) if fit.stopped else strength,
        statistic=fit.drop,
        says=f"{says}; labels take about {fit.delay_days:.1f} days"
        + (" - or none arrive since then: the edge is sharp." if fit.stopped else "."),
        evidence=Evidence(
            {"labelled_usually": fit.usual, "drop": fit.drop, "delay_days": fit.delay_days},
            [Series(line.moments(), (Line("labelled share", values),), "share", "Labelled share, by prediction time")],
        ),
    )


def _selective(s: Study) -> Finding:
    if table.SCORE not in s.current.columns or table.LABEL not in s.current.columns:
        return unknown(SELECTIVE, s.log.why_no(table.SCORE))
    gaps = []
    for frame in (s.baseline, s.current):
        score, has = frame.role(table.SCORE), np.isfinite(frame.role(table.LABEL))
        known = np.isfinite(score)
        high = score > np.nanmedian(score[known]) if known.any() else known
        top, rest = has[known & high], has[known & ~high]
        if min(len(top), len(rest)) < 50:
            return unknown(SELECTIVE, "too few rows: under 50 rows above or below the middle score")
        p, q = float(top.mean()), float(rest.mean())
        gaps.append((p - q, float(np.hypot(proportion_error(p, len(top)), proportion_error(q, len(rest))))))
    effect = abs(gaps[1][0]) - abs(gaps[0][0])
    return measured(
        SELECTIVE,
        grade(effect, float(np.hypot(gaps[0][1], gaps[1][1])), 0.06),
        statistic=gaps[1][0],
        says=f"Labelled share of high-score minus low-score rows: {gaps[0][0]:+.1%} → {gaps[1][0]:+.1%}.",
    )


def _late(s: Study) -> Finding:
    """Positives that fall short of what the inputs promise, ever more among the youngest labelled rows."""
    if s.log.task != "binary" or table.TIME not in s.current.columns:
        reason = s.log.why_no(table.TIME) if s.log.task == "binary" else "not applicable: binary labels only"
        return unknown(YOUNG, reason)
    change = label_change(s)
    label = s.current.role(table.LABEL)
    known = np.isfinite(label)
    when = s.current.columns[table.TIME][known].astype("datetime64[us]").astype(np.float64)
    order = np.argsort(when)
    parts = [p for p in np.array_split(order, 6) if len(p) >= 25]
    if len(parts) < 4:
        return unknown(YOUNG, "too few rows: under 150 labelled current rows")
    promised = np.array([change.expected_current[p].sum() for p in parts])
    booked = np.array([label[known][p].sum() for p in parts])
    missing = 1 - booked / np.maximum(promised, 1.0)
    error = np.sqrt(np.maximum(promised, 1.0)) / np.maximum(promised, 1.0)
    slope = float(missing[-1] - np.mean(missing[:2]))
    level = float(missing[-1])
    effect = min(slope, level)
    return measured(
        YOUNG,
        grade(effect, float(np.hypot(error[-1], error[:2].mean() / np.sqrt(2))), 0.15),
        statistic=level,
        says=f"Of the positives that the inputs promise, {missing[0]:.0%} are missing among the oldest current rows "
        f"and {missing[-1]:.0%} among the youngest labelled ones.",
        evidence=Evidence({"missing_by_age": [round(float(m), 3) for m in missing]}),
    )
