"""Probe of the serving process as the kernel sees it: held back, waiting for disk, faulting, growing, restarting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from sickbay.registry import probe
from sickbay.sources.process import Process, Watch
from sickbay.stats import latency
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

SECONDS = 4.5
MEGABYTE = 1e6

THROTTLED = FindingKind(
    "latency.throttled", says="The quota of its control group holds the process back.", leak=0.02, unit="s/s"
)
CPU = FindingKind("latency.cpu_busy", says="The process uses far more processor time than usual.", leak=0.08)
FAULTS = FindingKind(
    "latency.major_faults", says="The process reads its own pages back from the disk.", leak=0.03, unit="1/s"
)
DISK = FindingKind("latency.disk_waits", says="Threads of the process wait for the disk.", leak=0.04)
READS = FindingKind(
    "latency.reads_much", says="The process reads far more from files than usual.", leak=0.03, unit="MB/s"
)
GROWS = FindingKind("latency.memory_grows", says="Its memory grows while it serves.", leak=0.04, unit="MB/s")
LARGER = FindingKind("latency.memory_larger", says="It holds far more memory than usual.", leak=0.08, unit="MB")
TIGHT = FindingKind("latency.memory_tight", says="The memory of its control group is used up.", leak=0.1)
RESTARTS = FindingKind("latency.worker_restarts", says="The serving process is started again and again.", leak=0.02)
CONTENDED = FindingKind(
    "latency.waits_for_processor",
    says="Its threads are ready to run and wait for a processor.",
    leak=0.2,
)
ALL = (THROTTLED, CPU, FAULTS, DISK, READS, GROWS, LARGER, TIGHT, RESTARTS, CONTENDED)


def rates(seen: Watch) -> dict[str, float]:
    """Return the figures of a watch per second of it: seconds, faults, bytes; what is not known is left out."""
    first, last = seen.first, seen.last
    span = max(1e-3, last.at - first.at)
    found = {
        name: (getattr(last, name) - getattr(first, name)) / span
        for name in ("cpu", "run_delay", "majors", "read", "fetched", "throttled", "stalled")
    }
    found["contended"] = max(0.0, found["run_delay"] - found["throttled"])
    found |= {"disk_wait": seen.disk_wait, "rss": last.rss, "growth": _growth(seen)}
    found |= {"blocked": seen.blocked, "faulting": seen.faulting, "unread": seen.unread}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def watched(process: Process) -> Watch:
    """Return what a while of looking saw; probes of one investigation share it."""
    return process.once.get("watch", lambda: process.watch(SECONDS))


def observe(process: Process) -> dict[str, float]:
    """Return the figures of a process that is well, for a baseline."""
    return rates(process.watch(SECONDS))


@probe(findings=ALL, seconds=SECONDS, deadline=30, name="latency.process")
def account(process: Process) -> Iterable[Finding]:
    """Reads the kernel's counters of the process ten times a second for some seconds, against the usual ones."""
    seen = watched(process)
    now, usual = rates(seen), process.baseline
    table = tuple((name, f"{now[name]:.4g}", f"{usual[name]:.4g}" if name in usual else "") for name in sorted(now))
    evidence = Evidence(now, [Rows(("figure", "now", "usual"), table, "The process, per second")])
    if "throttled" in now:
        held = now["throttled"] - usual.get("throttled", 0.0)
        yield measured(
            THROTTLED, latency.share(held, 0.06, steep=60.0), statistic=held, evidence=evidence,
            says=f"Its quota of processor time held it back {now['throttled']:.2f} s of each second.",
        )  # fmt: skip
    else:
        yield unknown(THROTTLED, "no data: this host does not say what quotas hold back (Linux control groups do)")
    yield _compared(
        CPU, now, usual, "cpu", general=0.3, matters=2.5, floor=0.1, unit="s of processor time", does="uses"
    )
    yield _compared(FAULTS, now, usual, "majors", general=5, matters=4, floor=5, unit="major faults", does="has")
    yield measured(
        DISK, latency.share(seen.disk_wait - usual.get("disk_wait", 0.0), 0.2), statistic=seen.disk_wait,
        says=f"In {seen.disk_wait:.0%} of {seen.samples} samples a thread waited for the disk.",
    )  # fmt: skip
    yield _compared(
        READS, now, usual, "fetched", general=5e6, matters=8, floor=3e6, unit="MB of files", does="reads", scale=1e6
    )
    yield from _memory(seen, now, usual)
    yield _restarts(seen)
    if "contended" in now:
        yield measured(
            CONTENDED, latency.share(now["contended"] - usual.get("contended", 0.0), 0.5, steep=4.0),
            statistic=now["contended"],
            says=f"Its threads together waited {now['contended']:.2f} s of each second for a processor.",
        )  # fmt: skip
    else:
        yield unknown(CONTENDED, "no data: this host does not say how long threads wait for a processor")


def _compared(
    kind: FindingKind,
    now: Mapping[str, float],
    usual: Mapping[str, float],
    name: str,
    *,
    general: float,
    matters: float,
    floor: float,
    unit: str,
    does: str,
    scale: float = 1.0,
) -> Finding:
    before = usual.get(name)
    if name not in now:
        return unknown(kind, f"forbidden: the {unit} of this process may not be read by this user, or not on this host")
    told = "" if before is None else f", usually {before / scale:.3g}"
    ratio = latency.against(now[name], before, general=general, matters=matters, floor=floor)
    return measured(
        kind, ratio, statistic=now[name] / scale, says=f"It {does} {now[name] / scale:.3g} {unit} a second{told}."
    )


def _growth(seen: Watch) -> float:
    """Return the slower of the slopes of its memory between the thirds of the while, by their medians; bytes a second.

    What goes up and down again, as models that are loaded in turn, has no slope in one of them.
    """
    if len(seen.memory) < 12 or seen.starts:
        return float("nan")
    thirds = np.array_split(np.array(seen.memory), 3)
    at, rss = np.array([np.median(third, axis=0) for third in thirds]).T
    return float(np.min(np.diff(rss) / np.diff(at)))


def _memory(seen: Watch, now: dict[str, float], before: Mapping[str, float]) -> Iterable[Finding]:
    last = seen.last
    if "growth" in now:
        per_second = now["growth"] / MEGABYTE
        share = now["growth"] / max(last.rss, 1.0)
        ratio = min(latency.share(per_second, 0.7, steep=5.0), latency.share(share, 0.004, steep=900.0))
        yield measured(
            GROWS, ratio, statistic=per_second,
            says=f"Its memory grew by {per_second:.2f} MB a second to {last.rss / MEGABYTE:.0f} MB.",
        )  # fmt: skip
    else:
        yield unknown(GROWS, "no data: it was started again while it was looked at")
    if "rss" in before:
        ratio = latency.against(last.rss, before["rss"], general=1e9, matters=1.7, floor=2e7)
        yield measured(
            LARGER, ratio, statistic=last.rss / MEGABYTE,
            says=f"It holds {last.rss / MEGABYTE:.0f} MB of memory, usually {before['rss'] / MEGABYTE:.0f} MB.",
        )  # fmt: skip
    else:
        yield unknown(LARGER, "no data: there is no baseline to compare its memory with")
    if last.limit != last.limit:
        yield unknown(TIGHT, "no data: this host tells of no group of memory")
    elif math.isinf(last.limit):
        yield measured(TIGHT, -3.0, says="No limit is set on its memory.")
    else:
        used = last.used / last.limit
        yield measured(
            TIGHT, latency.share(used, 0.93, steep=40.0), statistic=used,
            says=f"{last.used / MEGABYTE:.0f} of the {last.limit / MEGABYTE:.0f} MB of its memory limit are used.",
        )  # fmt: skip


def _restarts(seen: Watch) -> Finding:
    says = f"It began {seen.starts} times anew in {seen.seconds:.0f} s and was away in {seen.gone:.0%} of the samples."
    return measured(RESTARTS, 3.0 if seen.starts or seen.gone > 0.1 else -2.5, statistic=float(seen.starts), says=says)
