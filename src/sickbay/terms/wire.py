"""The JSON contract ``sickbay.diagnosis/1``: a diagnosis as plain values that ``json.dumps`` takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from sickbay.terms.evidence import Evidence
from sickbay.terms.finding import Finding

if TYPE_CHECKING:
    from sickbay.terms.diagnosis import Diagnosis

SCHEMA = "sickbay.diagnosis/1"


def diagnosis_to_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the diagnosis as the contract of DESIGN.md §6 writes it; extra keys may follow, none go away."""
    return {
        "schema": SCHEMA,
        "system": diagnosis.system,
        "scenario": diagnosis.scenario,
        "started_at": utc(diagnosis.started_at),
        "seconds": round(diagnosis.seconds, 3),
        "causes": [
            {
                "id": cause.id,
                "probability": round(cause.probability, 6),
                "says": cause.says,
                "ledger": [{"finding": e.finding, "log_odds": round(e.log_odds, 4)} for e in cause.ledger],
                "remedies": list(cause.remedies),
                "prevention": cause.prevention,
            }
            for cause in diagnosis.causes
        ],
        "none_of_these": round(diagnosis.none_of_these, 6),
        "coverage": round(diagnosis.coverage, 4),
        "stopped": diagnosis.stopped,
        "findings": [finding_to_dict(finding) for finding in diagnosis.findings],
        "unexplained": list(diagnosis.unexplained),
        "missing": [
            {
                "finding": m.finding,
                "probe": m.probe,
                "information": round(m.information, 4),
                "reason": m.reason or None,
            }
            for m in diagnosis.missing
        ],
        "answers": [{"asks": a.asks, "says": list(a.says), "findings": list(a.findings)} for a in diagnosis.answers],
        "changes": [
            {"kind": c.kind, "at": utc(c.at), "subject": c.subject, "detail": c.detail} for c in diagnosis.changes
        ],
        "pairs": [{"causes": [a, b], "probability": round(p, 6)} for a, b, p in diagnosis.pairs],
        "settings": plain(diagnosis.settings),
    }


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    """Return one finding as the contract writes it; numbers that are not finite become null."""
    return {
        "id": finding.id,
        "status": finding.status,
        "reason": finding.reason,
        "log_ratio": round(finding.log_ratio, 4),
        "statistic": plain(finding.statistic),
        "unit": finding.unit,
        "says": finding.says,
        "evidence": evidence_to_dict(finding.evidence),
        "probe": finding.probe,
        "seconds": round(finding.seconds, 4),
    }


def evidence_to_dict(evidence: Evidence) -> dict[str, Any]:
    """Return the flat numbers, with the exhibits under ``exhibits``, each naming its shape under ``kind``."""
    result = dict(plain(evidence.numbers))
    if evidence.exhibits:
        result["exhibits"] = [{"kind": type(e).__name__.lower(), **plain(e)} for e in evidence.exhibits]
    return result


def utc(moment: datetime) -> str:
    """Return an ISO 8601 instant in UTC with a ``Z``; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    text = aware.astimezone(UTC).isoformat(timespec="milliseconds" if aware.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: NaN and infinities become null, times become ISO strings."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return plain(value.tolist())
    return str(value)
