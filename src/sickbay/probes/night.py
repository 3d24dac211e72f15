"""The night of a scheduler: which pipeline is sick, since when, which task failed by itself, and what it said.

Shared by the probes of pipelines; read once an investigation.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sickbay.errors import SourceError
from sickbay.sources.airflow import Airflow
from sickbay.sources.airflow_records import UNFINISHED, Dag, LogLine, Run, Task

OVERDUE = timedelta(minutes=5)
"""A run that is due and not there for this long is missed; the scheduler needs some seconds in health."""
FORGOTTEN = timedelta(days=2)
"""A pipeline that has been paused for longer is meant to rest, unless the site names it."""
ORDER = ("failing", "stuck", "retrying", "broken file", "paused", "overdue", "active", "well", "never ran")
SICK = ORDER[:6]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline and how its last runs went, newest first.

    ``state``: failing (its last ended run failed), stuck (a run takes far longer than any before), retrying (a task
    failed and will be tried again), broken file, paused (and a run is due), overdue (a due run is not there), active,
    well, never ran.
    """

    dag: Dag
    runs: tuple[Run, ...]
    state: str

    @property
    def sick(self) -> bool:
        """Whether it did not deliver, or may not."""
        return self.state in SICK

    @property
    def good(self) -> Run | None:
        """The last run that succeeded before it went wrong."""
        return next((run for run in self.runs if run.state == "success"), None)

    @property
    def bad(self) -> tuple[Run, ...]:
        """The runs since the last good one, newest first."""
        count = next((i for i, run in enumerate(self.runs) if run.state == "success"), len(self.runs))
        return self.runs[:count]

    @property
    def usual(self) -> tuple[float, ...]:
        """Seconds that its good runs took, newest first."""
        return tuple(run.seconds for run in self.runs if run.state == "success" and run.seconds is not None)


@dataclass(frozen=True, slots=True)
class Night:
    """All pipelines, the one that is looked at closely, and its run in question with its tasks."""

    pipelines: tuple[Pipeline, ...]
    focus: Pipeline | None
    run: Run | None
    tasks: tuple[Task, ...]
    culprit: Task | None
    """The task that failed by itself, the first of them; those behind it are only ``upstream_failed``."""
    now: datetime

    @property
    def attempt(self) -> int:
        """The latest try of the culprit that failed, counted from 1."""
        if self.culprit is None:
            return 0
        tries = self.culprit.tries
        return max(1, tries - 1 if self.culprit.state in ("running", "queued", "scheduled") and tries > 1 else tries)


def read(airflow: Airflow) -> Night:
    """Return the night as the scheduler tells it; SourceError when it cannot be read."""
    return airflow.once("night", lambda: _read(airflow))


def log(airflow: Airflow) -> list[LogLine]:
    """Return the log of the culprit's last failed try; empty when it left none."""
    night = read(airflow)
    if night.culprit is None:
        raise SourceError("no data: no task failed by itself")
    return airflow.log(night.culprit, night.attempt)


def good_lines(airflow: Airflow, night: Night) -> list[str]:
    """Return the lines that the culprit wrote in the last good run; empty where they are not kept."""
    culprit, good = night.culprit, night.focus.good if night.focus else None
    if culprit is None or good is None:
        return []
    try:
        same = [
            task for task in airflow.tasks(good.dag, good.id) if (task.id, task.index) == (culprit.id, culprit.index)
        ]
        return [line.text for line in airflow.log(same[0], max(1, same[0].tries))] if same else []
    except SourceError:
        return []


def good_tasks(airflow: Airflow, night: Night, most: int = 5) -> list[tuple[Run, list[Task]]]:
    """Return the tasks of the last good runs of the pipeline looked at."""
    if night.focus is None:
        return []
    runs = [run for run in night.focus.runs if run.state == "success"][:most]
    if not runs:
        return []
    with ThreadPoolExecutor(len(runs)) as pool:
        return list(zip(runs, pool.map(lambda run: airflow.tasks(run.dag, run.id), runs), strict=True))


def _read(airflow: Airflow) -> Night:
    assert airflow.version
    with ThreadPoolExecutor(8) as pool:
        listed = pool.submit(airflow.pipelines)
        if airflow.dags:
            found = [run for runs in pool.map(lambda name: airflow.runs(name, 40), airflow.dags) for run in runs]
        else:
            found = airflow.runs()
        dags = [dag for dag in listed.result() if _meant(airflow, dag)]
    if not dags:
        raise SourceError(
            "no data: there is no such pipeline" if airflow.dags else "no data: there is no pipeline that is not paused"
        )
    by_dag: dict[str, list[Run]] = {dag.id: [] for dag in dags}
    for one in found:
        if one.dag in by_dag:
            by_dag[one.dag].append(one)
    pipelines = [_pipeline(dag, by_dag[dag.id], airflow.now) for dag in dags]
    pipelines.sort(key=_urgency)
    focus = pipelines[0]
    run = _in_question(focus)
    tasks = airflow.tasks(run.dag, run.id) if run is not None else []
    if focus.state == "active" and any(_failed_once(task) for task in tasks):
        focus = Pipeline(focus.dag, focus.runs, "retrying")
        pipelines[0] = focus
    return Night(tuple(pipelines), focus, run, tuple(tasks), _culprit(tasks), airflow.now)


def _urgency(one: Pipeline) -> tuple[int, bool, float, str]:
    """Order pipelines: the sick first, those with a schedule first, and of those that fail the one that began it."""
    began = one.bad[-1].after if one.state == "failing" else None
    return ORDER.index(one.state), one.dag.next_run is None, began.timestamp() if began else 0.0, one.dag.id


def _in_question(focus: Pipeline) -> Run | None:
    """Return the run to look at: the failed one, else the one under way."""
    if focus.state == "failing":
        return next(run for run in focus.runs if run.state == "failed")
    if focus.state in ("stuck", "active"):
        return focus.runs[0]
    return None


def _meant(airflow: Airflow, dag: Dag) -> bool:
    """Return whether a pipeline is meant to run: named by the site, or not paused, or paused since its last due run."""
    if airflow.dags:
        return dag.id in airflow.dags
    return not dag.paused or (dag.next_run is not None and timedelta() < airflow.now - dag.next_run < FORGOTTEN)


def _pipeline(dag: Dag, runs: Sequence[Run], now: datetime) -> Pipeline:
    ordered = tuple(sorted(runs, key=lambda run: run.after or run.queued or now, reverse=True))
    return Pipeline(dag, ordered, _state(dag, ordered, now))


def _state(dag: Dag, runs: tuple[Run, ...], now: datetime) -> str:
    ended = [run for run in runs if run.state in ("success", "failed")]
    if ended and ended[0].state == "failed":
        return "failing"
    if runs and runs[0].state in UNFINISHED:
        return "stuck" if slowness(runs, now) > 4 else "active"
    if dag.has_import_errors or dag.stale:
        return "broken file"
    if dag.next_run is not None and now - dag.next_run > OVERDUE:
        return "paused" if dag.paused else "overdue"
    return "well" if ended else "never ran"


def slowness(runs: Sequence[Run], now: datetime) -> float:
    """Return how many times longer than the longest good run the unfinished one takes; 0 when it cannot be said.

    Short pipelines get a quarter of a minute: the scheduler alone may take that long.
    """
    usual = [run.seconds for run in runs if run.state == "success" and run.seconds is not None]
    newest = runs[0]
    since = newest.started or newest.queued
    if not usual or since is None:
        return 0.0
    return (now - since).total_seconds() / max(15.0, *usual)


def _failed_once(task: Task) -> bool:
    return task.state in ("failed", "up_for_retry") or (
        task.state in ("running", "queued", "scheduled") and task.tries > 1
    )


def _culprit(tasks: Sequence[Task]) -> Task | None:
    failed = [task for task in tasks if _failed_once(task)]
    far = datetime.max
    return min(failed, key=lambda t: ((t.started or t.ended or far).replace(tzinfo=None), t.id), default=None)
