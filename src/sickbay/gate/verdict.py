"""What the gate says: one check per question, and a verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "not_shown"]
SCHEMA = "sickbay.gate/1"


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer. Numbers are NaN where they do not apply.

    ``difference``: the candidate's gain (negative: worse) with its interval; ``margin``: the loss that does not matter.
    ``allowed``: the rules let the gate pass although this is not shown.
    """

    id: str
    status: Status
    says: str
    candidate: float = math.nan
    champion: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    margin: float = math.nan
    rows: int = 0
    segment: str = ""
    allowed: bool = False

    @property
    def holds(self) -> bool:
        """Whether this check lets the gate pass."""
        return self.status == "passed" or (self.status == "not_shown" and self.allowed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks, and what was compared."""

    checks: tuple[Check, ...]
    candidate: str
    champion: str
    data: str
    rows: int
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check holds, and the overall comparison was shown."""
        return bool(self.checks) and all(check.holds for check in self.checks) and self.measured

    @property
    def measured(self) -> bool:
        """Whether anything was measured at all."""
        return any(check.status != "not_shown" for check in self.checks)

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.passed:
            return "passed"
        return "failed" if any(check.status == "failed" for check in self.checks) else "not shown"

    def reasons(self) -> Sequence[Check]:
        """Return the checks that keep the gate shut; of a passed gate, none."""
        return [check for check in self.checks if not check.holds]

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain JSON types, ``sickbay.gate/1``."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "verdict": self.word,
            "candidate": self.candidate,
            "champion": self.champion,
            "data": self.data,
            "rows": self.rows,
            "checks": [_check(check) for check in self.checks],
            "notes": list(self.notes),
        }


def _check(check: Check) -> dict[str, Any]:
    body: dict[str, Any] = {"id": check.id, "status": check.status, "says": check.says, "rows": check.rows}
    for name in ("candidate", "champion", "difference", "low", "high", "margin"):
        value = getattr(check, name)
        body[name] = value if math.isfinite(value) else None
    return body | {"segment": check.segment or None, "allowed": check.allowed}
