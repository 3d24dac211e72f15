"""Probes of the segments: whether the traffic mix moved to where the model was always weak, and where errors rose."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sickbay.probes.study import no_loss, study
from sickbay.registry import probe
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import segments, table
from sickbay.stats.grading import any_of, grade, grades
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

MIX = FindingKind("segments.mix_moved", says="The traffic mix over the segments moved.", leak=0.08)
WEAK = FindingKind(
    "loss.follows_mix", says="Each segment is as good as before; more traffic goes to the weak ones.", leak=0.03
)
UNEVEN = FindingKind(
    "segments.loss_rose_unevenly", says="The loss rose in some segments far more than in others.", leak=0.1
)


@probe(findings=[MIX, WEAK], seconds=1.0)
def mix(predictions: PredictionLog) -> Iterable[Finding]:
    """Compares the mix over the joint segments and what it alone does to the loss."""
    s = study(predictions)
    moved = s.mix
    if moved is None:
        yield unknown(MIX, "no data: the site file names no segments and no column has few levels")
        yield unknown(WEAK, "no data: the site file names no segments and no column has few levels")
        return
    names = ", ".join(s.segment_columns)
    yield measured(
        MIX,
        grade(moved.js, moved.js_error, 0.08),
        statistic=moved.js,
        says=f"Jensen–Shannon distance of the mix over {names}: {moved.js:.3f}.",
        evidence=Evidence({"columns": s.segment_columns, "js": moved.js}),
    )
    before, now, error, practical = s.loss_change
    if not np.isfinite(now - before) or not np.isfinite(moved.carried):
        yield unknown(WEAK, predictions.why_no(table.LABEL))
        return
    risen = grade(now - before, error, practical)
    if risen < 0:
        yield measured(WEAK, no_loss(risen), statistic=0.0, says="The loss did not rise, whatever the mix did.")
        return
    rise = max(now - before, 1e-9)
    share = moved.carried / rise
    yield measured(
        WEAK,
        grade(share, float(np.hypot(moved.error, share * error) / rise), 0.3),
        statistic=share,
        says=f"The new mix over {names} at the former losses explains {share:.0%} of the rise in loss.",
        evidence=Evidence({"share_of_loss": share, "carried": moved.carried}),
    )


@probe(findings=[UNEVEN], seconds=1.0)
def damage(predictions: PredictionLog) -> Iterable[Finding]:
    """Searches the segments and their pairs for those in which the loss rose most, corrected for searching."""
    s = study(predictions)
    columns = s.segment_columns
    if not columns:
        yield unknown(UNEVEN, "no data: the site file names no segments and no column has few levels")
        return
    if table.LOSS not in s.windows.baseline.roles or table.LOSS not in s.windows.current.roles:
        yield unknown(UNEVEN, predictions.why_no(table.LABEL))
        return
    found = segments.table(s.baseline, s.current, columns[:4], table.LOSS)
    if len(found) < 2:
        yield unknown(UNEVEN, "too few rows: fewer than two segments have 30 labelled rows on both sides")
        return
    before, now, _, practical = s.loss_change
    overall = now - before
    effects = [segment.change - overall for segment in found]
    strengths = grades(np.array(effects), np.array([g.error for g in found]), 1.5 * practical)
    worst = sorted(
        zip(effects, found, strict=True), key=lambda pair: (-pair[0] / max(pair[1].error, 1e-9), pair[1].name)
    )
    top = worst[0][1]
    yield measured(
        UNEVEN,
        any_of(strengths),
        statistic=worst[0][0],
        says=f"Loss changed by {overall:+.3g} overall, most clearly in {top.name}: "
        f"{top.loss_before:.3g} → {top.loss_now:.3g}.",
        evidence=Evidence(
            {"segment": top.name, "searched": len(found)},
            [
                Rows(
                    ("segment", "share before", "share now", "loss before", "loss now", "± "),
                    tuple(
                        (g.name, f"{g.share_before:.1%}", f"{g.share_now:.1%}", round(g.loss_before, 4),
                         round(g.loss_now, 4), round(1.96 * g.error, 4))
                        for _, g in worst[:15]
                    ),
                    "Segments, clearest rise of loss first",
                )
            ],
        ),
    )  # fmt: skip
