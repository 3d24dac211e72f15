"""Probes of the way to other systems: names, ports, certificates, and endpoints as their callers see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.http import Endpoints
from sickbay.sources.network import Network, State, Way
from sickbay.sources.replies import CONNECTING, Reply
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

NAMES = FindingKind(
    "network.name_unresolved", says="A name that is needed does not resolve.", leak=0.01, group="network.names"
)
REFUSED = FindingKind("network.port_refused", says="A port that is needed refuses connections.", leak=0.02)
NO_WAY = FindingKind(
    "network.no_way", says="A host that is needed cannot be reached: no route, or no answer.", leak=0.02
)
BAD_CERTIFICATE = FindingKind(
    "network.certificate_bad", says="A server's certificate is not accepted, or it speaks no TLS.", leak=0.01
)
EXPIRES = FindingKind(
    "network.certificate_expires", says="A server's certificate runs out within two weeks.", leak=0.02, unit="days left"
)
REACH = (NAMES, REFUSED, NO_WAY, BAD_CERTIFICATE, EXPIRES)
STAGES: dict[FindingKind, tuple[State, ...]] = {
    NAMES: ("unresolved", "resolver"), REFUSED: ("refused",), NO_WAY: ("timed out", "no route", "closed"),
    BAD_CERTIFICATE: ("certificate",),
}  # fmt: skip
LIMIT_DAYS = 14.0


@probe(findings=REACH, seconds=0.5, deadline=20)
def reach(network: Network) -> Iterable[Finding]:
    """Resolves, connects and greets in TLS with every target of the site, all at once, from this host."""
    ways = network.ways()
    if not ways:
        raise SourceError("no data: [source.network] names no targets")
    rows = tuple(
        (w.target.name, f"{w.target.host}:{w.target.port}", w.state, w.detail or ", ".join(w.addresses[:2]))
        for w in ways
    )
    evidence = Evidence(
        {"targets": len(ways)}, [Rows(("target", "address", "outcome", "detail"), rows, "Ways tried from this host")]
    )
    for kind, states in STAGES.items():
        yield _stage(kind, states, ways, evidence)
    yield _expiry(network, ways)


def _stage(kind: FindingKind, states: Sequence[State], ways: Sequence[Way], evidence: Evidence) -> Finding:
    """Return whether a way ended at this stage; a way that ended earlier says nothing about it."""
    hit = [way for way in ways if way.state in states]
    if hit:
        told = "; ".join(way.says for way in hit[:3])
        return measured(kind, 4.2, statistic=float(len(hit)), says=f"{told}.", evidence=evidence)
    if kind is BAD_CERTIFICATE and not any(way.target.encrypted and way.state == "ok" for way in ways):
        return unknown(kind, "no data: no target showed a certificate")
    later = [way for way in ways if way.state == "ok" or (kind is NAMES and way.state not in states)]
    if not later:
        return unknown(kind, f"no data: no way came that far; {ways[0].says}")
    return measured(
        kind, -3.0, statistic=0.0, says=f"{len(later)} of {len(ways)} targets are well in this.", evidence=evidence
    )


def _expiry(network: Network, ways: Sequence[Way]) -> Finding:
    left = [((way.expires - network.now).total_seconds() / 86400, way) for way in ways if way.expires is not None]
    if not left:
        return unknown(EXPIRES, "no data: no target showed a certificate that is accepted")
    days, way = min(left, key=lambda item: item[0])
    ratio = 3.0 if days < 7 else 1.8 if days < LIMIT_DAYS else -3.0
    says = f"The certificate of {way.target.host} runs out in {days:.1f} days."
    return measured(EXPIRES, ratio, statistic=days, says=says, evidence=Evidence({"limit": LIMIT_DAYS}))


DOWN = FindingKind(
    "endpoint.down", says="An external endpoint refuses, hangs, or answers with an error of its own.", leak=0.02
)
DENIED = FindingKind("endpoint.denied", says="An external endpoint refuses the login it is asked with.", leak=0.02)
CUT_OFF = FindingKind(
    "endpoint.no_connection", says="Nobody answers attempts to connect to an external endpoint.", leak=0.01
)
UNRESOLVED = FindingKind(
    "endpoint.unresolved", says="An external endpoint's name does not resolve.", leak=0.01, group="network.names"
)
SLOW = FindingKind("endpoint.slow", says="An external endpoint takes seconds to answer.", leak=0.05, unit="s")
ANSWERS = (DOWN, DENIED, CUT_OFF, UNRESOLVED, SLOW)
SLOW_SECONDS = 2.0


@probe(findings=ANSWERS, seconds=0.5, deadline=20)
def endpoints(http: Endpoints) -> Iterable[Finding]:
    """Asks every external endpoint of the site once, all at the same time, as the pipeline does."""
    replies = http.ask()
    if not replies:
        raise SourceError("no data: [source.http] names no endpoints")
    rows = tuple((name, reply.says) for name, reply in replies.items())
    evidence = Evidence({"endpoints": len(replies)}, [Rows(("endpoint", "answer"), rows, "External endpoints")])
    tests: dict[FindingKind, Callable[[Reply], bool]] = {
        DOWN: _failing,
        CUT_OFF: lambda r: (r.state == "timed out" and r.detail == CONNECTING) or r.state == "unreachable",
        DENIED: lambda r: r.status in (401, 403, 407),
        UNRESOLVED: lambda r: r.state == "unresolved",
    }
    for kind, test in tests.items():
        hit = [reply for reply in replies.values() if test(reply)]
        fine = [reply for reply in replies.values() if _came(kind, reply)]
        if hit:
            says = "; ".join(reply.says for reply in hit[:3])
            yield measured(kind, 4.2, statistic=float(len(hit)), says=f"{says}.", evidence=evidence)
        elif fine:
            says = f"{len(fine)} of {len(replies)} endpoints are well in this."
            yield measured(kind, -3.0, statistic=0.0, says=says, evidence=evidence)
        else:
            yield unknown(kind, f"no data: {next(iter(replies.values())).says}", evidence=evidence)
    yield _slowest(replies)


def _failing(reply: Reply) -> bool:
    """Return whether somebody is there and fails: refuses, hangs up, takes the question and is silent, or errs."""
    silent = reply.state == "timed out" and reply.detail != CONNECTING
    return reply.state in ("refused", "closed") or silent or reply.status >= 500 or reply.status == 429


def _came(kind: FindingKind, reply: Reply) -> bool:
    """Return whether an answer came far enough to clear this: a web page clears nothing but the name."""
    if kind is UNRESOLVED:
        return reply.state != "unresolved"
    if kind is CUT_OFF:
        return reply.state in ("answered", "refused", "closed", "certificate") or _failing(reply)
    if kind is DENIED:
        return reply.ok and not reply.is_page
    return reply.state == "answered" and reply.status < 500 and not (reply.is_page or 300 <= reply.status < 400)


def _slowest(replies: dict[str, Reply]) -> Finding:
    answered = {name: reply for name, reply in replies.items() if reply.state == "answered"}
    if not answered:
        return unknown(SLOW, "no data: no endpoint answered")
    name, slowest = max(answered.items(), key=lambda item: item[1].seconds)
    ratio = -2.0 if slowest.seconds < SLOW_SECONDS / 2 else 0.0 if slowest.seconds < SLOW_SECONDS else 1.8
    says = f"{name} answered in {slowest.seconds:.2f} s, the slowest of {len(answered)}."
    return measured(SLOW, ratio, statistic=slowest.seconds, says=says, evidence=Evidence({"limit": SLOW_SECONDS}))
