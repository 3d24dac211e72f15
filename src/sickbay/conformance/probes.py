"""What every probe must keep: its cases, its declarations, and never an error that reads as normal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sickbay.conformance.cases import Case, write_tables
from sickbay.errors import SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.investigation import run_probe, runner
from sickbay.terms.finding import Finding
from sickbay.terms.probe import Probe

CLEAR = 0.7
"""Log ratio from which a finding counts as on in a case."""
BROKEN_SOURCES: dict[str, Callable[[], Exception]] = {
    "slow": lambda: SourceTimeout("no answer within 5 s"),
    "forbidden": lambda: SourceForbidden("password=hunter2-planted was refused"),
    "garbled": lambda: SourceGarbled("half an answer"),
    "crashing": lambda: RuntimeError("token=hunter2-planted"),
}


class Unusable:
    """A source whose every attribute fails, in the way given."""

    def __init__(self, fail: Callable[[], Exception]) -> None:
        object.__setattr__(self, "_fail", fail)

    def __getattribute__(self, name: str) -> Any:
        raise object.__getattribute__(self, "_fail")()


class _Given:
    """Connections that hand out one prepared source for every parameter."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def arguments(self, probe: Probe) -> dict[str, Any]:
        return dict.fromkeys(probe.sources, self.source)


def check_case(case: Case, directory: Path) -> None:
    """Run a probe on its case: each finding is as the case says, the table is untouched, a second run says the same."""
    site = write_tables(case, directory)
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    first, second = (_findings(run_probe(site, case.probe)) for _ in range(2))
    assert {f.name: f.read_bytes() for f in directory.iterdir()} == before, f"{case}: the probe changed its input"
    for name in case.on:
        finding = first[name]
        assert finding.on, f"{case}: {name} is not on: {_seen(finding)}"
        assert finding.log_ratio > CLEAR, f"{case}: {name} is hardly on: {_seen(finding)}"
    for name in case.off:
        finding = first[name]
        assert finding.status == "measured", f"{case}: {name} is not off: {_seen(finding)}"
        assert finding.log_ratio < 0, f"{case}: {name} is not off: {_seen(finding)}"
    for name in case.unknown:
        finding = first[name]
        assert finding.status == "unknown", f"{case}: {name} is not unknown: {_seen(finding)}"
        assert finding.reason, f"{case}: {name} is unknown without a reason"
        assert "crashed" not in (finding.reason or ""), f"{case}: {name} crashed: {_seen(finding)}"
    same = {n: (f.status, round(f.log_ratio, 9)) for n, f in first.items()}
    assert same == {n: (f.status, round(f.log_ratio, 9)) for n, f in second.items()}, f"{case}: two runs differ"


def check_declared(probe: Probe) -> None:
    """A probe says what it measures in a sentence, and its findings say what is so."""
    assert probe.says, f"{probe.name} has no docstring"
    assert probe.findings, f"{probe.name} declares no finding"
    for kind in probe.findings:
        assert kind.says.endswith("."), f"{probe.name}: {kind.id} does not say what is so, in a sentence"
        assert 0 < kind.leak < 0.6, f"{probe.name}: {kind.id} has a leak of {kind.leak}"


def check_broken_sources(probe: Probe) -> None:
    """An unusable source gives an unknown for each declared finding, with its reason and without its secret."""
    for how, fail in BROKEN_SOURCES.items():
        run = runner.start(probe, _Given(Unusable(fail)), {}, lambda _: None)  # type: ignore[arg-type]
        assert run.ended.wait(probe.deadline), f"{probe.name} hangs on a {how} source"
        for kind in probe.findings:
            finding = run.findings[kind.id]
            assert finding.status == "unknown", f"{probe.name}: {kind.id} reads as {finding.status} on a {how} source"
            assert finding.reason, f"{probe.name}: {kind.id} is unknown without a reason"
        assert "hunter2-planted" not in repr(run.findings), f"{probe.name} lets a secret out of a {how} source"


def check_census(probes: Iterable[Probe], cases: Sequence[Case]) -> None:
    """Every registered finding has an on, an off and an unknown case, and every case is of a registered probe."""
    known = {probe.name: {kind.id for kind in probe.findings} for probe in probes}
    lacking = []
    for name, findings in known.items():
        mine = [case for case in cases if case.probe == name]
        for finding in sorted(findings):
            for kind in ("on", "off", "unknown"):
                if not any(finding in getattr(case, kind) for case in mine):
                    lacking.append(f"{name}: {finding} has no case where it is {kind}")
    lacking += [f"{case}: no such probe" for case in cases if case.probe not in known]
    assert not lacking, "\n".join(lacking)


def _findings(items: Iterable[Any]) -> dict[str, Finding]:
    return {item.id: item for item in items if isinstance(item, Finding)}


def _seen(finding: Finding) -> str:
    return f"{finding.status} {finding.log_ratio:+.2f} {finding.reason or finding.says}"
