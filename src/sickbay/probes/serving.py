"""Probes of the answering service as its log shows it: failures, default answers, latency."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sickbay.probes.answering import TAKEOVER, answered_normally, measure_groups, takeover_score, usual_statuses
from sickbay.probes.study import Study, no_loss, study
from sickbay.registry import probe
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import table
from sickbay.stats.grading import grade, proportion_error
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

FAILURES = FindingKind(
    "serving.failures_rose", says="More requests end in an error, a time-out or a fallback.", leak=0.03
)
FALLBACKS = FindingKind("serving.one_score_took_over", says="One single score is given to many more rows.", leak=0.02)
UNANSWERED = FindingKind("serving.unanswered_rose", says="More rows carry no answer at all.", leak=0.02)
SLOWER = FindingKind("serving.latency_rose", says="Answers take much longer than before.", leak=0.05)
LOST = FindingKind(
    "serving.failures_carry_loss", says="The rows answered abnormally carry much of the new loss.", leak=0.02
)


@probe(findings=[FAILURES, UNANSWERED, FALLBACKS], seconds=0.6)
def failures(predictions: PredictionLog) -> Iterable[Finding]:
    """Compares the share of abnormal statuses, of missing answers, and of any one score, with the baseline's."""
    s = study(predictions)
    yield _statuses(s)
    yield _unanswered(s)
    value, now, before, error = takeover_score(s)
    if table.SCORE not in s.current.columns:
        yield unknown(FALLBACKS, predictions.why_no(table.SCORE))
    elif not np.isfinite(error):
        yield unknown(FALLBACKS, "too few rows: under 30 scored rows on one side")
    else:
        yield measured(
            FALLBACKS,
            grade(now - before, error, TAKEOVER + 0.5 * before),
            statistic=now - before,
            says=f"The most common score now stands in {now:.1%} of rows; before, that score in {before:.1%}.",
            evidence=Evidence({"score": value, "share_now": now, "share_before": before}),
        )


def _statuses(s: Study) -> Finding:
    if table.STATUS not in s.log.roles:
        return unknown(FAILURES, s.log.why_no(table.STATUS))
    before, now = measure_groups(s, table.STATUS, current=False), measure_groups(s, table.STATUS, current=True)
    if not now or not before:
        return unknown(FAILURES, "no data: statuses are there on one side only")
    usual = usual_statuses(s)
    shares = []
    for side in (before, now):
        n = sum(g.rows for g in side.values())
        bad = sum(g.rows for v, g in side.items() if v not in usual)
        shares.append((bad / n, float(proportion_error(bad / n, n))))
    rows = Rows(
        ("status", "share before", "share now"),
        tuple(
            (v, f"{before[v].share:.2%}" if v in before else "0", f"{now[v].share:.2%}" if v in now else "0")
            for v in sorted(before.keys() | now.keys())[:20]
        ),
    )
    effect = shares[1][0] - shares[0][0]
    return measured(
        FAILURES,
        grade(effect, float(np.hypot(shares[0][1], shares[1][1])), 0.01 + shares[0][0]),
        statistic=effect,
        says=f"Requests answered abnormally: {shares[0][0]:.2%} → {shares[1][0]:.2%}.",
        evidence=Evidence({"share_before": shares[0][0], "share_now": shares[1][0]}, [rows]),
    )


def _unanswered(s: Study) -> Finding:
    role = table.SCORE if table.SCORE in s.log.roles else table.PREDICTED
    shares = []
    for frame in (s.baseline, s.current):
        if role not in frame.columns:
            return unknown(UNANSWERED, s.log.why_no(role))
        if frame.rows < 30:
            return unknown(UNANSWERED, f"too few rows: {frame.rows} on one side, needs 30")
        missing = float(np.mean(~np.isfinite(_numbers(frame.columns[role]))))
        shares.append((missing, float(proportion_error(missing, frame.rows))))
    effect = shares[1][0] - shares[0][0]
    return measured(
        UNANSWERED,
        grade(effect, float(np.hypot(shares[0][1], shares[1][1])), 0.01 + shares[0][0]),
        statistic=effect,
        says=f"Rows without an answer: {shares[0][0]:.2%} → {shares[1][0]:.2%}.",
    )


def _numbers(values: table.Array) -> table.Floats:
    if values.dtype == object:
        return np.array([np.nan if v is None else 1.0 for v in values.tolist()])
    return np.asarray(values, dtype=np.float64)


@probe(findings=[SLOWER, LOST], seconds=0.5)
def load(predictions: PredictionLog) -> Iterable[Finding]:
    """Compares latencies, and asks how much of the new loss lies in rows answered abnormally."""
    s = study(predictions)
    yield _latency(s)
    yield _lost(s)


def _latency(s: Study) -> Finding:
    sides = [frame.role(table.LATENCY) for frame in (s.baseline, s.current)]
    before, now = (side[np.isfinite(side) & (side > 0)] for side in sides)
    if len(before) < 50 or len(now) < 50:
        reason = s.log.why_no(table.LATENCY) if table.LATENCY not in s.log.roles else "too few rows: under 50 latencies"
        return unknown(SLOWER, reason)
    quantiles = [(float(np.quantile(v, 0.5)), float(np.quantile(v, 0.95))) for v in (before, now)]
    effect = max(np.log(quantiles[1][0] / quantiles[0][0]), np.log(quantiles[1][1] / quantiles[0][1]))
    error = (
        float(1.5 * np.hypot(np.log(before).std() / np.sqrt(len(before)), np.log(now).std() / np.sqrt(len(now)))) + 0.02
    )
    return measured(
        SLOWER,
        grade(float(effect), error, float(np.log(1.5))),
        statistic=float(np.exp(effect)),
        says=f"Latency median {quantiles[0][0]:.3g} → {quantiles[1][0]:.3g}, 95th percentile "
        f"{quantiles[0][1]:.3g} → {quantiles[1][1]:.3g} (unit of the log).",
        evidence=Evidence(
            {
                "p50_before": quantiles[0][0],
                "p50_now": quantiles[1][0],
                "p95_before": quantiles[0][1],
                "p95_now": quantiles[1][1],
            }
        ),
    )


def _lost(s: Study) -> Finding:
    loss = s.current.role(table.LOSS)
    before, now, error, practical = s.loss_change
    if not np.isfinite(now - before):
        return unknown(LOST, s.log.why_no(table.LABEL))
    risen = grade(now - before, error, practical)
    if risen < 0:
        return measured(LOST, no_loss(risen), statistic=0.0, says="The loss did not rise, however rows were answered.")
    normal = answered_normally(s)
    known = np.isfinite(loss)
    odd = known & ~normal
    if known.sum() < 100:
        return unknown(LOST, f"too few rows: {int(known.sum())} labelled rows now, needs 100")
    extra = float(np.sum(loss[odd] - before)) / float(known.sum())
    share = extra / max(float(loss[known].mean()) - before, 1e-9)
    spread = float(np.sqrt(max(odd.sum(), 1)) / known.sum() / max(now - before, 1e-9))
    return measured(
        LOST,
        grade(share, spread + 0.03, 0.2),
        statistic=share,
        says=f"{odd.sum() / known.sum():.1%} of labelled rows were answered abnormally; they carry "
        f"{share:.0%} of the new loss.",
        evidence=Evidence({"share_of_loss": share, "share_of_rows": float(odd.sum() / known.sum())}),
    )
