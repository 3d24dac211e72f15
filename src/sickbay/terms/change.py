"""Changes: dated events (a release, a new configuration) that make some causes likelier before any evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

CHANGE_KINDS = ("deploy", "config", "model-version", "dag-code", "schema", "traffic-split", "data-source")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that changed on the system, when (UTC), and what it was; read by a probe like a finding."""

    kind: str
    at: datetime
    subject: str
    detail: str = ""
    probe: str = ""
