"""Probes of what answers: model versions, A/B arms, and whether the model still answers as it did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from sickbay.probes.answering import NONE, answered_normally, measure_groups
from sickbay.probes.study import Study, study
from sickbay.probes.windows import find_onset
from sickbay.registry import probe
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import groups, table
from sickbay.stats.grading import any_of, grade, proportion_error
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

PRACTICAL_RESIDUAL = 0.07
"""Rise of the mean residual, in spreads of the score, from which the model answers otherwise."""

ARRIVED = FindingKind(
    "deployments.version_arrived", says="A new model version came into service when the trouble began.", leak=0.04
)
WORSE = FindingKind(
    "deployments.new_version_worse", says="Side by side, the new version does worse than the old one.", leak=0.02
)
ANSWERS = FindingKind(
    "model.answers_changed",
    says="Rows answered normally get other scores than the model gave the same features before.",
    leak=0.03,
)
STILL_GOOD = FindingKind(
    "model.old_answers_still_good",
    says="On the same current rows, the answers the model used to give would be much better.",
    leak=0.03,
)
THRESHOLD = FindingKind(
    "model.threshold_moved", says="The same score now leads to another prediction: the threshold changed.", leak=0.004
)
ARM_BAD = FindingKind("arms.one_arm_bad", says="The loss rose in one A/B arm and not in the other.", leak=0.02)
SPLIT_OFF = FindingKind(
    "arms.split_off", says="The traffic split between the arms is not the configured one.", leak=0.02
)


@probe(findings=[ARRIVED, WORSE], seconds=0.8)
def versions(predictions: PredictionLog) -> Iterable[Finding | Change]:
    """Follows the model versions of the log: which came, when, and how each does beside the others."""
    s = study(predictions)
    if table.VERSION not in predictions.roles:
        yield unknown(ARRIVED, predictions.why_no(table.VERSION))
        yield unknown(WORSE, predictions.why_no(table.VERSION))
        return
    before = measure_groups(s, table.VERSION, current=False)
    now = measure_groups(s, table.VERSION, current=True)
    rows = _group_rows("version", before, now)
    fresh = [g for v, g in now.items() if g.share >= 0.05 and before.get(v, NONE).share < 0.01]
    yield from _arrivals(s, fresh, rows)
    old = [g for v, g in now.items() if before.get(v, NONE).share >= 0.05 and g.labelled >= 50]
    young = [g for g in fresh if g.labelled >= 50]
    if not old or not young:
        yield unknown(WORSE, "no data: no new version served labelled rows beside an old one")
        return
    best = min(old, key=lambda g: g.loss)
    strengths = [grade(g.loss - best.loss, float(np.hypot(g.error, best.error)), _practical(s)) for g in young]
    worst = max(young, key=lambda g: g.loss)
    yield measured(
        WORSE,
        any_of(strengths),
        statistic=worst.loss - best.loss,
        says=f"In the same period version {worst.value} has loss {worst.loss:.3g}, "
        f"version {best.value} {best.loss:.3g}.",
        evidence=Evidence({"new": worst.value, "old": best.value}, [rows]),
    )


def _arrivals(s: Study, fresh: list[groups.Group], rows: Rows) -> Iterable[Finding | Change]:
    log = s.log
    if not fresh:
        yield measured(
            ARRIVED,
            -2.5,
            statistic=0.0,
            says="No model version is new in the current rows.",
            evidence=Evidence({}, [rows]),
        )
        return
    newest = max(fresh, key=lambda g: g.share)
    firsts = _first_seen(s, newest.value)
    found, series = find_onset(s)
    span = (log.last - log.first).total_seconds() if log.first and log.last else 0.0
    if found is None or s.timeline is None or firsts is None or span <= 0:
        yield measured(
            ARRIVED,
            0.7,
            statistic=newest.share,
            says=f"Version {newest.value} is new: {newest.share:.0%} of the current rows.",
            evidence=Evidence({"version": newest.value}, [rows]),
        )
        return
    moments = s.timeline.moments()
    low, high = moments[max(0, found.low - 1)], moments[found.high] + s.timeline.width
    if found.instant < 0:
        low, high = moments[max(0, found.ramp_start - 1)], max(high, moments[found.ramp_start] + 2 * s.timeline.width)
    gap = max((low - firsts).total_seconds(), (firsts - high).total_seconds(), 0.0)
    tolerance = max((high - low).total_seconds(), 2 * s.timeline.width.total_seconds())
    chance = min(1.0, 2 * (gap + tolerance) / span)
    timing = "as" if gap == 0 else f"{gap / 3600:.0f} h from when"
    log_ratio = float(-np.log(chance)) + 0.7 if gap <= tolerance else -1.5
    yield measured(
        ARRIVED,
        log_ratio,
        statistic=gap / 3600,
        says=f"Version {newest.value} first served {firsts:%Y-%m-%d %H:%M}Z, "
        f"{timing} the {series} changed; it now answers {newest.share:.0%}.",
        evidence=Evidence({"version": newest.value, "first_served": firsts, "hours_from_onset": gap / 3600}, [rows]),
    )
    yield Change(
        "model-version",
        firsts.replace(tzinfo=UTC),
        f"{log.model} {newest.value}",
        f"{newest.share:.0%} of current rows",
    )


def _first_seen(s: Study, version: str) -> datetime | None:
    everything = groups.measure(s.log.everything(), table.VERSION)
    return everything[version].first if version in everything else None


@probe(findings=[ANSWERS, STILL_GOOD, THRESHOLD], seconds=2.0)
def answers(predictions: PredictionLog) -> Iterable[Finding]:
    """Learns how the model used to answer and asks whether current answers, on the same features, are still those."""
    s = study(predictions)
    a = s.answers
    normal = answered_normally(s)
    excess, error = a.excess(s.logged_domain, normal)
    share = float(np.mean(normal)) if len(normal) else 0.0
    if np.isfinite(excess):
        yield measured(
            ANSWERS,
            grade(excess, error, PRACTICAL_RESIDUAL),
            statistic=excess,
            says=f"Scores differ from what the model used to give for such rows by {excess:+.2f} spreads more than "
            f"before (rows answered normally, {share:.0%} of all).",
            evidence=Evidence({"excess_residual": excess, "standard_error": error}),
        )
    else:
        yield unknown(ANSWERS, "too few rows: under 50 current rows resemble the baseline and were answered normally")
    yield _still_good(s)
    yield _threshold(s)


def _still_good(s: Study) -> Finding:
    a = s.answers
    if s.log.task != "binary" or table.LABEL not in s.current.columns:
        return unknown(STILL_GOOD, predictions_reason(s))
    sides = []
    for frame, answer in ((s.baseline, a.answer_baseline), (s.current, a.answer_current)):
        label, loss = frame.role(table.LABEL), frame.role(table.LOSS)
        known = np.isfinite(label) & np.isfinite(loss)
        if frame is s.current:
            known &= s.logged_domain.overlap
        if known.sum() < 100:
            reason = f"too few rows: {int(known.sum())} labelled rows with inputs that both sides know, needs 100"
            return unknown(STILL_GOOD, reason)
        surrogate = np.abs(label[known] - (answer[known] >= a.threshold))
        sides.append((loss[known] - surrogate, float(loss[known].mean()), float(surrogate.mean())))
    (before, _, _), (now, loss_now, old_now) = sides
    effect = float(now.mean() - before.mean())
    error = float(np.sqrt(now.var() / len(now) + before.var() / len(before)))
    return measured(
        STILL_GOOD,
        grade(effect, error, _practical(s)),
        statistic=effect,
        says=f"On the same current rows the logged answers are wrong in {loss_now:.1%}, the answers the model "
        f"used to give would be wrong in {old_now:.1%}.",
        evidence=Evidence({"error_logged": loss_now, "error_of_former_answers": old_now, "part_of_loss": effect}),
    )


def predictions_reason(s: Study) -> str:
    """Return why answers cannot be held against labels."""
    return s.log.why_no(table.LABEL) if s.log.task == "binary" else "not applicable: compared for binary models only"


def _threshold(s: Study) -> Finding:
    if table.SCORE not in s.current.columns or table.PREDICTED not in s.current.columns or s.log.task != "binary":
        return unknown(THRESHOLD, s.log.why_no(table.SCORE))
    limit = s.answers.threshold
    shares = []
    for frame in (s.baseline, s.current):
        score, predicted = frame.role(table.SCORE), frame.role(table.PREDICTED)
        known = np.isfinite(score) & np.isfinite(predicted)
        if known.sum() < 50:
            return unknown(THRESHOLD, "too few rows: under 50 rows carry score and prediction")
        odd = (score[known] >= limit) != (predicted[known] > 0.5)
        shares.append((float(odd.mean()), float(proportion_error(odd.mean(), known.sum()))))
    effect = shares[1][0] - shares[0][0]
    return measured(
        THRESHOLD,
        grade(effect, float(np.hypot(shares[0][1], shares[1][1])), 0.015),
        statistic=effect,
        says=f"{shares[1][0]:.1%} of current predictions contradict the former threshold {limit:.3g} "
        f"(before: {shares[0][0]:.1%}).",
        evidence=Evidence({"threshold_before": limit, "contradicting_now": shares[1][0]}),
    )


@probe(findings=[ARM_BAD, SPLIT_OFF], seconds=0.6)
def arms(predictions: PredictionLog) -> Iterable[Finding]:
    """Compares the A/B arms: the change of loss in each, and the split with the configured one."""
    s = study(predictions)
    if table.ARM not in predictions.roles:
        yield unknown(ARM_BAD, predictions.why_no(table.ARM))
        yield unknown(SPLIT_OFF, predictions.why_no(table.ARM))
        return
    before, now = measure_groups(s, table.ARM, current=False), measure_groups(s, table.ARM, current=True)
    rows = _group_rows("arm", before, now)
    yield _arm_bad(s, before, now, rows)
    yield _split(s, before, now, rows)


def _arm_bad(s: Study, before: dict[str, groups.Group], now: dict[str, groups.Group], rows: Rows) -> Finding:
    changes = {}
    for arm, g in now.items():
        b = before.get(arm, NONE)
        if g.labelled >= 30:
            # an arm that did not exist before is held against all that was
            base = (b.loss, b.error) if b.labelled >= 30 else (s.loss_change[0], 0.0)
            changes[arm] = (g.loss - base[0], float(np.hypot(g.error, base[1])))
    changes = {arm: c for arm, c in changes.items() if np.isfinite(c[0])}
    if len(changes) < 2:
        return unknown(ARM_BAD, "no data: fewer than two arms have 30 labelled rows now")
    worst = max(changes, key=lambda arm: changes[arm][0])
    best = min(changes, key=lambda arm: changes[arm][0])
    # an arm counts as the bad one only as far as the other one is spared
    effect = changes[worst][0] - changes[best][0] - max(0.0, changes[best][0])
    error = float(np.hypot(changes[worst][1], changes[best][1]))
    return measured(
        ARM_BAD,
        grade(effect, error, _practical(s)) - np.log(len(changes) / 2),
        statistic=effect,
        says=f"Loss in arm {worst} changed by {changes[worst][0]:+.3g}, in arm {best} by {changes[best][0]:+.3g}.",
        evidence=Evidence({"arm": worst, "difference": effect, "standard_error": error}, [rows]),
    )


def _split(s: Study, before: dict[str, groups.Group], now: dict[str, groups.Group], rows: Rows) -> Finding:
    configured = dict(s.log.settings.arms)
    total = sum(configured.values())
    expected = {arm: share / total for arm, share in configured.items()} if total > 0 else {}
    source = "configured"
    n_before = float("inf")
    if not expected:
        expected = {arm: g.share for arm, g in before.items()}
        source, n_before = "earlier", sum(g.rows for g in before.values())
    if not expected or not now:
        return unknown(SPLIT_OFF, "no data: no split is configured and none was seen before")
    n = sum(g.rows for g in now.values())
    gaps = {arm: now.get(arm, NONE).share - expected.get(arm, 0.0) for arm in now.keys() | expected.keys()}
    worst = max(sorted(gaps), key=lambda arm: abs(gaps[arm]))
    share = expected.get(worst, 0.0)
    error = float(np.sqrt(max(share * (1 - share), 0.25 / n) * (1 / n + 1 / n_before)))
    return measured(
        SPLIT_OFF,
        grade(abs(gaps[worst]), error, 0.04),
        statistic=abs(gaps[worst]),
        says=f"Arm {worst} gets {now.get(worst, NONE).share:.1%} of the rows; {source} split: {share:.1%}.",
        evidence=Evidence({"arm": worst, "share_now": now.get(worst, NONE).share, "share_expected": share}, [rows]),
    )


def _group_rows(name: str, before: dict[str, groups.Group], now: dict[str, groups.Group]) -> Rows:
    rows = []
    for value in sorted(before.keys() | now.keys()):
        b, c = before.get(value, NONE), now.get(value, NONE)
        rows.append((value, _share(b.share), _share(c.share), _loss(b.loss), _loss(c.loss), int(c.labelled)))
    return Rows((name, "share before", "share now", "loss before", "loss now", "labelled now"), tuple(rows[:20]))


def _share(value: float) -> str:
    return f"{value:.1%}"


def _loss(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _practical(s: Study) -> float:
    size = s.loss_change[3]
    return size if np.isfinite(size) else 0.02
