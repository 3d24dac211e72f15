"""Probe of the disk itself, by a few reads past the cache, where the site allows it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.disk import Disk, Reads
from sickbay.stats import latency
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured

SLOW = FindingKind(
    "latency.disk_slow", says="A small read from its disk takes far longer than usual.", leak=0.04, unit="s"
)
LOW = FindingKind(
    "latency.disk_rate_low",
    says="Its disk gives far fewer bytes a second than usual.",
    leak=0.04,
    unit="MB/s",
    group=SLOW.group,
)
GENERAL_SECONDS, GENERAL_PER_MEGABYTE = 0.004, 0.01
"""What a small read, and a megabyte in a row, take in general of a disk in a network."""


def observe(disk: Disk) -> dict[str, float]:
    """Return the figures of disks that are well, for a baseline: seconds of a small read and of a megabyte."""
    found: dict[str, float] = {}
    for name in disk.files:
        seen = disk.reads(name)
        found |= {f"small:{name}": statistics.median(seen.small), f"megabyte:{name}": 1e6 / seen.rate}
    return found


@probe(findings=[SLOW, LOW], seconds=2.0, deadline=45, name="latency.disk")
def disk(disk: Disk) -> Iterable[Finding]:
    """Times 64 small reads and some megabytes in a row of each file that the site allows, past the cache."""
    seen: list[Reads] = []
    lost: SourceError | None = None
    for name in disk.files:
        try:
            seen.append(disk.reads(name))
        except SourceError as error:
            lost = error
    known = [one for one in seen if one.small and one.row_bytes]
    if not known:
        raise lost or SourceError("timed out: not one read ended within the bounds")
    usual = disk.baseline
    rows = tuple(
        (one.name, f"{statistics.median(one.small) * 1000:.2f}", f"{max(one.small) * 1000:.2f}", len(one.small),
         f"{one.rate / 1e6:.1f}") for one in known
    )  # fmt: skip
    numbers = {f"small:{one.name}": statistics.median(one.small) for one in known}
    numbers |= {f"rate:{one.name}": one.rate for one in known}
    missed = f" {lost}." if lost is not None else ""
    table = Rows(("file", "median ms", "longest ms", "small reads", "MB/s in a row"), rows, "Reads past the cache")
    yield _worst(SLOW, known, usual, "small", missed, Evidence(numbers, [table]))
    yield _worst(LOW, known, usual, "megabyte", missed, Evidence(numbers))


def _worst(
    kind: FindingKind, seen: list[Reads], usual: Mapping[str, float], what: str, missed: str, evidence: Evidence
) -> Finding:
    """Return the finding for the file that departs most from what is usual for it."""
    general = GENERAL_SECONDS if what == "small" else GENERAL_PER_MEGABYTE
    found = []
    for one in seen:
        now = statistics.median(one.small) if what == "small" else 1e6 / one.rate
        before = usual.get(f"{what}:{one.name}")
        ratio = latency.against(now, before, general=general, matters=4.0, floor=general / 4)
        told = ""
        if before is not None:
            told = f", usually {before * 1000:.2f} ms" if what == "small" else f", usually {1 / before:.0f}"
        says = (
            f"{one.name}: {now * 1000:.2f} ms for a read of 4 KiB{told}." if what == "small"
            else f"{one.name}: {1 / now:.1f} MB a second in a row{told}."
        )  # fmt: skip
        found.append((ratio, now if what == "small" else 1 / now, says))
    ratio, statistic, says = max(found)
    return measured(kind, ratio, statistic=statistic, says=says + missed, evidence=evidence)
