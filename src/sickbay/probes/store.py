"""Probes of an S3-compatible object store with the credentials that its users have."""

from __future__ import annotations

from collections.abc import Iterable

from sickbay.probes.tracking import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.s3 import S3, Tried
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

AWAY = FindingKind("store.unreachable", says="The object store does not answer.", leak=0.02)
DENIED = FindingKind("store.denied", says="The object store refuses these credentials or this right.", leak=0.01)
MISSING = FindingKind("store.bucket_missing", says="The bucket is not there.", leak=0.01)
READ = (AWAY, DENIED, MISSING)


@probe(findings=READ, seconds=0.6, deadline=20)
def reach(s3: S3) -> Iterable[Finding]:
    """Lists the bucket and reads the first bytes of one object: listing and reading are rights of their own."""
    listed = s3.listing()
    tried = [listed]
    if listed.state in ("ok", "empty"):
        tried.append(s3.get())
    worst = next((one for one in tried if one.state not in ("ok", "empty")), None)
    evidence = Evidence({}, [_shown(tried)])
    says = "; ".join(one.says for one in tried) + (f": {worst.detail[:160]}" if worst and worst.detail else "") + "."
    states = {one.state for one in tried}
    if states & {"certificate", "garbled"}:
        word = "forbidden: its certificate is not accepted" if "certificate" in states else "garbled"
        for kind in READ:
            yield unknown(kind, f"{word}: {says}")
        return
    if states & {"unreachable", "timed out"}:
        yield measured(AWAY, SURE, says=says, evidence=evidence)
        for kind in READ[1:]:
            yield unknown(kind, f"unreachable: {says}")
        return
    if "failed" in states or "full" in states:
        yield measured(AWAY, LIKELY, says=says, evidence=evidence)
    else:
        yield measured(AWAY, -SURE, says=says, evidence=evidence)
    yield measured(DENIED, SURE if states & {"denied", "login"} else -CLEAR, says=says, evidence=evidence)
    yield measured(MISSING, SURE if "missing" in states else -CLEAR, says=says)


WRITE_DENIED = FindingKind("store.write_denied", says="The object store may be read but not written.", leak=0.01)
FULL = FindingKind("store.full", says="The object store takes no more data.", leak=0.01)


@probe(findings=[WRITE_DENIED, FULL], seconds=0.6, deadline=20)
def write(s3: S3) -> Iterable[Finding]:
    """Writes and deletes one object of 64 KB where the site allows it: only writing tells a full store."""
    tried = s3.canary()
    if tried is None:
        for kind in (WRITE_DENIED, FULL):
            yield unknown(kind, "forbidden: the site does not allow it; [source.s3] write_canary = true does")
        return
    says = f"{tried.says}{': ' + tried.detail[:160] if tried.detail else ''}."
    if tried.state not in ("ok", "denied", "login", "full"):
        for kind in (WRITE_DENIED, FULL):
            yield unknown(kind, f"unreachable: {says}")
        return
    yield measured(WRITE_DENIED, SURE if tried.state in ("denied", "login") else -CLEAR, says=says)
    yield measured(FULL, SURE if tried.state == "full" else -CLEAR, says=says)


def _shown(tried: list[Tried]) -> Rows:
    return Rows(("tried", "outcome", "code", "detail"), tuple((t.what, t.state, t.code, t.detail) for t in tried))
