"""Progress of an investigation on stderr: what runs, what was found, the leading cause."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from typing import IO, Any

from sickbay.redact import redact
from sickbay.report import words


class Progress:
    """Takes the events of an investigation; a live line on a terminal, plain lines elsewhere; safe across threads."""

    def __init__(self, stream: IO[str], environ: Mapping[str, str], titles: Mapping[str, str] | None = None) -> None:
        self._stream = stream
        self._live = stream.isatty() and environ.get("TERM", "") != "dumb"
        self._titles = titles or {}
        self._running: list[str] = []
        self._leading = ""
        self._lock = threading.Lock()

    def __call__(self, event: Any) -> None:
        """Show one event; an event of a kind that is not known here is ignored."""
        with self._lock:
            # By name, so that progress can be shown without importing the loop that sends it.
            match type(event).__name__:
                case "ProbeStarted":
                    self._running.append(event.probe)
                case "ProbeEnded":
                    self._ended(event)
                case "Leading":
                    self._lead(event)
            self._draw()

    def close(self) -> None:
        """Take the live line away."""
        with self._lock:
            self._clear()
            self._live = False

    def _ended(self, event: Any) -> None:
        if event.probe in self._running:
            self._running.remove(event.probe)
        findings = [thing for thing in event.findings if hasattr(thing, "status")]
        for finding in findings:
            if finding.status == "unknown":
                self._line(
                    f"{event.probe}: unknown: {words.clean(finding.id, 80)} ({words.clean(finding.reason, 160)})"
                )
            elif finding.on:
                self._line(f"{event.probe}: found: {words.clean(finding.says or words.humanised(finding.id), 200)}")
        if not any(finding.status == "unknown" or finding.on for finding in findings):
            self._line(f"{event.probe}: nothing found in {words.duration(event.seconds)}")

    def _lead(self, event: Any) -> None:
        name = self._titles.get(event.cause) or words.humanised(event.cause) or "None of these"
        leading = f"{name} {words.percent(event.probability)}"
        if leading != self._leading:
            self._leading = leading
            if not self._live:
                self._line(f"likeliest so far: {leading}")

    def _line(self, text: str) -> None:
        self._clear()
        self._stream.write(redact(f"  {text}\n"))
        self._stream.flush()

    def _draw(self) -> None:
        if not self._live or not (self._running or self._leading):
            return
        lead = f"likeliest: {self._leading} · " if self._leading else ""
        text = f"  {lead}measuring {', '.join(self._running) or 'nothing'}"
        width = shutil.get_terminal_size((80, 24)).columns
        self._clear()
        self._stream.write(redact(text)[: max(1, width - 1)])
        self._stream.flush()

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
