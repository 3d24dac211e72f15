"""What an investigation tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from sickbay.terms.finding import Finding


@dataclass(frozen=True, slots=True)
class ProbeStarted:
    """A probe began."""

    probe: str


@dataclass(frozen=True, slots=True)
class ProbeEnded:
    """A probe ended, after how many seconds, with its findings (unknown ones included)."""

    probe: str
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Leading:
    """The likeliest cause so far and its probability; cause is empty while "none of these" leads."""

    cause: str
    probability: float


Event = ProbeStarted | ProbeEnded | Leading
