"""A nightly pipeline as teams run it: Airflow, the shop's PostgreSQL, a partner's HTTP API, a warehouse on a volume.

Every part is real and listens on the loopback. It is always the night in the lab: the pipeline's time zone is one in
which it is past three now, so that the load of three o'clock has just been and the retraining of six is still to come.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sickbay.lab.systems import airflow, airflow_past, machine, postgres, rates_server
from sickbay.lab.systems.processes import LabError, Server, launch, listens, wait_until
from sickbay.lab.systems.proxy import Proxy

NIGHTLY, RETRAIN, RELOAD = "nightly_etl", "retrain_fraud_model", "reload_history"
DAGS = (NIGHTLY, RETRAIN, RELOAD)
DATABASE, ROLE, PASSWORD = "shop", "etl", "lab-etl-password"
WATCHER, WATCHER_PASSWORD = "sickbay", "lab-sickbay-password"
KEY = "lab-rates-key"
RATES_HOST, ORDERS_HOST = "rates.partner.internal", "orders-db.internal"
NIGHTS = 6
"""Nights before the last one that the past holds."""
ORDERS = 1200
MIN_ROWS = 300
LONG_AGO = timedelta(days=9)
WELL = {
    "status": 0, "hang": 0, "delay": 0.05, "version": "v1", "key": KEY, "refusal": 401, "schema": "", "fail_first": 0,
}  # fmt: skip
"""How the partner's API behaves when it is well; see ``rates_server.py``."""


@dataclass(slots=True)
class Pipeline:
    """The running system. Its tasks reach the database and the API through proxies, where a line can be cut."""

    directory: Path
    zone: str
    worker: machine.Machine
    database: postgres.Postgres
    to_database: Proxy
    to_api: Proxy
    api_port: int
    flow: airflow.Airflow
    api: Server | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def site_file(self) -> Path:
        """The site file of its user."""
        return self.directory / "sickbay.toml"

    @property
    def dags(self) -> Path:
        """The folder of the DAG files."""
        return self.directory / "repo" / "dags"

    @property
    def warehouse(self) -> Path:
        """The mounted volume, as tasks see it."""
        return self.directory / "warehouse"

    @property
    def staging(self) -> Path:
        """The worker's scratch disk, as tasks see it."""
        return self.directory / "staging"

    @property
    def packages(self) -> Path:
        """The packages of the environment that one task runs in."""
        return next((self.directory / "task-env").glob("lib/python*/site-packages"))

    @property
    def tonight(self) -> datetime:
        """Three o'clock of the last night that began."""
        return last(3, self.zone, datetime.now(UTC))

    @property
    def run(self) -> str:
        """The id of last night's run."""
        return f"scheduled__{self.tonight.isoformat()}"

    @property
    def day(self) -> str:
        """The day that last night loads."""
        return loaded(self.tonight, self.zone)

    @property
    def state(self) -> str:
        """State of last night's run, empty when there is none."""
        return airflow_past.runs(self.flow.home, NIGHTLY).get(self.run, "")

    def night(self, seconds: float = 150, *, until: Callable[[], bool] | None = None) -> None:
        """Let the scheduler run the night (again), and wait until the run has ended, or until something else is so."""
        self.forget_night()
        airflow_past.plan(self.flow.home, NIGHTLY, self.tonight)
        wait_until(until or self.ended, seconds, "the nightly run ending")

    def tasks(self) -> dict[str, str]:
        """Return task → state of last night's run."""
        return airflow_past.tasks(self.flow.home, NIGHTLY, self.run)

    def ended(self) -> bool:
        """Return whether last night's run has ended."""
        return self.state in ("success", "failed")

    def forget_night(self) -> None:
        """Take last night's run back, and what it loaded; one that has not ended is given up first."""
        if self.state in ("queued", "running"):
            self.give_up(NIGHTLY, self.run)
        airflow_past.forget(self.flow.home, NIGHTLY, self.run)
        shutil.rmtree(self.worker.outside(self.warehouse) / "orders" / f"date={self.day}", ignore_errors=True)
        shutil.rmtree(self.worker.outside(self.staging) / self.day, ignore_errors=True)

    def give_up(self, dag: str, run: str) -> None:
        """Mark a run as failed, as an administrator does, and wait until the scheduler has let go of it.

        A scheduler that finds a run gone which it is working on ends with an error.
        """
        began = datetime.now(UTC)
        wait_until(lambda: self._marked_failed(dag, run), 60, f"Airflow marking {run} as failed")
        scheduler = self.flow.servers["scheduler"]

        def let_go() -> bool:
            working = set(airflow_past.tasks(self.flow.home, dag, run).values()) & {"running", "queued"}
            beat = airflow_past.heartbeat(self.flow.home)
            return not scheduler.running() or (not working and beat > began + timedelta(seconds=1))

        wait_until(let_go, 60, f"the end of {run}")

    def _marked_failed(self, dag: str, run: str) -> bool:
        try:
            self.flow.ask(f"/dags/{dag}/dagRuns/{quote(run)}", {"state": "failed"}, method="PATCH")
        except LabError as error:
            if "Database error" not in str(error):
                raise
            return False  # SQLite has one writer at a time, and the scheduler was it
        return True

    def begin(self) -> None:
        """Note that something is about to be changed: the audit log from here on is taken back by healing."""
        self.since = datetime.now(UTC)

    def wait_healthy(self, seconds: float = 240) -> None:
        """Wait until everything answers, and run the night again if it did not succeed."""
        if not self.flow.servers["scheduler"].running():
            self.flow.launch("scheduler")
        self.flow.wait(seconds)
        if self.state != "success":
            self.forget_night()
        airflow_past.forget_audit(self.flow.home, self.since)
        self.since = datetime.now(UTC)
        if self.state != "success":
            self.night(seconds, until=self._ended_after_all)
        if self.state != "success":
            raise LabError(
                f"the healed pipeline failed again: {self.tasks()}", hint=f"its logs are below {self.flow.home}"
            )
        self._retrain_again(seconds)

    def _ended_after_all(self) -> bool:
        """Return whether last night's run has ended; a scheduler that ended first is started again.

        It does when a run is taken back that it has just begun, such as that of a DAG which is no longer paused.
        """
        if not self.flow.servers["scheduler"].running():
            self.flow.launch("scheduler")
        return self.ended()

    def _retrain_again(self, seconds: float) -> None:
        """Let the last retraining run again if it failed: a lab kept for hours meets its six o'clock, maybe broken."""
        six = last(6, self.zone, datetime.now(UTC))
        run, home = f"scheduled__{six.isoformat()}", self.flow.home

        def state() -> str:
            return airflow_past.runs(home, RETRAIN).get(run, "")

        def ended() -> bool:
            return state() in ("success", "failed")

        if state():
            wait_until(ended, seconds, "the retraining ending")
        if state() == "failed":
            airflow_past.forget(home, RETRAIN, run)
            airflow_past.plan(home, RETRAIN, six)
            wait_until(ended, seconds, "the retraining ending")
            if state() == "failed":
                raise LabError("the healed retraining failed again", hint=f"its logs are below {home}")

    def behave(self, **how: Any) -> None:
        """Let the partner's API behave so, and well in all else."""
        state = self.directory / ".lab" / "rates.json"
        state.parent.mkdir(exist_ok=True)
        half = state.with_suffix(".new")
        half.write_text(json.dumps(WELL | how), encoding="utf-8")
        half.replace(state)

    def start_api(self) -> None:
        """Start the partner's API."""

        command: list[str | Path] = [
            sys.executable,
            rates_server.__file__,
            str(self.api_port),
            self.directory / ".lab" / "rates.json",
        ]
        self.api = launch("the rates API", command, log=self.directory / ".lab" / "rates.txt", cwd=self.directory)
        wait_until(lambda: listens(self.api_port), 30, "the rates API listening", self.api)

    def fill_orders(self, day: str, rows: int = ORDERS) -> None:
        """Write the shop's orders of a day, the same ones every time."""
        rng = random.Random(day)
        with self.database.connect(DATABASE) as con, con.cursor() as cursor:
            cursor.execute("DELETE FROM orders WHERE ordered_at >= %s AND ordered_at < %s::date + 1", [day, day])
            first = int(day.replace("-", "")) * 100_000
            with cursor.copy("COPY orders (order_id, customer_id, amount, currency, ordered_at) FROM STDIN") as copy:
                for k in range(int(rows * rng.uniform(0.9, 1.1))):
                    currency = rng.choices(("EUR", "USD", "GBP", "CHF"), (60, 20, 12, 8))[0]
                    at = f"{day}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
                    amount = f"{rng.lognormvariate(3.5, 0.8):.2f}"
                    copy.write_row((first + k, rng.randrange(1, 4000), amount, currency, at))

    def stop(self) -> None:
        """Stop everything."""
        with ExitStack() as stack:
            stack.callback(self.worker.stop)
            stack.callback(self.database.stop)
            stack.callback(self.to_database.close)
            stack.callback(self.to_api.close)
            if self.api is not None:
                stack.callback(self.api.stop)
            stack.callback(self.flow.stop)


def last(hour: int, zone: str, now: datetime) -> datetime:
    """Return the last time before ``now`` that it was this hour in a time zone, in UTC."""
    here = now.astimezone(ZoneInfo(zone))
    at = here.replace(hour=hour, minute=0, second=0, microsecond=0)
    return (at if at <= here else at - timedelta(days=1)).astimezone(UTC)


def loaded(planned: datetime, zone: str) -> str:
    """Return the day that a run planned for a time loads: the one before it."""
    return (planned.astimezone(ZoneInfo(zone)) - timedelta(days=1)).date().isoformat()
