"""Probe of the way to what a service depends on."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.network import Network
from sickbay.sources.trips import Trip
from sickbay.stats import latency
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SLOW = FindingKind(
    "latency.network_slow", says="The way to a dependency and back takes far longer than usual.", leak=0.02, unit="s"
)
AWAY = FindingKind("latency.dependency_away", says="A dependency cannot be reached.", leak=0.02)
TRIES = 5


def trips(network: Network) -> dict[str, Trip]:
    """Return the best of five trips to each target."""

    def best(name: str) -> Trip:
        tried = [network.trip(name) for _ in range(TRIES)]
        good = [trip for trip in tried if not trip.failed]
        return min(good, key=lambda trip: trip.seconds) if good else tried[-1]

    names = list(network.targets)
    with ThreadPoolExecutor(max(1, len(names))) as pool:
        return dict(zip(names, pool.map(best, names), strict=True))


def observe(network: Network) -> dict[str, float]:
    """Return the seconds to each target and back, for a baseline."""
    return {name: trip.seconds for name, trip in trips(network).items() if not trip.failed}


@probe(findings=[SLOW, AWAY], seconds=1.0, deadline=40, name="latency.network")
def network(network: Network) -> Iterable[Finding]:
    """Goes to each dependency and back five times, from here, and compares the shortest way with the usual one."""
    found = trips(network)
    if not found:
        raise SourceError("no data: [source.network.targets] names no target")
    rows = tuple(
        (name, *(f"{part * 1000:.1f}" if part == part else "" for part in (t.resolve, t.connect, t.tls, t.answer)),
         t.failed) for name, t in found.items()
    )  # fmt: skip
    table = Rows(("target", "resolve ms", "connect ms", "TLS ms", "answer ms", "failed"), rows, "Ways there and back")
    timed = {name: trip.seconds for name, trip in found.items() if not trip.failed}
    refused = [name for name, trip in found.items() if trip.failed == "refused"]
    unclear = [f"{name} ({trip.failed})" for name, trip in found.items() if trip.failed and name not in refused]
    if timed:
        usual = network.baseline
        ratios = {
            name: latency.against(seconds, usual.get(name), general=0.01, matters=4.5, floor=0.015)
            for name, seconds in timed.items()
        }
        worst = max(ratios, key=lambda name: ratios[name])
        told = f", usually {usual[worst] * 1000:.1f} ms" if worst in usual else ""
        yield measured(
            SLOW, ratios[worst], statistic=timed[worst], evidence=Evidence(dict(timed), [table]),
            says=f"The way to {worst} takes {timed[worst] * 1000:.1f} ms there and back{told}.",
        )  # fmt: skip
    else:
        yield unknown(SLOW, f"unreachable: no target answered: {', '.join(refused + unclear)}")
    if refused:
        yield measured(AWAY, 3.0, says=f"Connections are refused by {', '.join(refused)}.")
    elif unclear:
        yield unknown(AWAY, f"timed out: {', '.join(unclear)}")
    else:
        yield measured(AWAY, -3.0, says=f"All {len(found)} that it depends on answered.")
