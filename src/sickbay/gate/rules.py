"""The rules a candidate is held to: from ``[model.NAME.gate]`` of the site file, from options, or the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sickbay.config import Gate
from sickbay.errors import UserError, nearest
from sickbay.stats.paired import METRICS, RELATIVE

MARGINS = {"auc": 0.005, "accuracy": 0.005, "f1": 0.01, "precision": 0.02, "recall": 0.02}
RELATIVE_MARGIN = 0.02
ALLOWED = ("latency", "size", "stability")
"""What may be "not shown" unless the rules ask for it: it needs columns or files that not every user has."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gate asks. ``margin``: the loss that does not matter (for losses and errors: a share of the champion's).

    ``better``: a gain has to be shown, not only the absence of a loss. ``segment_share``: a segment with less of the
    rows may be too small to tell.
    """

    metric: str
    margin: float
    better: bool = False
    confidence: float = 0.95
    min_rows: int = 200
    segment_margin: float = 0.03
    segment_share: float = 0.1
    calibration_margin: float = 0.03
    stability_margin: float = 0.05
    latency_ratio: float = 1.2
    size_ratio: float = 1.5
    allow_not_shown: frozenset[str] = frozenset(ALLOWED)
    contract: Mapping[str, Any] = field(default_factory=dict)

    def allows(self, check: str) -> bool:
        """Return whether a check may be "not shown": its id or any part it begins with is allowed."""
        parts = check.split(".")
        return any(".".join(parts[: i + 1]) in self.allow_not_shown for i in range(len(parts)))


def rules_for(gate: Gate | None, task: str, *, scores: bool, metric: str | None, margin: float | None) -> Rules:
    """Return the rules for a task; options win over the site file, the site file over the defaults."""
    given = gate or Gate()
    chosen = metric or given.metric or _usual(task, scores)
    known = METRICS[task]
    if chosen not in known:
        raise UserError(
            f"{chosen!r} is no metric of a {task} model", hint=nearest(chosen, known) or f"metrics: {', '.join(known)}"
        )
    usual = RELATIVE_MARGIN if chosen in RELATIVE else MARGINS[chosen]
    wide = 0.1 if chosen in RELATIVE else 0.03
    asked = {name for name, value in (("latency", given.latency_ratio), ("size", given.size_ratio),
                                      ("stability", given.stability_margin)) if value is not None}  # fmt: skip
    allowed = given.allow_not_shown if given.allow_not_shown is not None else [n for n in ALLOWED if n not in asked]
    return Rules(
        metric=chosen,
        margin=margin if margin is not None else given.margin if given.margin is not None else usual,
        better=given.better,
        confidence=given.confidence,
        min_rows=given.min_rows,
        segment_margin=given.segment_margin if given.segment_margin is not None else wide,
        segment_share=given.segment_share,
        calibration_margin=given.calibration_margin,
        stability_margin=given.stability_margin if given.stability_margin is not None else 0.05,
        latency_ratio=given.latency_ratio or 1.2,
        size_ratio=given.size_ratio or 1.5,
        allow_not_shown=frozenset(allowed),
        contract=dict(given.contract),
    )


def _usual(task: str, scores: bool) -> str:
    if task == "binary":
        return "auc" if scores else "accuracy"
    return "accuracy" if task == "multiclass" else "mae"
