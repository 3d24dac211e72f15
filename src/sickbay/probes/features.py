"""Probes of features on both sides: which differ, and which rule turns the one into the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sickbay.probes.aligned import onsets
from sickbay.probes.recomputed import recomputed
from sickbay.probes.skewed import EXPLAINED, Weighed, weigh
from sickbay.registry import probe
from sickbay.sources.feature_store import FeatureStore
from sickbay.stats.skew.pairs import EXACT, Tolerance
from sickbay.stats.skew.report import PRACTICAL_SHARE, SkewReport, examine
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SURE, CLEAR, LIKELY = 4.2, 3.0, 1.5

DIFFER = FindingKind("features.differ", says="Serving gives other values of a feature than training had.", leak=0.03)
MOST = FindingKind("features.most_differ", says="Nearly all features differ, whatever they are computed by.", leak=0.05)
BEGAN = FindingKind("features.differ_since", says="The difference begins at one time.", leak=0.05)
UNEXPLAINED = FindingKind(
    "features.unexplained", says="A feature differs, and no rule turns one side into the other.", leak=0.1
)
RULES: Mapping[str, FindingKind] = {
    "rounded": FindingKind("features.rounded", says="Rounding or fewer bits turn one side into the other.", leak=0.02),
    "other_rule": FindingKind(
        "features.other_rule", says="Another formula, window or spelling turns one side into the other.", leak=0.03
    ),
    "other_day": FindingKind(
        "features.other_day", says="Days that begin at another hour turn one side into the other.", leak=0.02
    ),
    "recoded": FindingKind(
        "features.recoded_since", says="From one time on, a unit or a code turns one side into the other.", leak=0.02
    ),
    "lagging": FindingKind("features.lagging", says="Serving gives values of a constant time before.", leak=0.03),
    "cached": FindingKind("features.cached", says="Serving gives values of ages up to a time to live.", leak=0.03),
    "stopped": FindingKind("features.stopped", says="Serving gives values that stand still since one time.", leak=0.03),
    "late": FindingKind("features.late_events", says="Only rows whose inputs came late differ.", leak=0.03),
    "future": FindingKind("features.from_future", says="Training has values of a later time.", leak=0.02),
    "other_source": FindingKind(
        "features.other_source", says="The sides vary together, and not by any rule: another source.", leak=0.05
    ),
}
FOUND = (DIFFER, MOST, BEGAN, UNEXPLAINED, *RULES.values())


def report(store: FeatureStore) -> SkewReport:
    """Return both sides compared and explained; done once an investigation."""
    given = store.given
    widths = {name: Tolerance(EXACT.absolute, width) for name, width in given.tolerance.items()}
    return store.once(
        "report",
        lambda: examine(
            store.tables, keys=given.keys, time=given.time, online_time=given.online_time, features=given.features,
            tolerances=widths, says=store.tables.says,
        ),
    )  # fmt: skip


@probe(findings=FOUND, seconds=2.0, load="heavy", deadline=240)
def explained(store: FeatureStore) -> Iterable[Finding]:
    """Compares both sides feature by feature, and looks for the rule that turns one into the other."""
    found = report(store)
    measurable = [f for f in found.features if f.skewed is not None]
    if not measurable or not found.sides.matched:
        why = f"no data: no row of one side meets a row of the other ({found.sides.offline_rows:,} and "
        why += f"{found.sides.online_rows:,} rows)" if not found.sides.matched else "no feature can be compared)"
        for kind in FOUND:
            yield unknown(kind, why)
        return
    skewed = sorted(found.skewed, key=lambda f: -f.mismatch_share)
    yield _differ(found, [(f.name, f.mismatch_share - f.explained.noise_share) for f in measurable])
    if not skewed:
        for kind in FOUND[1:]:
            yield unknown(kind, "not applicable: the sides do not differ in a share that matters")
        return
    moving = [f for f in measurable if f.counts.pairs]
    breadth = len(skewed) / len(moving)
    yield measured(
        MOST, (breadth - 0.75) * 12 if len(moving) > 3 else 0.0, statistic=breadth,
        says=f"{len(skewed)} of {len(moving)} features differ.",
    )  # fmt: skip
    better = recomputed(store, skewed)
    weighed = weigh(better, onsets(store, [f.name for f in skewed]))
    yield _began(weighed)
    for name, kind in RULES.items():
        yield _rule(kind, weighed, name)
    rest = weighed.rest
    yield measured(
        UNEXPLAINED, min(CLEAR, (rest - 0.4) * 6), statistic=rest, says=f"{rest:.0%} of the differences follow no rule."
    )


def _differ(found: SkewReport, shares: list[tuple[str, float]]) -> Finding:
    shares.sort(key=lambda pair: -pair[1])
    worst, share = shares[0]
    rows = tuple((name, f"{s:.2%}") for name, s in shares[:15])
    ratio = SURE if found.skewed else -SURE
    if 0.3 * PRACTICAL_SHARE < share < 2 * PRACTICAL_SHARE:
        ratio *= 0.5
    return measured(
        DIFFER, ratio, statistic=share, evidence=Evidence({"worst": worst, "share": share}, [
            Rows(("feature", "differing"), rows, "Pairs that differ beyond noise")]),
        says=f"{worst} differs in {share:.1%} of {found.sides.matched:,} pairs, the most of {len(shares)} features.",
    )  # fmt: skip


def _began(weighed: Weighed) -> Finding:
    if weighed.onset is None:
        return unknown(BEGAN, "no data: the pairs have no time")
    share = weighed.onset
    return measured(
        BEGAN, 2.5 if share > 0.2 else -2.0, statistic=share,
        says=f"The first difference lies {share:.0%} into the time looked at.",
    )  # fmt: skip


def _rule(kind: FindingKind, weighed: Weighed, name: str) -> Finding:
    """Return whether a kind of rule explains the differences: what it covers, and what it has rivals in."""
    covered = weighed.share.get(name, 0.0)
    told = weighed.told.get(name, "")
    if covered >= 0.5 and not weighed.rivalled.get(name):
        ratio = SURE if covered >= 0.9 else CLEAR  # the explainer names a wrong rule in about 2 of 100 cases
    elif covered >= 0.15:
        ratio = LIKELY
    elif covered > 0.02:
        ratio = 0.3
    else:
        ratio = -2.0
    listed = ", ".join(EXPLAINED[name])
    said = f"{told} ({covered:.0%} of the differences)." if told else f"None of {listed} explains the differences."
    return measured(kind, ratio, statistic=covered, says=said, evidence=Evidence({"coverage": covered}))
