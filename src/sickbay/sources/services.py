"""Services of this host under systemd: their state, why they ended, and what the journal holds of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from sickbay.errors import SourceError, SourceForbidden, SourceTimeout
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context

SECONDS = 5.0
ASKED = "Id,LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts,StateChangeTimestamp"


class _Settings(settings.Settings):
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd tells of it; ``result`` is ``success``, ``exit-code``, ``signal``, ``oom-kill``, ..."""

    name: str
    loaded: bool
    active: str
    sub: str
    result: str
    status: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal; ``priority`` from 0 (emergency) to 7 (debugging)."""

    text: str
    at: datetime
    priority: int
    unit: str


@source("services")
class Services:
    """Reads units and journal of this host: ``[source.services] units = ["airflow-scheduler.service"]``.

    Rights: every user may ask for the state of a unit; the journal of others needs the group ``systemd-journal``.
    Unknown, with the reason, where there is no systemd.
    """

    def __init__(self, units: tuple[str, ...], now: datetime) -> None:
        self.units, self.now = units, now

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names units."""
        return "services" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; nothing is asked yet."""
        return cls(settings.read(context, "services", _Settings).units, context.now)

    def states(self) -> list[Unit]:
        """Return the state of each unit; SourceError where there is no systemd to ask."""
        if not self.units:
            return []
        text = run("systemctl", "show", "--no-pager", f"--property={ASKED}", "--", *self.units)
        return parse_units(text)

    def journal(self, minutes: int = 60, most: int = 500) -> list[Entry]:
        """Return the newest lines of the units' journal; SourceError where there is none."""
        chosen = [part for unit in self.units for part in ("-u", unit)]
        text = run("journalctl", "-o", "json", "--no-pager", "-n", str(most), "--since", f"-{minutes}min", *chosen)
        return parse_journal(text)

    def check(self) -> list[Check]:
        """Return what of each can be read."""
        try:
            checks = [Check(f"service {u.name}", u.loaded, f"{u.active} ({u.sub})") for u in self.states()]
            return [*checks, Check("journal", True, f"{len(self.journal())} lines of the last hour")]
        except SourceError as error:
            return [Check("services", False, str(error))]

    def close(self) -> None:
        """Nothing is kept open."""


def run(*command: str) -> str:
    """Return what a command of systemd prints; SourceError that says why there is no answer."""
    if shutil.which(command[0]) is None:
        raise SourceError(f"not applicable: there is no {command[0]} on this host")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SourceTimeout(f"timed out: {command[0]} gave no answer within {SECONDS:.0f} s") from None
    except OSError as error:
        raise SourceError(f"unreachable: {command[0]}: {error.strerror}") from None
    said = " ".join(done.stderr.split())[:200]
    if done.returncode:
        if "not been booted with systemd" in said or "connect to bus" in said:
            raise SourceError(f"not applicable: this host does not run under systemd ({said})")
        if "permission" in said.lower() or "access denied" in said.lower():
            raise SourceForbidden(f"forbidden: {said}")
        raise SourceError(f"unreachable: {command[0]} ended with {done.returncode}: {said}")
    if command[0] == "journalctl" and "not seeing messages" in said:
        raise SourceForbidden("forbidden: the journal of other users: join the group systemd-journal")
    return done.stdout


def parse_units(text: str) -> list[Unit]:
    """Read the blocks of ``systemctl show``, one per unit, separated by empty lines."""
    found = []
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if values.get("Id"):
            found.append(_unit(values))
    return found


def parse_journal(text: str) -> list[Entry]:
    """Read journal entries, one JSON object a line; binary messages come as lists of bytes."""
    found = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        message = row.get("MESSAGE")
        if isinstance(message, list):
            message = bytes(message).decode("utf-8", "replace")
        if not message or not row.get("__REALTIME_TIMESTAMP"):
            continue
        at = datetime.fromtimestamp(int(row["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
        found.append(Entry(str(message), at, int(row.get("PRIORITY") or 6), str(row.get("_SYSTEMD_UNIT") or "")))
    return found


def _unit(values: Mapping[str, str]) -> Unit:
    def number(key: str) -> int:
        return int(values.get(key) or 0) if (values.get(key) or "0").lstrip("-").isdigit() else 0

    return Unit(
        values["Id"], values.get("LoadState") == "loaded", values.get("ActiveState", ""), values.get("SubState", ""),
        values.get("Result", ""), number("ExecMainStatus"), number("NRestarts"),
    )  # fmt: skip
