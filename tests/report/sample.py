"""Diagnoses made by hand: one rich, and the awkward ones. They drive the reports without an investigation."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sickbay.report.glossary import Glossary
from sickbay.terms.cause import Advice
from sickbay.terms.change import Change
from sickbay.terms.diagnosis import Answer, Diagnosis, LedgerEntry, MissingEvidence, RankedCause
from sickbay.terms.evidence import Distribution, Evidence, Exhibit, Line, LogLines, Numbers, Rows, Series
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
ONSET = datetime(2025, 12, 29, 6, 0, tzinfo=UTC)

KINDS = {
    kind.id: kind
    for kind in (
        FindingKind("performance.dropped", "The model performs worse than on its reference."),
        FindingKind("features.nulls_jumped", "Nulls jumped in few columns."),
        FindingKind("features.scale_changed", "A column's values were multiplied by a factor."),
        FindingKind("onset.sudden", "The change came at one instant."),
        FindingKind("drift.inputs_moved", "The inputs moved as a whole."),
        FindingKind("drift.labels_contradict", "Labels contradict the scores where they agreed before."),
        FindingKind("serving.errors", "The serving log shows errors."),
        FindingKind("arms.one_bad", "Only one arm of the A/B test is bad."),
        FindingKind("versions.old_still_good", "The old version is still good on the same rows."),
        FindingKind("host.memory_full", "The host ran out of memory."),
        FindingKind("segments.mix_moved", "Traffic moved to segments where the model was always weak."),
    )
}
ADVICE = {
    "repair_feature_pipeline": Advice(
        "repair_feature_pipeline",
        "Repair the job that computes the columns named above, then recompute them from the onset on",
        "medium",
        "One backfill; predictions since the onset have to be scored again",
    ),
    "use_fallback_values": Advice(
        "use_fallback_values",
        "Serve the last good value of the broken columns until the job is repaired",
        "low",
        "Stale features for some hours",
    ),
    "retrain_on_recent": Advice(
        "retrain_on_recent", "Retrain on rows since the shift", "medium", "Needs labels of two weeks"
    ),
}
GLOSSARY = Glossary(ADVICE, KINDS)


def rich() -> Diagnosis:
    """A broken feature pipeline with everything a report can show."""
    return Diagnosis(
        system="fraud-detection",
        scenario="model-degradation",
        started_at=START,
        seconds=6.42,
        causes=_causes(),
        none_of_these=0.021,
        coverage=0.91,
        stopped="confident",
        findings=_findings(),
        unexplained=("serving.errors",),
        missing=(
            MissingEvidence("arms.one_bad", "predictions.arms", 0.21, "no data: the site names no arm column"),
            MissingEvidence("host.memory_full", "host.memory", 0.04, "refused: connection to the host agent refused"),
        ),
        changes=(
            Change("deploy", ONSET - timedelta(minutes=25), "feature job 4.2.0", "was 4.1.7", "features.changes"),
            Change("model-version", ONSET - timedelta(days=12), "fraud 18", "was 17", "predictions.versions"),
        ),
        answers=_answers(),
        pairs=(("feature-pipeline-broken", "data-drift", 0.06),),
        symptom="performance.dropped",
        settings={"model": "fraud", "since": "21d", "until": None, "budget": 60.0, "mode": "balanced"},
    )


def empty() -> Diagnosis:
    """No probe ran at all."""
    return Diagnosis("fraud-detection", "", START, 0.0, (), 1.0, 0.0, "exhausted", (), (), ())


def nothing_measured() -> Diagnosis:
    """Every finding is unknown; the causes carry nothing but their priors."""
    known = rich()
    findings = tuple(
        replace(unknown(f.id, "refused: connection to the store refused"), probe=f.probe) for f in known.findings
    )
    causes = tuple(replace(c, probability=0.18 - 0.04 * i, ledger=()) for i, c in enumerate(known.causes))
    answers = tuple(Answer(a.asks, (), a.findings) for a in known.answers)
    return replace(
        known, findings=findings, causes=causes, none_of_these=0.4, coverage=0.0, answers=answers, unexplained=(),
        changes=(), pairs=(), stopped="exhausted",
    )  # fmt: skip


def none_leads() -> Diagnosis:
    """The symptom is there, and no catalogued cause explains it."""
    known = rich()
    causes = tuple(replace(c, probability=p) for c, p in zip(known.causes, (0.19, 0.11, 0.02, 0.01), strict=True))
    return replace(known, causes=causes, none_of_these=0.68, pairs=(), stopped="exhausted", coverage=0.64)


def interrupted() -> Diagnosis:
    """Ctrl-C after the first findings."""
    known = rich()
    causes = tuple(replace(c, probability=p) for c, p in zip(known.causes, (0.41, 0.3, 0.12, 0.05), strict=True))
    return replace(known, causes=causes, none_of_these=0.12, pairs=(), stopped="interrupted", coverage=0.37)


def nasty() -> Diagnosis:
    """Names and values as an enemy or a bad day would write them."""
    evil = "<script>alert('x')</script>[red]|`\x1b[31m"
    rows = Rows(("a" * 300, evil), tuple((i, evil) for i in range(5000)), title=evil)
    times = tuple(START + timedelta(hours=i) for i in range(5))
    exhibits: tuple[Exhibit, ...] = (
        rows,
        Numbers({evil: math.nan, "none": None, "inf": -math.inf, "text": evil}, title=evil),
        Series(times, (Line(evil, (math.nan, None, 1.0, None, 2.0)),), marks=((START - timedelta(days=9), evil),)),
        Series((), ()),
        Series(times, (Line("flat", (0.0,) * 5), Line("gap", (None,) * 5)), band=(START, START)),
        Distribution((evil, "b"), (math.nan, 0.5), (1.0, 0.0), title=evil),
        Distribution((), (), ()),
        Distribution(tuple(f"{evil}{i}" for i in range(40)), (0.0,) * 40, (0.025,) * 40),
        Rows((), ()),
        LogLines(("x" * 3_000, evil, *("line" for _ in range(5000)))),
        LogLines(()),
    )
    finding = replace(measured(evil, 3.0, statistic=0.5, says=evil, evidence=Evidence({}, exhibits)), probe=evil)
    causes = (
        RankedCause(evil, math.nan, evil * 90, (LedgerEntry(evil, math.nan), LedgerEntry("gone", 1.0)), (evil,), evil),
        RankedCause("data-drift", 0.2, "says", (LedgerEntry(evil, -1.0),), title="B" * 500),
    )
    return Diagnosis(
        evil, evil, START.replace(tzinfo=None), math.nan, causes, math.nan, math.nan, "budget",
        (finding, unknown(evil + "2", evil)), (evil,), (MissingEvidence(evil, evil, math.nan, evil),),
        (Change(evil, START, evil, evil),), (Answer(evil, (evil,)), Answer(evil, ())), ((evil, evil, 0.3),),
        evil, {"model": evil, "budget": 5},
    )  # fmt: skip


ALL = {
    "rich": rich,
    "empty": empty,
    "nothing_measured": nothing_measured,
    "none_leads": none_leads,
    "interrupted": interrupted,
    "nasty": nasty,
}


def _ledger(*terms: tuple[str, float]) -> tuple[LedgerEntry, ...]:
    return tuple(LedgerEntry(name, amount) for name, amount in terms)


def _causes() -> tuple[RankedCause, ...]:
    return (
        RankedCause(
            "feature-pipeline-broken", 0.943,
            "A job that computes features delivers nulls, constants or wrongly scaled values in few columns.",
            _ledger(("features.nulls_jumped", 3.1), ("onset.sudden", 1.4), ("features.scale_changed", 1.2),
                    ("performance.dropped", 1.1), ("drift.inputs_moved", -0.4), ("segments.mix_moved", 0.2)),
            ("repair_feature_pipeline", "use_fallback_values"),
            "Check null shares and ranges of every feature before they are served; alert on a jump.",
            "Broken feature pipeline",
        ),
        RankedCause(
            "data-drift", 0.061, "The inputs moved away from what the model was trained on.",
            _ledger(("performance.dropped", 1.0), ("drift.inputs_moved", -1.9), ("onset.sudden", -0.8),
                    ("features.nulls_jumped", 0.1)),
            ("retrain_on_recent",), "Watch the inputs weekly.", "Data drift",
        ),
        RankedCause("concept-drift", 0.012, "The relation between inputs and outcome changed.",
                    _ledger(("drift.labels_contradict", -2.2),), title="Concept drift"),
        RankedCause("bad-deployment", 0.008, "A new model version or configuration is worse.", (),
                    title="Bad deployment"),
    )  # fmt: skip


def _answers() -> tuple[Answer, ...]:
    return (
        Answer("Data or model?", ("the data: three columns changed, labels agree with the scores as before",)),
        Answer(
            "Since when?",
            ("Since 2025-12-29 06:00 UTC (90% between 05:00 and 08:00), at one instant rather than as a slope.",),
            ("onset.sudden",),
        ),
        Answer(
            "Which features?",
            ("merchant_age_days: nulls rose from 0.4% to 61.2%.", "amount_eur: values are 100 times larger."),
            ("features.nulls_jumped",),
        ),
        Answer("Which arm?", (), ("arms.one_bad",)),
    )


def _findings() -> tuple[Finding, ...]:
    def found(name: str, ratio: float, statistic: float, says: str, *exhibits: Exhibit, unit: str = "") -> Finding:
        finding = measured(name, ratio, statistic=statistic, says=says, evidence=Evidence({}, exhibits))
        return replace(finding, probe=name.partition(".")[0] + ".probe", seconds=0.31, unit=unit)

    return (
        found("performance.dropped", 4.2, -0.168, "Accuracy fell from 94.9% to 78.1% (95% interval of the loss: "
              "16.2 to 17.4 points).", _accuracy(), _segments()),
        found("features.nulls_jumped", 4.6, 0.612, "Nulls in merchant_age_days rose from 0.4% to 61.2% at "
              "2025-12-29 06:00 UTC.", _nulls(), _bins()),
        found("features.scale_changed", 3.0, 100.0, "amount_eur is 100 times larger since the onset.", _columns(),
              unit="times"),
        found("onset.sudden", 1.9, 0.98, "The change came at one instant: a step explains the series better than a "
              "slope by a factor of 50.", Numbers({"step": "2025-12-29 06:00 UTC", "width_hours": 3,
                                                    "log Bayes factor": 3.91}, "The step")),
        found("drift.inputs_moved", -1.2, 0.031, "Apart from the columns named, the inputs did not move: a domain "
              "classifier reaches an AUC of 0.531."),
        found("drift.labels_contradict", -2.3, 0.004, "", Distribution(
              tuple(f"{i / 20:.2f}" for i in range(20)), tuple([0.05] * 20), tuple([0.05] * 20), "Scores")),
        found("segments.mix_moved", -0.5, 0.02, "The mix of segments is as before (total variation 0.02)."),
        found("serving.errors", 2.4, 0.031, "3.1% of requests failed since 2025-12-30, 0.2% before.",
              LogLines(("2025-12-30T08:12:04Z ERROR timeout after 2000 ms calling features:8500",
                        "2025-12-30T08:12:05Z WARN  fallback prediction used for request 81f3"), "Serving log")),
        replace(unknown("arms.one_bad", "no data: the site names no arm column"), probe="predictions.arms"),
        replace(unknown("versions.old_still_good", "time-out: gave up after 20 s"), probe="predictions.versions"),
        replace(unknown("host.memory_full", "refused: connection to the host agent refused"), probe="host.memory"),
    )  # fmt: skip


def _hours(days: int = 21, step: int = 6) -> tuple[datetime, ...]:
    return tuple(START - timedelta(days=days) + timedelta(hours=step * i) for i in range(days * 24 // step))


def _accuracy() -> Series:
    times = _hours()
    wave = [0.008 * math.sin(i / 2.1) + 0.004 * math.cos(i * 1.7) for i in range(len(times))]
    level = [(0.949 if at < ONSET else 0.781) + w for at, w in zip(times, wave, strict=True)]
    values = tuple(None if 30 <= i < 34 else v for i, v in enumerate(level))
    low = tuple(None if v is None else v - 0.012 for v in values)
    high = tuple(None if v is None else v + 0.012 for v in values)
    accept = Line("on acceptance", (0.951,) * len(times))
    return Series(
        times, (Line("accuracy", values, low, high), accept), "", "Accuracy per 6 hours",
        ((ONSET - timedelta(minutes=25), "feature job 4.2.0"), (ONSET, "onset")),
        (ONSET - timedelta(hours=6), ONSET + timedelta(hours=9)),
    )  # fmt: skip


def _nulls() -> Series:
    times = _hours()
    values = tuple(0.004 if at < ONSET else 0.61 + 0.01 * math.sin(i) for i, at in enumerate(times))
    return Series(times, (Line("merchant_age_days", values),), "", "Share of nulls per 6 hours", ((ONSET, "onset"),))


def _bins() -> Distribution:
    labels = tuple(f"{10**k:,.0f}" for k in [i / 8 for i in range(32)])
    peak = [math.exp(-((i - 12) ** 2) / 40) for i in range(32)]
    moved = [math.exp(-((i - 12) ** 2) / 40) * 0.5 + math.exp(-((i - 25) ** 2) / 12) * 0.6 for i in range(32)]
    before = tuple(v / sum(peak) for v in peak)
    now = tuple(v / sum(moved) for v in moved)
    return Distribution(labels, before, now, "amount_eur, euros")


def _columns() -> Distribution:
    return Distribution(
        ("card present", "card not present", "bank transfer by a very long name of a product", "wallet", "missing"),
        (0.46, 0.31, 0.14, 0.086, 0.004),
        (0.2, 0.11, 0.05, 0.028, 0.612),
        "channel",
    )


def _segments() -> Rows:
    rows = (
        ("country = DE", 41_204, 0.951, 0.78, -0.171),
        ("country = FR", 28_870, 0.948, 0.779, -0.169),
        ("country = PL", 9_112, 0.95, 0.791, -0.159),
        ("channel = app", 50_061, 0.949, 0.783, -0.166),
    )
    return Rows(("segment", "rows", "before", "after", "change"), rows, "Accuracy by segment")
