"""Probes of the model's inputs: values that a broken pipeline makes, and distributions that moved."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sickbay.probes.study import Study, marginal, need_rows, no_loss, study
from sickbay.registry import probe
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import breakage, drift, shift, table
from sickbay.stats.grading import any_of, grade, grades
from sickbay.stats.profile import Column
from sickbay.terms.evidence import Distribution, Evidence, Exhibit, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

PRACTICAL_AUC = 0.07
"""Rise of the domain classifier's AUC above one half from which a shift of the inputs matters."""

BROKEN = FindingKind(
    "features.values_broken",
    says="Columns carry values that a broken pipeline makes and the world does not.",
    leak=0.01,
)
ROWS_MIXED = FindingKind(
    "features.rows_mixed",
    says="A column's values belong to other rows: its distribution is as before, its ties to other columns are gone.",
    leak=0.01,
)
ODD = FindingKind(
    "features.numbers_damaged",
    says="Numeric columns hold NaN, infinities or text that is no number, more than before.",
    leak=0.02,
)
MOVED = FindingKind("inputs.moved", says="The inputs (columns in order) are distributed otherwise.", leak=0.3)
WITHIN = FindingKind(
    "inputs.moved_within_segments", says="The inputs moved also inside the segments, not just their mix.", leak=0.25
)
BROAD = FindingKind(
    "inputs.moved_broadly",
    says="Many columns moved together, not just one or two.",
    group="inputs.moved",
    leak=0.25,
)
EXPLAINS = FindingKind(
    "loss.follows_inputs",
    says="A baseline reweighted to the current inputs (inside segments) shows much of the new loss.",
    leak=0.05,
)
SCHEMA = FindingKind(
    "log.damaged", says="Files of the log cannot be read, disagree on types, or lack columns.", leak=0.02
)


@probe(findings=[BROKEN, ROWS_MIXED, ODD], seconds=2.0)
def broken_values(predictions: PredictionLog) -> Iterable[Finding]:
    """Looks for nulls, takeovers by one value, changed units, swaps, renamed levels and mixed-up rows, per column."""
    s = study(predictions)
    if not s.features:
        for kind in (BROKEN, ROWS_MIXED, ODD):
            yield unknown(kind, "no data: the log has no feature column")
        return
    if min(s.baseline.rows, s.current.rows) < 30:
        reason = f"too few rows: {s.baseline.rows} before and {s.current.rows} now; needs 30"
        for kind in (BROKEN, ROWS_MIXED, ODD):
            yield unknown(kind, reason)
        return
    found = s.breakages
    broken = s.broken
    worst = sorted(found, key=lambda b: -b.log_ratio)[:12]
    listed = list(dict.fromkeys(f"{b.column}: {b.says}" for b in broken.values()))
    says = "; ".join(listed[:4]) + (f"; and {len(listed) - 4} more" if len(listed) > 4 else "")
    yield measured(
        BROKEN,
        any_of([breakage.verdict(found), s.mixed[0]]),
        statistic=float(len(broken)),
        says=f"{len(broken)} of {len(s.features)} columns: {says}."
        if broken
        else "No column shows a sign of breakage.",
        evidence=Evidence(
            {"columns": {name: b.kind for name, b in broken.items()}, "looks": len(found)},
            [
                Rows(
                    ("column", "sign", "what", "ln ratio"),
                    tuple((b.column, b.kind, b.says, round(b.log_ratio, 1)) for b in worst if b.log_ratio > 0),
                    "Signs of breakage",
                ),
                *_distributions(s, list(broken)[:4]),
            ],
        ),
    )
    yield _mixed(s)
    yield _odd(s)


def _mixed(s: Study) -> Finding:
    log_ratio, found = s.mixed
    if not found:
        return unknown(ROWS_MIXED, "no data: no column depends on another, so mixed-up rows would not show")
    top = max(found, key=lambda b: b.log_ratio)
    return measured(
        ROWS_MIXED,
        log_ratio,
        statistic=top.effect,
        says=f"{top.column}: {top.says}.",
        evidence=Evidence({"column": top.column}),
    )


def _odd(s: Study) -> Finding:
    windows = s.windows
    now = s.log.oddities(windows.current.start, windows.current.end)
    if windows.baseline.name == "reference":
        before = dict.fromkeys(now, (0, 0, 0))
    else:
        before = s.log.oddities(windows.baseline.start, windows.baseline.end)
    profiles = s.profiles
    shares = {}
    for name, counts in now.items():
        rows_now, rows_before = profiles[1][name].rows, profiles[0][name].rows
        rise = sum(counts) / max(1.0, rows_now) - sum(before.get(name, (0, 0, 0))) / max(1.0, rows_before)
        shares[name] = (rise, counts)
    if not shares:
        return unknown(ODD, "no data: the log has no numeric feature")
    name, (rise, counts) = max(shares.items(), key=lambda item: (item[1][0], item[0]))
    rows = profiles[1][name].rows
    says = f"{name}: {counts[0]:,} NaN, {counts[1]:,} infinite, {counts[2]:,} not numbers in {rows:,.0f} rows."
    error = float(np.sqrt(max(rise, 1 / max(rows, 1)) / max(rows, 1)))
    return measured(
        ODD, grade(rise, error, 0.01), statistic=rise, says=says if rise > 0 else "No more damaged numbers than before."
    )


@probe(findings=[MOVED, WITHIN, BROAD], seconds=3.0)
def moved(predictions: PredictionLog) -> Iterable[Finding]:
    """Tells current from baseline rows with a classifier on the sound columns: overall, inside segments, and without
    the column that moved most."""
    s = study(predictions)
    x, y, categorical = s.matrices()
    domain = s.domain
    drifts = _drifts(s)
    top = sorted((d for d in drifts if np.isfinite(d.js)), key=lambda d: -d.js)
    listed = ", ".join(f"{d.name} (PSI {d.psi:.2f})" for d in top[:4] if d.js > drift.PRACTICAL_JS / 2)
    says = f"Current rows are told from the baseline with AUC {domain.auc:.2f}" + (
        f"; most moved: {listed}." if listed else "; no single column moved much."
    )
    yield measured(
        MOVED,
        grade(domain.auc - 0.5, domain.error, PRACTICAL_AUC),
        statistic=domain.auc,
        says=says,
        evidence=Evidence(
            {"auc": domain.auc, "standard_error": domain.error, "columns_compared": len(s.clean)},
            [_drift_rows(drifts), *_distributions(s, [d.name for d in top[:4] if d.js > drift.PRACTICAL_JS / 2])],
        ),
    )
    yield _within(s, x, y, categorical)
    yield _broad(s, domain, x, y, categorical)


def _within(
    s: Study, x: table.Floats, y: table.Floats, categorical: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Finding:
    mix = s.mix
    if mix is None:
        return unknown(WITHIN, "no data: no segment column is named or found")
    others = [j for j, name in enumerate(s.clean) if name not in s.segment_columns]
    if not others:
        return unknown(WITHIN, "no data: every sound feature is a segment column")
    inside = shift.tell_apart(x[:, others], y[:, others], categorical[others], weights=mix.weights)
    return measured(
        WITHIN,
        grade(inside.auc - 0.5, inside.error, PRACTICAL_AUC),
        statistic=inside.auc,
        says=f"With the segment mix ({', '.join(s.segment_columns)}) made equal, the other inputs are told apart with "
        f"AUC {inside.auc:.2f}.",
        evidence=Evidence({"auc": inside.auc, "segments": s.segment_columns}),
    )


def _broad(
    s: Study,
    domain: shift.Domain,
    x: table.Floats,
    y: table.Floats,
    categorical: NDArray[np.bool_],
) -> Finding:
    if x.shape[1] < 3:
        return unknown(BROAD, "no data: fewer than three sound columns")
    moved_most = int(np.argmax([marginal(x[:, j], y[:, j]) for j in range(x.shape[1])]))
    without = shift.leave_out(x, y, categorical, [moved_most])
    name = s.clean[moved_most]
    return measured(
        BROAD,
        grade(without.auc - 0.5, without.error, 0.6 * PRACTICAL_AUC),
        statistic=without.auc,
        says=f"Without {name}, the column that moved most, AUC {domain.auc:.2f} → {without.auc:.2f}.",
        evidence=Evidence({"column": name, "auc_with": domain.auc, "auc_without": without.auc}),
    )


@probe(findings=[EXPLAINS], seconds=2.0)
def explained_loss(predictions: PredictionLog) -> Iterable[Finding]:
    """Estimates how much of the new loss the moved inputs alone would cause, beyond the segment mix."""
    s = study(predictions)
    x, y, categorical = s.matrices()
    before, now, error, practical = s.loss_change
    if not np.isfinite(now - before):
        yield unknown(EXPLAINS, predictions.why_no(table.LABEL))
        return
    risen = grade(now - before, error, practical)
    if risen < 0:
        yield measured(EXPLAINS, no_loss(risen), statistic=0.0, says="The loss did not rise, whatever the inputs did.")
        return
    loss, loss_now = s.baseline.role(table.LOSS), s.current.role(table.LOSS)
    labelled, labelled_now = np.isfinite(loss), np.isfinite(loss_now)
    need_rows(int(labelled.sum()), int(labelled_now.sum()))
    used = shift.Domain(s.domain.auc, s.domain.error, s.domain.baseline[labelled], s.domain.current[labelled_now])
    carried = shift.carried_loss(x[labelled], loss[labelled], y[labelled_now], used, categorical)
    base, rise = float(loss[labelled].mean()), float(loss_now[labelled_now].mean() - loss[labelled].mean())
    by_mix = s.mix.carried if s.mix is not None else 0.0
    share = (carried.loss - base - by_mix) / max(rise, 1e-9)
    spread = carried.error / max(rise, 1e-9)
    all_inputs = (carried.loss - base) / max(rise, 1e-9)
    numbers = {
        "loss_before": base, "loss_now": base + rise, "loss_with_current_inputs": carried.loss,
        "share_inputs": all_inputs, "share_mix": by_mix / max(rise, 1e-9), "share_inputs_within_segments": share,
        "share_rest": 1 - all_inputs, "standard_error_of_share": spread, "effective_rows": used.effective_share,
    }  # fmt: skip
    trusted = "" if used.effective_share > 0.1 else " (few baseline rows resemble the current ones: take it with care)"
    yield measured(
        EXPLAINS,
        grade(share, max(spread, 0.05) * (1.0 if used.effective_share > 0.1 else 2.0), 0.25),
        statistic=share,
        says=f"Of the rise in loss, moved inputs explain {_percent(all_inputs)} "
        f"({_percent(by_mix / max(rise, 1e-9))} of it by segment mix alone); the rest, {_percent(1 - all_inputs)}, is "
        f"changed answers or labels at the same inputs{trusted}.",
        evidence=Evidence(numbers),
    )


@probe(findings=[SCHEMA], seconds=0.3)
def files(predictions: PredictionLog) -> Iterable[Finding]:
    """Reports files that could not be read, types on which files disagree, and rows from the future."""
    opened = predictions.opened
    problems = len(opened.unreadable) + len(opened.types_differ) + len(opened.missing_in)
    vanished = [name for name in predictions.kinds if name not in opened.columns]
    if problems + len(vanished) == 0:
        if len(opened.files) > 1:
            yield measured(SCHEMA, -3.0, statistic=0.0, says=f"All {len(opened.files)} files of the log agree.")
        elif predictions.opened_reference is not None:
            yield measured(SCHEMA, -3.0, statistic=0.0, says="The log has every column of the reference.")
        else:
            yield unknown(SCHEMA, "not applicable: the log is one table, and nothing is given to compare it with")
        return
    notes = [*predictions.notes, *(f"the log has no column {name!r}, which the reference has" for name in vanished)]
    yield measured(
        SCHEMA,
        4.0,
        statistic=float(problems + len(vanished)),
        says="; ".join(notes[:4]) + ".",
        evidence=Evidence(
            {
                "unreadable": dict(opened.unreadable),
                "types_differ": {k: list(v) for k, v in opened.types_differ.items()},
            }
        ),
    )


def _drifts(s: Study) -> list[drift.Drift]:
    before, now = s.profiles
    return [drift.compare(before[name], now[name]) for name in s.features]


def _drift_rows(drifts: list[drift.Drift]) -> Rows:
    known = [d for d in drifts if np.isfinite(d.js)]
    strengths = grades([d.js for d in known], [d.js_error for d in known], drift.PRACTICAL_JS)
    rows = sorted(zip(known, strengths, strict=True), key=lambda pair: -pair[0].js)[:20]
    return Rows(
        ("column", "PSI", "JS distance", "± ", "KS", "null rise", "ln ratio"),
        tuple((d.name, *(_rounded(v) for v in (d.psi, d.js, d.js_error, d.ks, d.null_rise, g))) for d, g in rows),
        "Drift per column, all rows of both windows",
    )


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def _distributions(s: Study, names: list[str]) -> list[Exhibit]:
    before, now = s.profiles
    return [_distribution(before[name], now[name]) for name in names if name in before]


def _distribution(before: Column, now: Column) -> Distribution:
    nulls = [column.nulls / column.rows if column.rows else 0.0 for column in (before, now)]
    if before.edges is not None:
        edges = [f"{edge:.4g}" for edge in before.edges]
        labels = [f"≤ {edges[0]}", *(f"{a}–{b}" for a, b in pairwise(edges)), f"> {edges[-1]}"]
    else:
        labels = [*before.levels, "all others"]
    shares = [
        (*(float(v) * (1 - null) for v in column.shares), null)
        for column, null in zip((before, now), nulls, strict=True)
    ]
    return Distribution((*labels, "null"), shares[0], shares[1], before.name)


def _percent(share: float) -> str:
    return f"{share:.0%}"
