"""Probes of an S3-compatible object store with the credentials that its users have."""

from __future__ import annotations

from collections.abc import Iterable

from sickbay.probes.tracking import CLEAR, LIKELY, SURE
from sickbay.registry import probe
from sickbay.sources.s3 import EXPIRED, S3, Tried
from sickbay.sources.s3_keys import KeyEnd
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


ENDS = FindingKind("store.key_expires", says="The object store's key runs out soon.", leak=0.02, unit="days left")
ENDED = FindingKind("store.key_expired", says="The object store's key has run out.", leak=0.005)


@probe(findings=[ENDS, ENDED], seconds=0.3, deadline=20)
def key(s3: S3) -> Iterable[Finding]:
    """Reads when the key of the store ends, as far as the site file, the key's keeper or its token says so."""
    end, listed = s3.key_end(), s3.listing()
    taken = listed.state in ("ok", "empty", "missing")
    if end.ends is None:
        yield from _end_unsaid(end, listed, taken)
        return
    days = (end.ends - s3.now).total_seconds() / 86400
    limit = s3.warning.total_seconds() / 86400
    stands = f"{end.ends:%Y-%m-%d %H:%M} UTC, by {end.by}"
    evidence = Evidence({"limit": limit})
    if days <= 0 and taken:
        yield measured(ENDED, -CLEAR, says=f"The store takes the key, though it should have ended {stands}.")
        yield unknown(ENDS, f"garbled: the key should have ended {stands}, and the store takes it")
    elif days <= 0 or listed.code == EXPIRED:
        refused = f"{listed.says}; " if not taken else ""
        says = f"{refused}the key's end is {stands}."
        yield measured(ENDED, SURE if listed.state in ("login", "denied") else CLEAR, says=says)
        yield measured(ENDS, CLEAR, statistic=min(days, 0.0), says=says, evidence=evidence)
    else:
        says = f"The key ends in {_left(days)}: {stands}."
        ratio = CLEAR if days < limit / 2 else LIKELY if days < limit else -CLEAR
        yield measured(ENDED, -CLEAR, says=says)
        yield measured(ENDS, ratio, statistic=days, says=says, evidence=evidence)


def _end_unsaid(end: KeyEnd, listed: Tried, taken: bool) -> Iterable[Finding]:
    """Report what is known of a key whose end nothing says: that the store takes it, or says that it is over."""
    if listed.code == EXPIRED:
        yield measured(ENDED, SURE, says=f"{listed.says}.")
        yield measured(ENDS, CLEAR, statistic=0.0, says=f"{listed.says}.")
    elif end.renewed:
        says = f"The key comes from {end.renewed} and is got anew before it ends."
        yield measured(ENDED, -CLEAR, says=says) if taken else unknown(ENDED, f"no data: {listed.says}")
        yield measured(ENDS, -CLEAR, says=says)
    else:
        yield measured(ENDED, -CLEAR, says="The store takes the key.") if taken else unknown(ENDED, end.reason)
        yield unknown(ENDS, end.reason)


def _left(days: float) -> str:
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} hours"


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
