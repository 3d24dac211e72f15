"""What people changed in a scheduler, by its event log, and the code of the step that failed, to see what it reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sickbay.errors import SourceError
from sickbay.probes import reads
from sickbay.probes.night import Night
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import Event

SETTING = re.compile(r"variable|connection", re.I)
PAUSE = re.compile(r"^(patch_dags?|paused)$", re.I)
READING = re.compile(r"^(get|list|test|export)|[._](get|list|test|export|read)$|varexport", re.I)
NAMED = re.compile(
    r"""["'](?:key|variable_key|connection_id|conn_id|id)["']\s*[:,]\s*["']([^"']+)["']"""
    r"""|["'](?:variables|connections)["'], ["'](?:set|add|delete|import)["'](?:, ["']-[^"']*["'])*, ["']([^"']+)["']"""
)
"""The name in an entry of the web interface or of REST, or in the command line that the entry holds."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of a variable or connection, or a pause: when, which act, of what, by whom. No value is kept."""

    at: datetime
    what: str
    names: tuple[str, ...]
    by: str
    pause: bool = False

    @property
    def of(self) -> str:
        """What was edited, in words."""
        return ", ".join(self.names[:3])

    @property
    def says(self) -> str:
        """The edit in words, without an end."""
        return f"{self.what} of {self.of or 'an unnamed one'} at {self.at:%m-%d %H:%M} UTC by {self.by or 'somebody'}"

    def named_in(self, code: str) -> bool:
        """Return whether code names what was edited."""
        return any(reads.names(code, name) for name in self.names)


@dataclass(frozen=True, slots=True)
class StepCode:
    """The code of a pipeline and, of it, that of the task that failed; each empty where it is not known."""

    pipeline: str = ""
    step: str = ""
    task: str = ""


def read(airflow: Airflow, since: datetime, until: datetime, paused: str) -> tuple[list[Edit], bool]:
    """Return the edits after an instant, newest first, and whether the log was read back to it.

    ``paused``: the pipeline whose pausing counts, if any: it keeps a run from starting, and makes none fail.
    """
    events, whole = airflow.events_since(since)
    dated = [(event.at, event) for event in events if event.at is not None and since < event.at <= until]
    return [edit for at, event in dated if (edit := _edit(at, event, paused))], whole


def step_of(airflow: Airflow, seen: Night) -> StepCode:
    """Return the code that ran, as Airflow keeps it or ``[source.airflow] code``; what may not be read is empty."""
    focus = seen.focus
    if focus is None:
        return StepCode()
    code = _kept(airflow, seen) or _local(airflow, seen, focus.dag.file.rpartition("/")[2])
    return StepCode(code, reads.step(code, seen.culprit.id), seen.culprit.id) if seen.culprit else StepCode(code)


def setting_at(airflow: Airflow, seen: Night, frame: tuple[str, int, str]) -> str:
    """Return the setting that the line of a frame works on; empty for none, or where its code may not be read."""
    file, line, function = frame
    name = file.rpartition("/")[2]
    own = seen.focus is not None and seen.focus.dag.file.rpartition("/")[2] == name
    code = step_of(airflow, seen).pipeline if own else _local(airflow, seen, name)
    return reads.at_line(code, line, function) if code else ""


def _kept(airflow: Airflow, seen: Night) -> str:
    """Return the pipeline's code of the version that ran, as Airflow 3 keeps it; empty where it may not be read."""
    focus, run = seen.focus, seen.run
    version = (run.version if run else None) or (focus.good.version if focus and focus.good else None)
    if focus is None or not version:
        return ""
    try:
        return airflow.code_of(focus.dag.id, version)
    except SourceError:
        return ""


def _local(airflow: Airflow, seen: Night, name: str) -> str:
    """Return a file of the code as it was when the run began; empty where it is not there, not alone, or newer."""
    if airflow.code is None or not name or seen.run is None or seen.run.started is None:
        return ""
    place = airflow.code
    found = [place] if place.is_file() and place.name == name else sorted(place.rglob(name))
    try:
        old = len(found) == 1 and found[0].stat().st_mtime < seen.run.started.timestamp()
        return found[0].read_text(encoding="utf-8") if old else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _edit(at: datetime, event: Event, paused: str) -> Edit | None:
    if PAUSE.search(event.what):
        meant = paused and event.dag in ("", paused)
        return Edit(at, event.what, (event.dag,) if event.dag else (), event.owner, pause=True) if meant else None
    if not SETTING.search(event.what) or READING.search(event.what):
        return None
    names = tuple(dict.fromkeys(one or two for one, two in NAMED.findall(event.extra)))
    return Edit(at, event.what, names, event.owner)
