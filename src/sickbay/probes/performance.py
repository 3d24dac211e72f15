"""Probes of what the person saw: the performance that fell, since when, and what is not labelled yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from sickbay.probes.study import Study, need_rows, study
from sickbay.probes.windows import find_onset
from sickbay.registry import probe
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import table
from sickbay.stats.grading import any_of, grade
from sickbay.stats.shift import auc_error
from sickbay.stats.table import Floats, Frame
from sickbay.terms.evidence import Evidence, Line, Numbers, Series
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

PRACTICAL_AUC = 0.03

DROPPED = FindingKind("performance.dropped", says="The realised performance fell by an amount that matters.", leak=0.05)
INSTANT = FindingKind("onset.instant", says="It began at one instant, not as a slope.", leak=0.4)
ESTIMATED = FindingKind(
    "performance.estimated_dropped",
    says="Where labels have not arrived, the scores themselves predict a lower performance.",
    leak=0.08,
)


@probe(findings=[DROPPED], seconds=1.0)
def realised(predictions: PredictionLog) -> Iterable[Finding]:
    """Compares the realised loss and ranking quality of the current rows with the baseline's."""
    s = study(predictions)
    before, now, error, practical = s.loss_change
    if not np.isfinite(before) or not np.isfinite(now):
        side = "current" if np.isfinite(before) else "baseline"
        reason = (
            predictions.why_no(table.LABEL)
            if table.LABEL not in predictions.roles
            else f"no data: no labelled row in the {side} window"
        )
        yield unknown(DROPPED, reason)
        return
    numbers: dict[str, float | int | str | None] = {
        "loss_before": before,
        "loss_now": now,
        "standard_error": error,
        "practical_size": practical,
    }
    strengths = [grade(now - before, error, practical)]
    if predictions.task == "binary":
        ranking = {side: _auc(frame) for side, frame in (("before", s.baseline), ("now", s.current))}
        (auc_before, error_before), (auc_now, error_now) = ranking["before"], ranking["now"]
        if np.isfinite(auc_before) and np.isfinite(auc_now):
            strengths.append(grade(auc_before - auc_now, float(np.hypot(error_before, error_now)), PRACTICAL_AUC))
            numbers |= {"auc_before": auc_before, "auc_now": auc_now}
    yield measured(
        DROPPED,
        any_of(strengths),
        statistic=now - before,
        says=_sentence(s, before, now, numbers),
        evidence=Evidence(
            numbers | {"windows": s.windows.why, "current_from": s.windows.current.start}, [*_plot(s), Numbers(numbers)]
        ),
    )


@probe(findings=[INSTANT], seconds=0.5)
def dated(predictions: PredictionLog) -> Iterable[Finding]:
    """Dates the change with its uncertainty and compares one instant with a slope."""
    s = study(predictions)
    line = s.timeline
    if line is None:
        yield unknown(INSTANT, predictions.why_no(table.TIME))
        return
    found, series = find_onset(s)
    if found is None:
        yield unknown(INSTANT, "no data: no change of practical size is seen over time, so there is nothing to date")
        return
    moments = line.moments()
    low, at, high = moments[max(0, found.low - 1)], moments[found.at], moments[found.high] + line.width
    slope = moments[found.ramp_start], moments[min(len(moments) - 1, found.ramp_start + found.width)]
    gentle = found.instant < 0
    what = f"{series} {_number(found.before, series)} → {_number(found.after, series)}"
    if gentle:
        says = f"A slope: the {what} between {_day(slope[0], line.width)} and {_day(slope[1], line.width)}."
    else:
        says = (
            f"Since {_day(at, line.width)} (90 % between {_day(low, line.width)} and {_day(high, line.width)}), "
            f"at one instant: {what}."
        )
    numbers = {
        "at": at, "low": low, "high": high, "series": series, "instant_log_ratio": found.instant,
        "slope_from": slope[0], "slope_to": slope[1], "bucket_hours": line.width.total_seconds() / 3600,
    }  # fmt: skip
    yield measured(
        INSTANT,
        0.5 * found.instant,
        statistic=found.instant,
        says=says,
        evidence=Evidence(numbers, _plot(s)),
    )


@probe(findings=[ESTIMATED], seconds=1.0)
def estimated(predictions: PredictionLog) -> Iterable[Finding]:
    """Estimates the error of rows without labels from their scores, calibrated where labels exist."""
    s = study(predictions)
    if predictions.task != "binary":
        yield unknown(ESTIMATED, f"not applicable: estimated from scores of binary models, not {predictions.task}")
        return
    if table.SCORE not in s.windows.baseline.roles or table.LABEL not in s.windows.baseline.roles:
        yield unknown(
            ESTIMATED, predictions.why_no(table.SCORE if table.SCORE not in predictions.roles else table.LABEL)
        )
        return
    waiting = s.current.only(~np.isfinite(s.current.role(table.LABEL)))
    known = s.baseline.only(np.isfinite(s.baseline.role(table.LABEL)))
    usable = np.isfinite(waiting.role(table.SCORE)) & np.isfinite(waiting.role(table.PREDICTED))
    if usable.sum() < 100:
        yield unknown(ESTIMATED, f"no data: {int(usable.sum())} recent rows still wait for their label")
        return
    need_rows(known.rows, int(usable.sum()))
    before, now, error = expected_error(known, waiting.only(usable))
    _, _, _, practical = s.loss_change
    practical = practical if np.isfinite(practical) else 0.02
    says = (
        f"{int(usable.sum()):,} sampled rows have no label yet; by their scores, {now:.1%} of them are wrong "
        f"(the same estimate on labelled baseline rows: {before:.1%})."
    )
    yield measured(
        ESTIMATED,
        grade(now - before, error, practical),
        statistic=now,
        says=says,
        evidence=Evidence({"estimated_error_before": before, "estimated_error_now": now, "standard_error": error}),
    )


def expected_error(known: Frame, waiting: Frame) -> tuple[float, float, float]:
    """Return the error expected of labelled and of waiting rows, and the standard error of the difference.

    Scores are calibrated on the labelled rows (isotonic), then the chance that each prediction is wrong is averaged:
    confidence-based performance estimation. It assumes that labels given scores stay as they were.
    """
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression(out_of_bounds="clip").fit(known.role(table.SCORE), known.role(table.LABEL))

    def wrong(frame: Frame) -> Floats:
        p = fit.predict(frame.role(table.SCORE))
        return np.asarray(np.where(frame.role(table.PREDICTED) > 0.5, 1 - p, p), dtype=np.float64)

    before, now = wrong(known), wrong(waiting)
    return (
        float(np.nanmean(before)),
        float(now.mean()),
        float(np.sqrt(now.var() / len(now) + np.nanvar(before) / len(before)) + 0.002),
    )


def _auc(frame: Frame) -> tuple[float, float]:
    from sickbay.stats.shift import weighted_auc

    score, label = frame.role(table.SCORE), frame.role(table.LABEL)
    known = np.isfinite(score) & np.isfinite(label)
    positives = float(label[known].sum())
    negatives = float(known.sum() - positives)
    if min(positives, negatives) < 20:
        return float("nan"), float("nan")
    auc = weighted_auc(label[known], score[known], np.ones(int(known.sum())))
    return auc, auc_error(auc, positives, negatives)


def _sentence(s: Study, before: float, now: float, numbers: Mapping[str, Any]) -> str:
    if s.log.task == "regression":
        text = f"Mean absolute error {before:.4g} → {now:.4g}"
    else:
        text = f"Accuracy {1 - before:.1%} → {1 - now:.1%}"
    if "auc_now" in numbers:
        text += f", AUC {numbers['auc_before']:.3f} → {numbers['auc_now']:.3f}"
    start = s.windows.current.start
    window = f"rows from {start:%Y-%m-%d %H:%M}Z on" if start else "the whole log"
    against = "the reference" if s.windows.baseline.name == "reference" else "the log before"
    return f"{text} ({window}, against {against})."


def _plot(s: Study) -> list[Series]:
    line = s.timeline
    if line is None or f"{table.LOSS}/sum" not in line.sums:
        return []
    means, counts = line.mean(f"{table.LOSS}/sum", f"{table.LOSS}/count"), line.sums[f"{table.LOSS}/count"]
    classes = s.log.task != "regression"
    values = 1 - means if classes else means
    squares = line.sums[f"{table.LOSS}/squares"] / np.maximum(counts, 1)
    error = 1.96 * np.sqrt(np.maximum(squares - means**2, 1e-9) / np.maximum(counts, 1))
    found, _ = find_onset(s)
    moments = line.moments()
    marks = ((moments[found.at], "onset"),) if found else ()
    band = (moments[max(0, found.low - 1)], moments[found.high]) if found else None
    name = "accuracy" if classes else "mean absolute error"
    return [
        Series(
            times=moments,
            lines=(Line(name, _gaps(values), _gaps(values - error), _gaps(values + error)),),
            unit="share" if classes else "",
            title=f"{name.capitalize()} per {_width(line.width)}, by prediction time",
            marks=marks,
            band=band,
        )
    ]


def _gaps(values: Floats) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values)


def _width(width: timedelta) -> str:
    hours = width.total_seconds() / 3600
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 24 else f"{hours / 24:.0f} days" if hours > 24 else "day"


def _day(moment: object, width: timedelta) -> str:
    return f"{moment:%Y-%m-%d}" if width >= timedelta(days=1) else f"{moment:%Y-%m-%d %H:%M}Z"


def _number(value: float, series: str) -> str:
    return f"{value:.1%}" if "rate" in series or "share" in series else f"{value:.4g}"
