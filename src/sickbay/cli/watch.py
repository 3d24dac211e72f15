"""``sickbay watch``: the site's monitors on a schedule."""

from __future__ import annotations

import math
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sickbay.cli import NOTHING, options, output
from sickbay.cli.rooms import Door

if TYPE_CHECKING:
    from sickbay.config import Monitor
    from sickbay.monitor.metrics import Metrics
    from sickbay.monitor.progress import Progress
    from sickbay.monitor.store import Event, Reading, Store
    from sickbay.monitor.watching import Watch

LONGEST_WAIT = 300.0


@click.command("watch")
@options.site
@click.option("--store", metavar="FILE", type=click.Path(path_type=Path), help="Else .sickbay/watch.db.")
@click.option("--once", is_flag=True, help="Do what is due and end: for a scheduler of your own.")
@click.option("--until", metavar="TIME", help="Take this instant for now; with --once.")
@click.option("--port", type=click.IntRange(0, 65535), help="Serve /metrics on this port of the loopback.")
@click.option("--reports", metavar="DIR", type=click.Path(path_type=Path), help="Write a report of every alarm here.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    site: str | None,
    store: Path | None,
    once: bool,
    until: str | None,
    port: int | None,
    reports: Path | None,
    as_json: bool,
) -> None:
    """Run the site's monitors, and investigate when one raises an alarm.

    A [monitor.NAME] of the site file says what is looked at how often, and how many false alarms a month are put up
    with. What was seen is kept: a watch that was stopped goes on where it was.

    \b
    Example:
      sickbay watch --once
      sickbay watch --port 9464 --reports alarms/
    """
    from sickbay.config import load_site
    from sickbay.monitor.metrics import Metrics
    from sickbay.monitor.store import Store
    from sickbay.monitor.watching import Watch, store_path
    from sickbay.terms import window

    door: Door = ctx.obj
    if until is not None and not once:
        raise click.UsageError("--until belongs to --once: a clock that stands still would watch for ever")
    loaded = load_site(site, door.environ, door.directory)
    fixed = window.until(until)
    kept = Store(store_path(loaded, store))
    try:
        watch, metrics = Watch(loaded, kept, environ=door.environ), Metrics()
        if port is not None:
            output.say(f"metrics: http://127.0.0.1:{metrics.serve(port)}/metrics")
        runner = _Runner(door, site, watch, kept, metrics, reports, as_json=as_json)
        failed = runner.turn(fixed or datetime.now(UTC))
        if not once:
            runner.loop()
            return
        ctx.exit(NOTHING if failed == len(loaded.monitor) else 0)
    finally:
        kept.close()


class _Runner:
    """Turns and what is said about them; alarms are handed to investigate once they are in the store."""

    def __init__(
        self,
        door: Door,
        site: str | None,
        watch: Watch,
        store: Store,
        metrics: Metrics,
        reports: Path | None,
        *,
        as_json: bool,
    ) -> None:
        self.door, self.site, self.watch, self.store = door, site, watch, store
        self.metrics, self.reports, self.as_json = metrics, reports, as_json
        self.stopped = threading.Event()

    def loop(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self.stopped.set())
        while not self.stopped.wait(min(LONGEST_WAIT, self.watch.seconds_to_next(datetime.now(UTC)))):
            self.turn(datetime.now(UTC))

    def turn(self, now: datetime) -> int:
        """Do what is due; return how many monitors could not be read."""
        failed = 0
        for progress in self.watch.turn(now, stop=self.stopped.is_set):
            self.metrics.take(progress, self.store)
            failed += bool(progress.error)
            self._say(progress)
        if not self.stopped.is_set():
            self._investigate()
        return failed

    def _say(self, progress: Progress) -> None:
        from sickbay.monitor.store import text

        if self.as_json:
            output.print_line(
                {
                    "schema": "sickbay.watch/1", "monitor": progress.monitor, "windows": progress.panes,
                    "until": text(progress.last_end) if progress.last_end else None, "error": progress.error or None,
                    "caught_up": progress.caught_up, "loss": _losses(progress),
                    "events": [_event(event) for event in progress.events],
                    "findings": [_read(reading, progress) for reading in progress.readings],
                }
            )  # fmt: skip
            return
        if progress.error:
            output.say(f"{progress.monitor}: {progress.error}; it will be tried again")
        elif progress.panes:
            after = " after the source was away" if progress.caught_up else ""
            word = "window" if progress.panes == 1 else "windows"
            output.out(f"{progress.monitor}: {progress.panes} {word}, up to {text(progress.last_end or 0)}{after}")
        if progress.readings:
            output.out(f"{progress.monitor}: {_readings(progress)}")
        loss = _loss(progress)
        if loss:
            output.out(f"{progress.monitor}: {loss}")
        for event in progress.events:
            output.out(f"{progress.monitor}: alarm {event.what}, window to {text(event.end)}: {event.says}")

    def _investigate(self) -> None:
        """Hand the alarms that nobody was handed yet to an investigation, one per monitor, of its latest alarm."""
        waiting = self.store.events(open_only=True)
        latest = {event.monitor: event for event in waiting}
        for event in latest.values():
            settings = self.watch.site.monitor.get(event.monitor)
            if settings is None or not settings.investigate:
                continue
            diagnosis = self.door.rooms.investigate(
                self.site, self._scenario(event, settings), model=settings.model, environ=self.door.environ,
                directory=self.door.directory, until=datetime.fromtimestamp(event.end, UTC),
            )  # fmt: skip
            self._report(event, diagnosis)
        self.store.handed_on(waiting)

    def _scenario(self, event: Event, settings: Monitor) -> str | None:
        """Return what an alarm is investigated as: windows are a model's, a finding belongs to whom it speaks for."""
        from sickbay.monitor import probing

        if settings.scenario is not None or settings.probes is None:
            return settings.scenario or "model-degradation"
        return probing.scenario(probing.finding_of(event.series), self.door.rooms.knowledge())

    def _report(self, event: Event, diagnosis: Any) -> None:
        leader = diagnosis.causes[0] if diagnosis.causes else None
        if not self.as_json:
            sure = leader is not None and leader.probability >= 0.5
            found = f"{leader.says} ({leader.probability:.0%})" if leader and sure else "no cause stands out"
            output.out(f"{event.monitor}: investigated: {found}")
        if self.reports is not None:
            from sickbay.report import html

            self.reports.mkdir(parents=True, exist_ok=True)
            moment = datetime.fromtimestamp(event.end, UTC).strftime("%Y%m%dT%H%M")
            path = self.reports / f"{event.monitor}-{moment}.html"
            output.write(path, html.render(diagnosis))
            output.say(f"report: {path}")


def _readings(progress: Progress) -> str:
    """Return in words what a monitor of probes read."""
    on = [reading.finding for reading in progress.readings if reading.status == "measured" and reading.on]
    unread = sum(reading.status == "unknown" for reading in progress.readings)
    told = f"{len(progress.readings)} findings read, " + (f"on: {', '.join(on)}" if on else "none on")
    soonest = min(progress.days_left.items(), key=lambda item: item[1], default=("", math.inf))
    ahead = f"; {soonest[0]} reaches its limit in {soonest[1]:.1f} days" if math.isfinite(soonest[1]) else ""
    return f"{told}{f', {unread} unknown' if unread else ''}{ahead}"


def _losses(progress: Progress) -> dict[str, Any]:
    """Return the mean loss as the labels show it and as the scores let expect it, None where unknown."""
    realised = progress.performance.mean_loss if progress.performance else math.nan
    expected = progress.estimated.loss if progress.estimated else math.nan
    known = [None if math.isnan(value) else value for value in (realised, expected)]
    return {"realised": known[0], "estimated": known[1], "estimate_doubted": progress.doubt or None}


def _loss(progress: Progress) -> str:
    losses = _losses(progress)
    told = [f"{word} {losses[word]:.3f}" for word in ("realised", "estimated") if losses[word] is not None]
    doubt = f" (not to be trusted: {progress.doubt})" if progress.doubt else ""
    return f"mean loss {', '.join(told)}{doubt}" if told else ""


def _read(reading: Reading, progress: Progress) -> dict[str, Any]:
    left = progress.days_left.get(reading.finding, math.inf)
    return {
        "id": reading.finding, "status": reading.status, "on": reading.on, "statistic": reading.statistic,
        "limit": reading.limit, "days_left": left if math.isfinite(left) else None, "says": reading.says,
    }  # fmt: skip


def _event(event: Event) -> dict[str, Any]:
    from sickbay.monitor.store import text

    return {
        "series": event.series, "what": event.what, "start": text(event.start), "end": text(event.end),
        "p_value": event.p_value if event.p_value == event.p_value else None,
        "effect": event.effect if event.effect == event.effect else None, "says": event.says,
    }  # fmt: skip
