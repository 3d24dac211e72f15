"""The operations behind the door, imported when a command calls them; tests put other rooms in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.registry import Fault, SourceKind
    from sickbay.sources.context import Check
    from sickbay.terms.cause import Knowledge
    from sickbay.terms.change import Change
    from sickbay.terms.diagnosis import Diagnosis
    from sickbay.terms.finding import Finding, FindingKind
    from sickbay.terms.probe import Probe


class Rooms:
    """What the commands need of the other rooms, one method per operation."""

    def investigate(self, site: object, scenario: str | None, **asked: Any) -> Diagnosis:
        """Return the diagnosis; see ``sickbay.investigation.investigate``."""
        return self._call("sickbay.investigation", "investigate", site, scenario, **asked)  # type: ignore[no-any-return]

    def run_probe(self, name: str, site: object, **asked: Any) -> Sequence[Finding | Change]:
        """Return what one probe reports; see ``sickbay.investigation.run_probe``."""
        return tuple(self._call("sickbay.investigation", "run_probe", name, site, **asked))

    def doctor(self, site: object, **asked: Any) -> Sequence[Check]:
        """Return one check per thing that was tried; see ``sickbay.investigation.doctor``."""
        return tuple(self._call("sickbay.investigation", "doctor", site, **asked))

    def knowledge(self) -> Knowledge:
        """Return all causes, scenarios and advice."""
        return self._call("sickbay.knowledge", "load")  # type: ignore[no-any-return]

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
        return {fault.name: fault for fault in self._call("sickbay.lab.operations", "faults")}

    def start_lab(self, directory: Path, **settings: Any) -> Any:
        """Return a new, healthy lab system in ``directory``."""
        return self._call("sickbay.lab.operations", "start", directory, **settings)

    def open_lab(self, directory: Path) -> Any:
        """Return the lab system that was started in ``directory``."""
        return self._call("sickbay.lab.operations", "open_lab", directory)

    def bench(self, scenario: str, **settings: Any) -> Any:
        """Return the benchmark of a scenario; see ``sickbay.lab.bench``."""
        return self._call("sickbay.lab.bench", "bench", scenario, **settings)

    def peek(self, path: Path) -> tuple[Sequence[str], Sequence[str], Sequence[Sequence[Any]]]:
        """Return column names, type names and a few rows of a table file or glob."""
        names, types, rows = self._call("sickbay.sources.tables", "peek", path)
        return names, types, rows

    @staticmethod
    def _call(module: str, operation: str, /, *given: Any, **named: Any) -> Any:
        return getattr(import_module(module), operation)(*given, **named)


@dataclass(frozen=True, slots=True)
class Door:
    """What every command is given: the rooms, the environment, and where it was called."""

    rooms: Rooms
    environ: Mapping[str, str]
    directory: Path
