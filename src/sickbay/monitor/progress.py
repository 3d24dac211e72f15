"""What one turn of the watch did for one monitor."""

from __future__ import annotations

from dataclasses import dataclass, field

from sickbay.monitor.looking import Look
from sickbay.monitor.store import Event, Reading
from sickbay.stats import estimation
from sickbay.stats.estimation import Performance


@dataclass(slots=True)
class Progress:
    """What one turn did for one monitor. ``error`` says why it could not read, and what it will do about it."""

    monitor: str
    panes: int = 0
    readings: tuple[Reading, ...] = ()
    """What the probes of a monitor of probes read; empty when they were not due."""
    days_left: dict[str, float] = field(default_factory=dict)
    """Days until a finding's statistic reaches its limit at the present pace; infinite while it does not."""
    events: list[Event] = field(default_factory=list)
    error: str = ""
    caught_up: bool = False
    last_end: int | None = None
    look: Look | None = None
    behind_seconds: float = 0.0
    performance: Performance | None = None
    estimated: estimation.Estimated | None = None
    doubt: str = ""
    """Why the estimated loss is not to be trusted; empty while nothing speaks against it."""
