"""The operations behind the door, imported when a command calls them; tests put other rooms in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.gate.verdict import Verdict
    from sickbay.lab.bench import BenchResult
    from sickbay.lab.live import Live, Remote
    from sickbay.lab.operations import Lab
    from sickbay.monitor.comparing import Comparison
    from sickbay.registry import Fault, SourceKind
    from sickbay.sources.context import Check
    from sickbay.stats.profile import Profile
    from sickbay.stats.skew.report import SkewReport
    from sickbay.terms.cause import Knowledge
    from sickbay.terms.change import Change
    from sickbay.terms.diagnosis import Diagnosis
    from sickbay.terms.finding import Finding, FindingKind
    from sickbay.terms.probe import Probe


class Rooms:
    """What the commands need of the other rooms, one method per operation."""

    def investigate(self, site: str | Path | None, scenario: str | None, **asked: Any) -> Diagnosis:
        """Return the diagnosis; see ``sickbay.investigation.investigate``."""
        from sickbay import investigation

        return investigation.investigate(site, scenario, **asked)

    def run_probe(self, name: str, site: str | Path | None, **asked: Any) -> Sequence[Finding | Change]:
        """Return what one probe reports; see ``sickbay.investigation.run_probe``."""
        from sickbay import investigation

        return tuple(investigation.run_probe(site, name, **asked))

    def doctor(self, site: str | Path | None, **asked: Any) -> Sequence[Check]:
        """Return one check per thing that was tried; see ``sickbay.investigation.doctor``."""
        from sickbay import investigation

        return tuple(investigation.doctor(site, **asked))

    def record_baseline(self, site: str | Path | None, **asked: Any) -> Mapping[str, Any]:
        """Write the baseline and return its parts; see ``sickbay.investigation.baseline``."""
        from sickbay.investigation.baseline import record_baseline

        return record_baseline(site, **asked)

    def knowledge(self) -> Knowledge:
        """Return all causes, scenarios and advice."""
        from sickbay.knowledge import loader

        return loader.load()

    def probes(self) -> Mapping[str, Probe]:
        """Return every registered probe by name."""
        from sickbay import registry

        return registry.PROBES.load()

    def kinds(self) -> Mapping[str, FindingKind]:
        """Return every declared finding by id."""
        from sickbay import registry

        return registry.KINDS.load()

    def sources(self) -> Mapping[str, SourceKind]:
        """Return every registered kind of system by name."""
        from sickbay import registry

        return registry.SOURCES.load()

    def faults(self) -> Mapping[str, Fault]:
        """Return every registered fault by name."""
        from sickbay.lab import operations

        return {fault.name: fault for fault in operations.faults()}

    def start_lab(self, directory: Path, *, system: str, seed: int) -> Lab | Remote:
        """Return a new, healthy lab system in ``directory``; it stays when the command ends."""
        from sickbay.lab import operations

        return operations.start_kept(directory, system=system, seed=seed)

    def hold_lab(self, directory: Path, *, system: str, seed: int, say: Callable[[str], None]) -> Lab | Live:
        """Return a new, healthy lab system in ``directory``; what runs of it ends with this process."""
        from sickbay.lab import operations

        return operations.start_held(directory, system=system, seed=seed, say=say)

    def live_systems(self) -> Mapping[str, str]:
        """Return the systems that are running servers, each with the scenario that it is broken for."""
        from sickbay.registry import SYSTEMS

        return {name: found.scenario for name, found in SYSTEMS.load().items()}

    def open_lab(self, directory: Path) -> Lab | Remote:
        """Return the lab system that was started in ``directory``."""
        from sickbay.lab import operations

        return operations.open_lab(directory)

    def bench(self, scenario: str, **settings: Any) -> BenchResult:
        """Return the benchmark of a scenario; see ``sickbay.lab.bench``."""
        from sickbay.lab import bench

        return bench.bench(scenario, **settings)

    def drift(self, reference: Any, current: Any, **asked: Any) -> Comparison:
        """Return two tables compared column by column; see ``sickbay.monitor.comparing``."""
        from sickbay.monitor import comparing

        return comparing.drift(reference, current, **asked)

    def profile(self, table: Any, **asked: Any) -> Profile:
        """Return the profile of a table; see ``sickbay.monitor.comparing``."""
        from sickbay.monitor import comparing

        return comparing.profile(table, **asked)

    def skew(self, offline: Any, online: Any, **asked: Any) -> SkewReport:
        """Return two sides of features compared and explained; see ``sickbay.monitor.skewing``."""
        from sickbay.monitor import skewing

        return skewing.skew(offline, online, **asked)

    def validate(self, candidate: Any, champion: Any, data: Any, *, names: dict[str, Any], **asked: Any) -> Verdict:
        """Return the gate's verdict; see ``sickbay.gate.operation``."""
        from sickbay.gate.operation import validate
        from sickbay.gate.pairs import Named

        given = {("id" if name == "id_" else name): value for name, value in names.items()}
        return validate(candidate, champion, data, named=Named(**given), **asked)

    def peek(self, path: Path) -> tuple[Sequence[str], Sequence[str], Sequence[Sequence[Any]]]:
        """Return column names, type names and a few rows of a table file or glob."""
        from sickbay.sources import tables

        return tables.peek(path)


@dataclass(frozen=True, slots=True)
class Door:
    """What every command is given: the rooms, the environment, and where it was called."""

    rooms: Rooms
    environ: Mapping[str, str]
    directory: Path
