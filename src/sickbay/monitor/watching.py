"""``sickbay watch``: the site's monitors on a schedule, from where they stopped.

Time is cut into panes of one slide each. A pane is profiled once, when it has ended; a window is the sum of its panes.
Whatever stops the process, the next one goes on with the first pane that is not in the store.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sickbay.config import Monitor, Site, choose_model
from sickbay.errors import SiteFileError, SourceError, TableError
from sickbay.monitor import explaining, probing
from sickbay.monitor.looking import Series, assumption_broken, look_at, look_at_loss, look_at_silence
from sickbay.monitor.progress import Progress
from sickbay.monitor.store import Event, Pane, Store, text
from sickbay.sources.context import Context
from sickbay.sources.engine_log import EngineLog, stays_in_engine
from sickbay.sources.predictions import PredictionLog
from sickbay.stats import estimation, profiling
from sickbay.stats import table as t
from sickbay.stats.alarm import Alarm, Rule
from sickbay.stats.bins import Bins, NumberBins
from sickbay.stats.estimation import Performance
from sickbay.stats.profile import Profile
from sickbay.terms.window import length

Log = PredictionLog | EngineLog
SCORE = "(score)"
"""The score's name among the columns of a profile; no column of a table is likely to be called so."""
MOST_PANES = 5_000
"""Panes of one turn for one monitor; the rest is done in the next, which follows at once."""
MONTH = timedelta(days=30)
ENOUGH_LABELS = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """One monitor, ready: lengths in whole seconds."""

    name: str
    settings: Monitor
    window: int
    slide: int
    delay: int
    horizon: int

    @property
    def rule(self) -> Rule:
        """The rule without the number of series, which the reference gives."""
        s = self.settings
        looks = MONTH.total_seconds() / self.slide
        return Rule(s.false_alarms_per_month, looks, 1, s.raise_after, s.clear_after)


class Watch:
    """All monitors of a site over one store; ``turn`` does whatever is due."""

    def __init__(self, site: Site, store: Store, *, environ: Mapping[str, str]) -> None:
        if not site.monitor:
            raise SiteFileError(f"{site.file} names no monitor", hint='add [monitor.NAME] with window = "1d"')
        self.site, self.store, self.environ = site, store, environ
        tables = {name: settings for name, settings in site.monitor.items() if settings.probes is None}
        self.plans = [_plan(name, settings, site) for name, settings in tables.items()]
        probed = {name: settings for name, settings in site.monitor.items() if name not in tables}
        self.probe_plans = [probing.plan(name, settings, site) for name, settings in probed.items()]
        self._failing: dict[str, datetime] = {}

    def turn(self, now: datetime, *, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Do what is due for each monitor; a source that cannot be read is said, and tried again next time."""
        for plan in self.plans:
            progress = Progress(plan.name)
            try:
                self._advance(plan, now, progress, stop)
                if progress.panes and plan.name in self._failing:
                    progress.caught_up = True
                self._failing.pop(plan.name, None)
            except (SourceError, TableError) as error:
                since = self._failing.setdefault(plan.name, now)
                progress.error = f"cannot read since {since:%Y-%m-%d %H:%MZ}: {error}"
            progress.last_end = self.store.last_end(plan.name)
            if progress.last_end is not None:
                due = now.timestamp() - plan.delay - plan.slide
                progress.behind_seconds = max(0.0, due - progress.last_end)
            yield progress
        for probes in self.probe_plans:
            yield probing.turn(probes, self.site, self.store, now, self.environ)

    def seconds_to_next(self, now: datetime) -> float:
        """Return how long to wait until the next pane of any monitor has ended; a failing source is tried sooner."""
        waits = [60.0] if self._failing else []
        for plan in self.plans:
            since = (now.timestamp() - plan.delay) % plan.slide
            waits.append(plan.slide - since)
        for probes in self.probe_plans:
            last = self.store.last_reading(probes.name)
            waits.append(0.0 if last is None else last + probes.every - now.timestamp())
        return max(0.5, min(waits))

    def _advance(self, plan: Plan, now: datetime, progress: Progress, stop: Callable[[], bool]) -> None:
        log = self._open(plan, now)
        try:
            if log.first is None or log.last is None:
                raise TableError(f"[monitor.{plan.name}]: {log.why_no(t.TIME)}", hint="a monitor needs a timestamp")
            reference, known = self._reference(plan, log)
            for start in self._due(plan, log, now):
                if stop():
                    return
                pane = _pane(plan, log, start, reference)
                self._take(plan, log, pane, reference, known, progress)
            if progress.panes:
                self._labels(plan, log, now, reference, known, progress)
        finally:
            log.close()

    def _open(self, plan: Plan, now: datetime) -> Log:
        """Open the log where it is: in its engine, or through the embedded one where it is files."""
        context = Context(self.site, now, model=plan.settings.model, environ=self.environ)
        _, settings = choose_model(self.site, plan.settings.model)
        return EngineLog.connect(context) if stays_in_engine(settings.predictions) else PredictionLog.connect(context)

    def _reference(self, plan: Plan, log: Log) -> tuple[Profile, Performance]:
        fingerprint = json.dumps([str(log.settings.reference)[:500], plan.slide, plan.settings.columns, log.model])
        kept = self.store.reference(plan.name, fingerprint)
        if kept is not None:
            return kept
        table = log.reference()
        if table is None:
            raise SiteFileError(
                f"[monitor.{plan.name}] watches {log.model}, which has no reference",
                hint=f"name one in [model.{log.model}]: the rows it was accepted on",
            )
        names = list(plan.settings.columns or log.kinds)
        missing = [name for name in names if name not in log.kinds]
        if missing:
            raise SiteFileError(
                f"[monitor.{plan.name}]: {log.model} has no feature {missing[0]!r}", hint=", ".join(log.kinds)
            )
        profile = profiling.reference(table, names, distinct=False)
        scores = None
        if t.SCORE in log.reference_roles and t.SCORE in log.roles:
            scored = profiling.reference(_Scores(table), [t.SCORE], distinct=False).columns[t.SCORE]
            scores = scored.bins
            profile = replace(profile, columns={**profile.columns, SCORE: replace(scored, name=SCORE)})
        known = estimation.measure(table, scores if log.task == "binary" else None)
        self.store.keep_reference(plan.name, fingerprint, profile, known)
        return profile, known

    def _due(self, plan: Plan, log: Log, now: datetime) -> Iterator[int]:
        """Return the starts of the panes that have ended and are not in the store, oldest first."""
        assert log.first is not None
        first = -(-_seconds(log.first) // plan.slide) * plan.slide
        start = self.store.last_end(plan.name) or first
        last = int(now.timestamp()) - plan.delay - plan.slide
        yield from itertools.islice(range(start, last + 1, plan.slide), MOST_PANES)

    def _take(
        self, plan: Plan, log: Log, pane: Pane, reference: Profile, known: Performance, progress: Progress
    ) -> None:
        """Look at the window that a new pane completes, and write pane, alarms and events at once."""
        begin = pane.end - plan.window
        before = self.store.panes(plan.name, begin, pane.start)
        series: list[Series] = []
        full = (len(before) + 1) * plan.slide >= plan.window
        if full:
            profile, performance = pane.profile, pane.performance
            for other in before:
                profile, performance = other.profile + profile, other.performance + performance
            look = look_at(reference, profile, plan.settings.practical_size)
            estimated = estimation.estimate(known, performance)
            series = [*look.series, *look_at_silence(pane, self._typical(plan, pane))]
            progress.look, progress.performance, progress.estimated = look, performance, estimated
            progress.doubt = assumption_broken(performance, estimated)
        alarms, events = self._step(plan, reference, series, begin, pane.end)
        events = [self._score_moved(log, event, reference) for event in events]
        self.store.add(pane, alarms, events)
        progress.panes += 1
        progress.events += events

    def _score_moved(self, log: Log, event: Event, reference: Profile) -> Event:
        """Add to an alarm of the score what it leans on now."""
        if event.what != "raised" or event.series != f"{SCORE}/values":
            return event
        window = log.window(_moment(event.start), _moment(event.end))
        leaning = explaining.leaning(log.reference(), window, reference)
        return _with(event, "share of the score's variance explained by", leaning)

    def _labels(
        self, plan: Plan, log: Log, now: datetime, reference: Profile, known: Performance, progress: Progress
    ) -> None:
        """Count again the panes whose labels are still coming, and judge each once, when half of them are there."""
        since = int(now.timestamp()) - plan.horizon
        for pane in self.store.unjudged(plan.name, since):
            if pane.performance.rows == 0:
                continue
            bins = _score_bins(reference)
            window = log.window(_moment(pane.start), _moment(pane.end))
            fresh = estimation.measure(window, bins)
            if fresh.rows > pane.performance.rows:  # rows that came late are not in the profile: labels of the others
                fresh = replace(fresh, rows=pane.performance.rows)
            enough = fresh.labelled >= ENOUGH_LABELS * fresh.rows
            if fresh.labelled == pane.performance.labelled and not enough:
                continue
            series = look_at_loss(known, fresh, plan.settings.practical_loss, log.task) if enough else []
            alarms, events = self._step(plan, reference, series, pane.start, pane.end)
            events = [
                _with(event, "it stands out in", explaining.where(log.reference(), window, reference))
                if event.what == "raised"
                else event
                for event in events
            ]
            estimated = estimation.estimate(known, fresh)
            if enough and estimated is not None:
                progress.estimated, progress.doubt = estimated, assumption_broken(fresh, estimated)
            self.store.judge(replace(pane, performance=fresh), judged=enough, alarms=alarms, events=events)
            progress.events += events
            progress.performance = fresh if fresh.labelled else progress.performance

    def _step(
        self, plan: Plan, reference: Profile, series: list[Series], begin: int, end: int
    ) -> tuple[dict[str, Alarm], list[Event]]:
        """Take the evidence of one look into the alarms; return their new states and what happened."""
        # every column is looked at twice (its values, and how many are missing), and there are loss and silence
        rule = replace(plan.rule, series=2 * len(reference.columns) + 2)
        states = self.store.alarms(plan.name)
        alarms, events = {}, []
        for one in series:
            alarm = Alarm(rule, *states.get(one.name, (False, 0, 0)))
            step = alarm.step(one.p_value, large=one.large)
            alarms[one.name] = alarm
            if step:
                says = one.says if step == "raised" else f"back to what it was: {one.says}"
                events.append(Event(plan.name, one.name, step, begin, end, _real(one.p_value), one.effect, says))
        return alarms, events

    def _typical(self, plan: Plan, pane: Pane) -> float:
        before = self.store.panes(plan.name, pane.start - 24 * plan.slide, pane.start)
        filled = [p.profile.rows for p in before if p.profile.rows]
        return float(sum(filled) / len(filled)) if filled else 0.0


@dataclass(slots=True)
class _Scores:
    """A window in which the score is a column like any other."""

    window: Any

    @property
    def kinds(self) -> Mapping[str, Any]:
        return {t.SCORE: "number"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.window, name)


def _pane(plan: Plan, log: Log, start: int, reference: Profile) -> Pane:
    """Read one pane of the log into counts over the reference's bins."""
    end = start + plan.slide
    says = f"{plan.name}, {text(start)} to {text(end)}"
    scores = _score_bins(reference)
    if log.last is not None and start >= _seconds(log.last) + 1:  # nothing is that new: there is no need to look
        empty = Performance(0.0, 0.0, 0.0, 0.0, np.zeros((scores.size if scores else 0, 2, 3)))
        return Pane(plan.name, start, end, Profile(0.0, {}, says=says), empty)
    window = log.window(_moment(start), _moment(end))
    bins: dict[str, Bins] = {n: b for n, b in reference.bins.items() if n != SCORE}
    profile = profiling.measure(window, bins)
    if scores is not None:
        scored = profiling.measure(_Scores(window), {t.SCORE: scores}).columns[t.SCORE]
        profile = replace(profile, columns={**profile.columns, SCORE: replace(scored, name=SCORE)})
    return Pane(plan.name, start, end, replace(profile, says=says), estimation.measure(window, scores))


def _with(event: Event, introduction: str, more: str) -> Event:
    return replace(event, says=f"{event.says}; {introduction} {more}") if more else event


def _score_bins(reference: Profile) -> NumberBins | None:
    bins = reference.columns[SCORE].bins if SCORE in reference.columns else None
    return bins if isinstance(bins, NumberBins) else None


def _plan(name: str, settings: Monitor, site: Site) -> Plan:
    choose_model(site, settings.model)  # an unknown model is an error now, not at three in the morning

    def seconds(key: str, value: str) -> int:
        return int(length(value, option=f"{site.file}: monitor.{name}.{key}").total_seconds())

    window = seconds("window", settings.window)
    slide = seconds("slide", settings.slide) if settings.slide else window
    if slide < 1 or window % slide:
        raise SiteFileError(
            f"{site.file}: monitor.{name}: {settings.window} is no whole number of slides of {settings.slide}",
            hint='for example window = "1d", slide = "1h"',
        )
    return Plan(
        name,
        settings,
        window,
        slide,
        seconds("delay", settings.delay),
        seconds("label_horizon", settings.label_horizon),
    )


def store_path(site: Site, given: Path | None) -> Path:
    """Return where the store is: as given, else ``.sickbay/watch.db`` beside the site file."""
    return given or site.base / ".sickbay" / "watch.db"


def _seconds(moment: datetime) -> int:
    return math.floor(moment.replace(tzinfo=UTC).timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _real(p_value: float | None) -> float:
    return math.nan if p_value is None else p_value
