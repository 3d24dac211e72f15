"""The loop: start the probes that promise most, take their findings in as they come, stop when the answer stands."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from os import environ as os_environ
from pathlib import Path
from typing import Any

from sickbay.config import Site, choose_model, load_site
from sickbay.engine import belief as beliefs
from sickbay.engine import network, planner, stopping
from sickbay.errors import UnknownNameError, UserError
from sickbay.investigation import runner
from sickbay.investigation.connections import Connections
from sickbay.investigation.events import Event, Leading, ProbeEnded, ProbeStarted
from sickbay.investigation.verdict import write
from sickbay.knowledge import loader
from sickbay.registry import KINDS, PROBES
from sickbay.sources.context import TOO_HEAVY, Context
from sickbay.terms import window
from sickbay.terms.cause import STRENGTHS, Cause, Knowledge, Scenario
from sickbay.terms.diagnosis import Diagnosis, Stopped
from sickbay.terms.probe import Probe

WORKERS = 4
PATIENCE = 0.05
"""Seconds between looks at deadlines while nothing arrives."""


@dataclass(slots=True)
class State:
    """One investigation under way."""

    knowledge: Knowledge
    scenarios: tuple[Scenario, ...]
    """The one the person arrived with; else those whose symptom can be looked for on this site."""
    connections: Connections
    belief: beliefs.Belief
    probes: dict[str, Probe]
    waiting: dict[str, Probe]
    not_runnable: dict[str, str]
    mode: planner.Mode
    workers: int
    until: float | None
    watcher: Callable[[Event], None] | None
    watcher_failed: str = ""
    """What ``on_event`` raised: it is not called again, and the diagnosis says so."""
    running: dict[str, runner.Run] = field(default_factory=dict)
    done: list[runner.Run] = field(default_factory=list)
    inbox: queue.SimpleQueue[runner.Run] = field(default_factory=queue.SimpleQueue)

    def tell(self, event: Event) -> None:
        """Tell the watcher, unless it has failed before."""
        watcher = self.watcher
        if watcher is not None and not self.watcher_failed:
            self.watcher_failed = runner.attempt(lambda: watcher(event))


def investigate(
    site: Site | Mapping[str, Any] | str | Path | None = None,
    scenario: str | None = None,
    *,
    model: str | None = None,
    since: str | datetime | timedelta | None = None,
    until: str | datetime | None = None,
    budget: str | float | None = None,
    mode: planner.Mode = "balanced",
    workers: int = WORKERS,
    on_event: Callable[[Event], None] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Diagnosis:
    """Find out why the system of a site is sick; returns the diagnosis.

    ``site`` is a path, a dict with the keys of the site file (tables may be in memory), a Site, or None for
    ``sickbay.toml``. ``scenario`` None: from the symptoms. ``since`` is ``"7d"``, an instant or a timedelta; ``budget``
    seconds or ``"60s"``. An ``on_event`` that raises is not called again. Ctrl-C ends it with what is known so far.

    Raises UserError when the site, its tables, or an argument have to be fixed.
    """
    began = time.monotonic()
    now = (clock or (lambda: datetime.now(UTC)))()
    env = os_environ if environ is None else environ
    if mode not in planner.FLOORS:
        raise UserError(f"there is no mode {mode!r}", hint=f"modes: {', '.join(planner.FLOORS)}")
    limit = window.budget(budget)
    loaded = load_site(site, env, directory or Path.cwd())
    name = choose_model(loaded, model)[0] if loaded.model or model else None
    context = Context(loaded, now, name, window.since(since), window.until(until), env, mode == "gentle")
    knowledge = loader.load()
    chosen = choose_scenario(knowledge, scenario) if scenario is not None else None
    connections = Connections(context)
    try:
        state = _prepare(knowledge, chosen, connections, mode, workers, on_event)
        state.until = None if limit is None else began + limit
        stopped = _run(state)
        settings = _settings(context, mode, limit)
        if chosen is None:
            settings["scenario"] = "not given: taken from the symptoms"
        if state.watcher_failed:
            settings["on_event"] = f"was not called again after it raised {state.watcher_failed}"
        return write(state, stopped, now, time.monotonic() - began, settings)
    finally:
        connections.close()


def choose_scenario(knowledge: Knowledge, name: str) -> Scenario:
    """Return the scenario of that name; UnknownNameError with the nearest one."""
    if name not in knowledge.scenarios:
        raise UnknownNameError(
            f"there is no scenario called {name!r}", hint=loader.explain_missing(name, knowledge.scenarios)
        )
    return knowledge.scenarios[name]


def _prepare(
    knowledge: Knowledge,
    scenario: Scenario | None,
    connections: Connections,
    mode: planner.Mode,
    workers: int,
    on_event: Callable[[Event], None] | None,
) -> State:
    probes = dict(PROBES.load())
    kinds = KINDS.load()
    lacking = {name: connections.lacking(probe) for name, probe in probes.items()}
    not_runnable = {
        name: f"no data: the site file names no {', '.join(kind)}" for name, kind in lacking.items() if kind
    }
    if mode == "gentle":
        heavy = (name for name, probe in probes.items() if probe.load == "heavy" and name not in not_runnable)
        not_runnable |= dict.fromkeys(heavy, TOO_HEAVY)
    runnable = {name: probe for name, probe in probes.items() if name not in not_runnable}
    if any("predictions" in probe.sources.values() for probe in runnable.values()):
        connections.get("predictions")  # a table to be fixed ends the run; other systems connect when a probe asks
    scenarios = (scenario,) if scenario is not None else _in_question(knowledge, runnable)
    causes = _possible(knowledge, scenarios, runnable)
    built = network.build(causes, kinds, scenario=scenario.id if scenario is not None else None)
    return State(
        knowledge, scenarios, connections, beliefs.Belief(built), probes, dict(runnable), not_runnable, mode,
        max(1, workers), None, on_event,
    )  # fmt: skip


def _in_question(knowledge: Knowledge, runnable: Mapping[str, Probe]) -> tuple[Scenario, ...]:
    """Return the scenarios whose symptom a probe can look for on this site; all where none can."""
    if not knowledge.scenarios:
        raise UserError("no knowledge is installed: there is no scenario to investigate")
    measurable = {kind.id for probe in runnable.values() for kind in probe.findings}
    known = tuple(knowledge.scenarios.values())
    return tuple(scenario for scenario in known if scenario.symptom in measurable) or known


def _possible(knowledge: Knowledge, scenarios: tuple[Scenario, ...], runnable: Mapping[str, Probe]) -> list[Cause]:
    """Return the scenarios' causes, and those of others that could be told on this site.

    That is: every sign that they always show can be measured here, and half of their usual ones.
    """
    asked = {scenario.id for scenario in scenarios}
    measurable = {kind.id for probe in runnable.values() for kind in probe.findings}

    def tellable(cause: Cause) -> bool:
        always, usual = (
            [name for name, link in cause.shows.items() if link.strength >= STRENGTHS[word]]
            for word in ("always", "often")
        )
        share = sum(name in measurable for name in usual) / max(1, len(usual))
        return all(name in measurable for name in always) and share >= 0.5

    causes = knowledge.seen_from(scenarios[0].id) if len(scenarios) == 1 else knowledge.causes
    return [cause for cause in causes.values() if cause.scenario in asked or tellable(cause)]


def _run(state: State) -> Stopped:
    try:
        for name in dict.fromkeys(name for scenario in state.scenarios for name in scenario.first):
            if name in state.waiting and not _out_of_time(state):
                _start(state, name)
        while True:
            stage = _stage(state)
            if _out_of_time(state):
                _give_up_all(state, "timed out: the time budget was used up")
                return "budget"
            if stage == "settled" and not state.running:
                return "confident"
            started = stage != "settled" and _start_best(state, stage)
            if not state.running and not started:
                return "confident" if stage == "answered" else _out_of_choices(state)
            _collect(state)
    except KeyboardInterrupt:
        _give_up_all(state, "interrupted: the investigation was stopped by hand")
        return "interrupted"


def _stage(state: State) -> stopping.Stage:
    """Return how far the belief has come: open while nothing was measured, however unlikely every cause may be."""
    if not any(finding.status == "measured" for finding in state.belief.taken.values()):
        return "open"
    return stopping.stage(state.belief)


def _out_of_choices(state: State) -> Stopped:
    """Nothing more is worth starting: exhausted, unless only time kept probes from starting."""
    if state.until is None:
        return "exhausted"
    left = state.until - time.monotonic()
    return "budget" if any(probe.seconds > left for probe in state.waiting.values()) else "exhausted"


def _start_best(state: State, stage: stopping.Stage) -> bool:
    """Fill the free slots with the best choices; after an answer one slot at a time, for a second fault."""
    slots = state.workers if stage == "open" else 1
    started = False
    while len(state.running) < slots and state.waiting:
        left = None if state.until is None else state.until - time.monotonic()
        choices = planner.plan(
            state.belief,
            [_candidate(probe) for probe in state.waiting.values()],
            in_flight=[_candidate(run.probe) for run in state.running.values()],
            mode=state.mode,
            seconds_left=left,
        )
        if not choices:
            break
        _start(state, choices[0].name)
        started = True
    return started


def _candidate(probe: Probe) -> planner.Candidate:
    return planner.Candidate(probe.name, tuple(kind.id for kind in probe.findings), probe.seconds)


def _start(state: State, name: str) -> None:
    probe = state.waiting.pop(name)
    state.tell(ProbeStarted(name))
    state.running[name] = runner.start(probe, state.connections, {}, state.inbox.put)


def _collect(state: State) -> None:
    """Wait for one probe to end or to pass its deadline, and take in what it found."""
    try:
        run: runner.Run | None = state.inbox.get(timeout=PATIENCE)
    except queue.Empty:
        run = None
    if run is not None and state.running.get(run.probe.name) is run:
        _take(state, run)
    now = time.monotonic()
    for overdue in [r for r in state.running.values() if now - r.started > r.probe.deadline]:
        runner.give_up(overdue, f"timed out: no answer within {overdue.probe.deadline:.0f} s")
        _take(state, overdue)


def _take(state: State, run: runner.Run) -> None:
    state.running.pop(run.probe.name, None)
    state.done.append(run)
    for change in run.changes:
        state.belief.take_change(change)
    for finding in run.findings.values():
        state.belief.take(finding)
    state.tell(ProbeEnded(run.probe.name, tuple(run.findings.values()), run.seconds))
    ranked = beliefs.summary(state.belief)
    best = next(iter(ranked.items()), ("", 0.0))
    none = state.belief.none()
    state.tell(Leading(*best) if best[1] >= none else Leading("", none))


def _give_up_all(state: State, reason: str) -> None:
    for run in list(state.running.values()):
        runner.give_up(run, reason)
        _take(state, run)


def _out_of_time(state: State) -> bool:
    return state.until is not None and time.monotonic() >= state.until


def _settings(context: Context, mode: str, limit: float | None) -> dict[str, Any]:
    return {
        "site": context.site.file,
        "model": context.model,
        "since": str(context.since) if context.since is not None else None,
        "until": context.until,
        "mode": mode,
        "budget": limit,
    }
