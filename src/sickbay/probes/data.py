"""Probes of data sets as files: whether the newest is fresh, of the usual size, and of the same columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from sickbay.errors import SourceError
from sickbay.registry import probe
from sickbay.sources.files import Files, Partition
from sickbay.terms.change import Change
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

LATE = FindingKind("data.late", says="A data set's newest file is older than it may be.", leak=0.03, unit="h late")
SCHEMA = FindingKind(
    "data.schema_changed", says="The newest partition has other columns than the one before it.", leak=0.02
)
SHRUNK = FindingKind(
    "data.shrunk", says="The newest partition holds far less than those before it.", leak=0.04, unit="of the usual"
)
DATA = (LATE, SCHEMA, SHRUNK)


@probe(findings=DATA, seconds=0.5, deadline=20)
def freshness(files: Files) -> Iterable[Finding | Change]:
    """Lists each data set of the site by partition: the age of the newest file, its size, rows and columns."""
    if not files.data:
        raise SourceError("no data: [source.files] names no data")
    found: dict[str, list[Partition]] = {}
    problems: dict[str, SourceError] = {}
    for name, data in files.data.items():
        try:
            found[name] = files.partitions(data)
        except SourceError as error:
            problems[name] = error
    if not found:
        raise next(iter(problems.values()))
    yield _late(files, found, problems)
    yield from _schema(files, found)
    yield _shrunk(files, found)


def _late(files: Files, found: dict[str, list[Partition]], problems: dict[str, SourceError]) -> Finding:
    rows, worst = [], None
    for name, parts in found.items():
        within = files.data[name].fresh_within
        age = (files.now - parts[0].modified).total_seconds() / 3600 if parts else None
        limit = within.total_seconds() / 3600 if within else None
        rows.append((name, parts[0].name if parts else "nothing", age, limit))
        if limit is not None:
            late = (age - limit) if age is not None else float("inf")
            worst = max(worst or (late, name, age, limit), (late, name, age, limit), key=lambda item: item[0])
    rows += [(name, str(error)[:80], None, None) for name, error in problems.items()]
    table = Rows(("data set", "newest", "age h", "allowed h"), tuple(rows), "Freshness")
    if worst is None:
        return unknown(LATE, "no data: no data set says fresh_within", evidence=Evidence({}, [table]))
    late, name, age, limit = worst
    if age is None:
        says = f"{name}: there is no file at all in {files.data[name].path}."
        return measured(LATE, 3.0, says=says, evidence=Evidence({"limit": 0.0}, [table]))
    ratio = -3.0 if late < -0.2 * limit else 0.0 if late < 0 else 3.0 if late > 0.1 * limit else 1.8
    newest = found[name][0]
    says = f"{name}: the newest file, {newest.name}, is {age:.1f} h old; {limit:.1f} h are allowed."
    return measured(
        LATE, ratio, statistic=late, says=says, evidence=Evidence({"limit": 0.0, "age_hours": age}, [table])
    )


def _schema(files: Files, found: dict[str, list[Partition]]) -> Iterable[Finding | Change]:
    compared, changed = 0, []
    for name, parts in found.items():
        if len(parts) < 2:
            continue
        now, before = files.columns(parts[0]), files.columns(parts[1])
        if now is None or before is None:
            continue
        compared += 1
        gone, come = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
        other = sorted(c for c in now.keys() & before.keys() if now[c] != before[c] and not _alike(now[c], before[c]))
        if gone or come or other:
            changed.append((name, parts[0], gone, come, other))
    if not compared:
        yield unknown(SCHEMA, "no data: no data set has two partitions whose columns can be read")
        return
    if not changed:
        yield measured(
            SCHEMA,
            -2.0,
            statistic=0.0,
            says=f"The newest partitions of {compared} data sets have the columns of those before.",
        )
        return
    name, part, gone, come, other = changed[0]
    told = "; ".join(
        f"{word} {', '.join(names[:5])}"
        for word, names in (("gone", gone), ("new", come), ("of another type", other))
        if names
    )
    yield Change("schema", part.modified, f"{name} {part.name}", told)
    ratio = 4.2 if gone else 1.8 if come else 1.0
    yield measured(
        SCHEMA, ratio, statistic=float(len(gone) + len(come) + len(other)), says=f"{name}, {part.name}: {told}."
    )


def _alike(one: str, other: str) -> bool:
    """Return whether two types may both be guessed from the same text column."""
    numbers = {"BIGINT", "INTEGER", "DOUBLE", "HUGEINT", "FLOAT", "DECIMAL"}
    return {one.partition("(")[0], other.partition("(")[0]} <= numbers


def _shrunk(files: Files, found: dict[str, list[Partition]]) -> Finding:
    shares: list[tuple[float, str, Partition]] = []
    for name, parts in found.items():
        if len(parts) >= 4:
            shares.append((_share(files, parts), name, parts[0]))
    if not shares:
        return unknown(SHRUNK, "no data: no data set has four partitions to compare")
    share, name, part = min(shares, key=lambda item: item[0])
    ratio = -2.0 if share > 0.7 else 0.0 if share > 0.5 else 1.8 if share > 0.2 else 3.0
    rows = tuple((p.name, p.modified, p.size) for p in found[name][:8])
    evidence = Evidence({"limit": 0.5}, [Rows(("partition", "written", "bytes"), rows, f"Newest of {name}")])
    return measured(
        SHRUNK, ratio, statistic=share, says=f"{name}, {part.name} holds {share:.0%} of the usual.", evidence=evidence
    )


def _share(files: Files, parts: Sequence[Partition]) -> float:
    """Return how large the newest partition is against the median of up to ten before it: in rows, else in bytes."""
    before = parts[1:11]
    usual = median(part.size for part in before)
    share = parts[0].size / usual if usual else 1.0
    if share > 0.9:
        return share
    rows = files.rows(parts[0])
    counted = [n for part in before[:3] if (n := files.rows(part)) is not None]
    return rows / median(counted) if rows is not None and counted and median(counted) else share
