"""Start, break and heal a lab system in a directory: the files a user would have, and no hint of the fault.

The directory holds ``sickbay.toml``, ``predictions/date=…/*.parquet`` and ``reference.parquet``. What the lab itself
must remember between two commands lies in ``.lab/``, which no site file names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sickbay.errors import UserError, nearest
from sickbay.lab import live
from sickbay.lab.systems import logfiles
from sickbay.lab.systems.batch import Batch
from sickbay.lab.systems.flights import Flights
from sickbay.lab.systems.fraud import Fraud
from sickbay.lab.systems.scoring import ScoringSystem, Settings, World
from sickbay.registry import FAULTS, SYSTEMS, Fault

WORLDS: Mapping[str, Callable[[], World]] = {"fraud": lambda: Fraud(), "flights": lambda: Flights()}
STATE = Path(".lab") / "state.json"


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault that is in force: its name, seed, strength (0…1) and options."""

    fault: str
    seed: int
    strength: float
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Lab:
    """A started system: its directory, world, settings and seed, and the faults in force."""

    directory: Path
    system: str
    seed: int
    settings: Settings
    broken: list[Broken] = field(default_factory=list)

    @property
    def site_file(self) -> Path:
        """The site file that investigates this system."""
        return self.directory / "sickbay.toml"

    def break_(self, fault: str, *, seed: int = 0, strength: float = 0.7, **options: Any) -> None:
        """Put a fault in force from the onset on and produce the log again.

        Raises UnknownNameError for a fault that does not exist, UserError when it cannot act on this system.
        """
        registered = FAULTS.get(fault)
        if registered.system not in ("scoring", self.system):
            raise UserError(f"the fault {fault} breaks the system {registered.system}, not {self.system}")
        if not 0 < strength <= 1:
            raise UserError(f"strength {strength:g} of the fault {fault} must lie above 0 and at most 1")
        self.broken.append(Broken(fault, seed, strength, options))
        try:
            self.refresh()
        except BaseException:
            self.broken.pop()
            raise

    def heal(self) -> None:
        """Take every fault out and produce the log as it would have been."""
        self.broken.clear()
        self.refresh()

    def refresh(self) -> Batch:
        """Run the system with the faults in force, write what it leaves behind, and remember the state."""
        system = ScoringSystem(WORLDS[self.system](), self.settings, self.seed)
        with ExitStack() as stack:
            for broken in self.broken:
                stack.enter_context(in_force(FAULTS.get(broken.fault), system, broken))
            batch = system.run()
        logfiles.write(self.directory, system, batch)
        self._remember()
        return batch

    def stop(self) -> None:
        """Nothing runs between two commands."""

    def close(self) -> None:
        """Nothing is held."""

    def status(self) -> dict[str, Any]:
        """Return what runs, since when, and what is broken."""
        return {
            "system": self.system,
            "seed": self.seed,
            "rows": self.settings.rows,
            "site": str(self.site_file),
            "broken": [asdict(b) for b in self.broken],
        }

    def _remember(self) -> None:
        path = self.directory / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "system": self.system,
            "seed": self.seed,
            "settings": {k: dict(v) if isinstance(v, Mapping) else v for k, v in asdict(self.settings).items()},
            "broken": [asdict(b) for b in self.broken],
        }
        path.write_text(json.dumps(state, default=str, indent=1), encoding="utf-8")


def faults() -> list[Fault]:
    """Return every registered fault, by name."""
    return list(FAULTS.load().values())


def start_held(directory: Path, *, system: str, seed: int, say: Callable[[str], None]) -> Lab | live.Live:
    """Start a system of either kind, held by this process where it is a live one."""
    if system in SYSTEMS.load():
        return live.start(system, directory, say=say)
    return start(directory, system=system, seed=seed)


def start_kept(directory: Path, *, system: str, seed: int) -> Lab | live.Remote:
    """Start a system of either kind for later commands; a live one is held by a daemon."""
    if system in SYSTEMS.load():
        return live.start_daemon(system, directory)
    return start(directory, system=system, seed=seed)


def start(directory: str | Path, *, system: str = "fraud", seed: int = 0, force: bool = False, **settings: Any) -> Lab:
    """Start a healthy system in a directory and return it; ``settings`` are fields of ``Settings``.

    Raises UserError for an unknown system or setting, or for a directory that holds something else.
    """
    if system not in WORLDS:
        known_systems = (*WORLDS, *SYSTEMS.load())
        raise UserError(
            f"the lab has no system {system!r}",
            hint=nearest(system, known_systems) or f"known: {', '.join(known_systems)}",
        )
    known = Settings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise UserError(f"lab systems have no setting {name!r}", hint=nearest(name, known))
    path = Path(directory)
    if path.exists() and any(path.iterdir()) and not (path / STATE).exists() and not force:
        raise UserError(f"{path} is not empty and holds no lab system", hint="choose another directory")
    path.mkdir(parents=True, exist_ok=True)
    lab = Lab(path, system, seed, replace(Settings(), **{**WORLDS[system]().defaults, **settings}))
    lab.refresh()
    return lab


def open_lab(directory: str | Path) -> Lab | live.Remote:
    """Return the lab system that was started in a directory, with the faults in force."""
    path = Path(directory)
    if (path / live.STATE).exists():
        return live.open_remote(path)
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"no lab system was started in {path}", hint="`sickbay lab start DIRECTORY` starts one"
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path / STATE} is damaged: {error}", hint="start the system again") from None
    settings = state["settings"]
    settings["start"] = datetime.fromisoformat(settings["start"])
    return Lab(path, state["system"], state["seed"], Settings(**settings), [Broken(**b) for b in state["broken"]])


@contextmanager
def in_force(fault: Fault, system: ScoringSystem, broken: Broken) -> Iterator[None]:
    """Break a system on entry; heal it on exit, also after an error."""
    act = fault.run(system, seed=broken.seed, strength=broken.strength, **broken.options)
    next(act)
    try:
        yield
    finally:
        for _ in act:  # resumes the generator behind its yield: that is where it heals
            raise RuntimeError(f"the fault {fault.name} yields more than once")
