"""Probes of the host that sickbay runs on: room on the disks that the site names."""

from __future__ import annotations

from collections.abc import Iterable

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.host import Host
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

FULL = FindingKind("host.disk_full", says="A disk that the site names has no room left.", leak=0.01, group="host.room")
NEAR = FindingKind(
    "host.disk_nearly_full", says="A disk that the site names has less than a tenth left.", leak=0.05, group="host.room"
)
FULL_SHARE, NEAR_SHARE = 0.005, 0.1


@probe(findings=[FULL, NEAR], seconds=0.1, deadline=20)
def disks(host: Host) -> Iterable[Finding]:
    """Reads the room and the file entries left on the file systems of ``[source.host] paths``."""
    rooms = host.room()
    if not rooms:
        raise SourceError('no data: [source.host] names no paths; paths = { artifacts = "/mlruns" } does')
    left = {
        room.path: min(room.free / room.total, room.inodes if room.inodes == room.inodes else 1.0) for room in rooms
    }
    worst = min(left, key=lambda path: left[path])
    table = Rows(
        ("path", "free", "of"),
        tuple((str(room.path), f"{room.free / 1e9:.2f} GB", f"{room.total / 1e9:.2f} GB") for room in rooms), "Room",
    )  # fmt: skip
    evidence = Evidence({"least_share": left[worst], "limit": 0.0}, [table])
    says = f"{worst} has {left[worst]:.1%} left, the least of {len(rooms)} paths."
    full = 4.2 if left[worst] < FULL_SHARE else 1.0 if left[worst] < 4 * FULL_SHARE else -3.0
    yield measured(FULL, full, statistic=left[worst], says=says, evidence=evidence)
    near = 3.0 if left[worst] < NEAR_SHARE else -3.0
    yield measured(NEAR, near, statistic=left[worst], says=says, evidence=evidence)


READ_ONLY = FindingKind("host.volume_read_only", says="A volume that the site names cannot be written.", leak=0.01)
GONE = FindingKind("host.volume_missing", says="A volume that the site names is not there, or broken.", leak=0.01)


@probe(findings=[READ_ONLY, GONE], seconds=0.1, deadline=20)
def volumes(host: Host) -> Iterable[Finding]:
    """Looks at each of ``[source.host] paths`` as a place to write, by mount and mode; nothing is written."""
    found = host.volumes()
    if not found:
        raise SourceError('no data: [source.host] names no paths; paths = { data = "/data" } does')
    table = Rows(("volume", "path", "state", "detail"), tuple((v.name, str(v.path), v.state, v.detail) for v in found))
    for kind, states in ((READ_ONLY, ("read-only",)), (GONE, ("missing", "broken"))):
        hit = [v for v in found if v.state in states]
        clear = [v for v in found if v.state == "ok"]
        if hit:
            says = f"{hit[0].path}: {hit[0].state}, {hit[0].detail}."
            yield measured(kind, 4.2, statistic=float(len(hit)), says=says, evidence=Evidence({}, [table]))
        elif clear:
            yield measured(kind, -3.0, statistic=0.0, says=f"{len(clear)} of {len(found)} volumes are well in this.")
        else:
            yield unknown(kind, f"no data: {found[0].path} is {found[0].state}: {found[0].detail}")
