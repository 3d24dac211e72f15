"""Apache Airflow over REST: health, pipelines, runs, tasks, logs, import errors, pools, what people changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from sickbay.errors import SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.redact import remember
from sickbay.registry import source
from sickbay.sources import airflow_records as records
from sickbay.sources import settings
from sickbay.sources.context import Check, Context
from sickbay.sources.once import Once
from sickbay.sources.replies import Http, Reply

SECONDS = 4.0
T = TypeVar("T")


class _Settings(settings.Settings):
    url: str
    username: str = ""
    password: str = ""
    token: str = ""
    verify: bool = True
    dags: tuple[str, ...] = ()
    deadline: str = ""
    code: str = ""
    packages: str = ""


@source("airflow")
class Airflow:
    """Reads Apache Airflow over its REST interface: v2 of Airflow 3, else v1 of Airflow 2.

    Rights: the role Viewer is enough. With user and password a token is asked for once (Airflow 3); a ready ``token``
    is used as it is. Every answer is kept for the life of the client, so that probes share calls; once a call got no
    answer in time the others are not tried.
    """

    def __init__(self, given: _Settings, now: datetime, base: Path) -> None:
        self.url, self.now, self.dags = given.url.rstrip("/"), now, given.dags
        self.deadline = given.deadline
        self.code = base / given.code if given.code else None
        """Where the code of the pipelines lies, if it may be read here."""
        self.packages = base / given.packages if given.packages else None
        """The tasks' packages: a directory of installed ones, or a lock file."""
        self._given = given
        self._open = Http(given.url, verify=given.verify)
        self._http: Http | None = Http(given.url, token=given.token, verify=given.verify) if given.token else None
        self._version: int = 2
        self._once = Once()
        self._hung = ""

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names an Airflow."""
        return "airflow" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is sent yet. SiteFileError for an address that is none."""
        given = settings.read(context, "airflow", _Settings)
        settings.web_address(context, "airflow.url", given.url, "http://airflow:8080")
        return cls(given, context.until or context.now, context.site.base)

    def health(self, seconds: float = 3.0) -> Reply:
        """Ask the health page, which needs no login; its status is 200 whatever it says."""
        return self._once.get("health", lambda: self._health(seconds))

    def pipelines(self) -> list[records.Dag]:
        """Return the pipelines, also those whose file does not import any more."""
        more = {"exclude_stale": "false"} if self.version == 2 else {"only_active": "false"}
        return [records.dag(row) for row in self._rows("/dags", "dags", limit=200, **more)]

    def runs(self, dag: str = "~", limit: int = 100) -> list[records.Run]:
        """Return the newest runs of one pipeline or of all, newest first."""
        order = "-run_after" if self.version == 2 else "-execution_date"
        return [
            records.run(row)
            for row in self._rows(f"/dags/{quote(dag)}/dagRuns", "dag_runs", limit=limit, order_by=order)
        ]

    def tasks(self, dag: str, run: str) -> list[records.Task]:
        """Return the tasks of a run."""
        path = f"/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}/taskInstances"
        return [records.task(row) for row in self._rows(path, "task_instances", limit=200)]

    def log(self, task: records.Task, attempt: int) -> list[records.LogLine]:
        """Return the log of one try of a task; empty for a try that left none."""
        path = (
            f"/dags/{quote(task.dag)}/dagRuns/{quote(task.run, safe='')}/taskInstances/{quote(task.id)}/logs/{attempt}"
            f"?map_index={task.index}&full_content=true"
        )
        try:
            body = self._ask(path)
        except _Missing:
            return []
        return records.log_lines(body.get("content"))

    def import_errors(self) -> list[records.BrokenFile]:
        """Return the files of pipelines that cannot be imported."""
        return [records.broken_file(row) for row in self._rows("/importErrors", "import_errors", limit=50)]

    def pools(self) -> list[records.Pool]:
        """Return the pools of slots."""
        return [records.pool(row) for row in self._rows("/pools", "pools", limit=100)]

    def events(self, limit: int = 200, **only: str) -> list[records.Event]:
        """Return the newest entries of the event log, newest first; ``only`` filters, such as ``dag_id``."""
        path = "/eventLogs"
        return [records.event(row) for row in self._rows(path, "event_logs", limit=limit, order_by="-when", **only)]

    def events_since(self, after: datetime, most: int = 600) -> tuple[list[records.Event], bool]:
        """Return what people did after an instant, newest first, at most ``most``, and whether that is all of it.

        What tasks and the scheduler do by themselves is left out by the server, else a busy hour hides a night.
        """
        only: dict[str, Any] = {"after": after.isoformat()}
        only["excluded_events"] = records.ROUTINE if self.version == 2 else ",".join(records.ROUTINE)
        try:
            return self._back_to(after, most, only)
        except SourceGarbled:
            if self.version == 2:
                raise
            return self._back_to(after, most, {})  # before Airflow 2.9 these filters are refused

    def _back_to(self, after: datetime, most: int, only: Mapping[str, Any]) -> tuple[list[records.Event], bool]:
        found: list[records.Event] = []
        while len(found) < most:
            asked = {"limit": 100, "order_by": "-when", **only} | ({"offset": len(found)} if found else {})
            body = self._ask(f"/eventLogs?{urlencode(asked, doseq=True)}")
            rows = _listed(body, "/eventLogs", "event_logs")
            found += [records.event(row) for row in rows]
            total, oldest = body.get("total_entries"), found[-1].at if found else None
            if not rows or (isinstance(total, int) and len(found) >= total) or (oldest and oldest <= after):
                return found, True
        return found, False

    def code_versions(self, dag: str) -> list[tuple[int, datetime | None]]:
        """Return the versions of a pipeline's structure and when each came; Airflow 2 has none."""
        if self.version != 2:
            return []
        found = self._rows(f"/dags/{quote(dag)}/dagVersions", "dag_versions", limit=50, order_by="-version_number")
        return [(int(row.get("version_number") or 0), records.instant(row.get("created_at"))) for row in found]

    def code_of(self, dag: str, version: int) -> str:
        """Return the code of a version of a pipeline; empty where it is not kept."""
        try:
            return str(self._ask(f"/dagSources/{quote(dag)}?version_number={version}").get("content") or "")
        except _Missing:
            return ""

    @property
    def version(self) -> int:
        """2 for the interface of Airflow 3, 1 for that of Airflow 2; logs in. SourceError when nothing answers."""
        self._once.get("login", self._login)
        return self._version

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what ``make`` returns, made once for all probes; an error it raises is kept and raised again."""
        return self._once.get(name, make)

    def check(self) -> list[Check]:
        """Return what of it answers, and what the login may read."""
        health = self.health()
        checks = [Check("airflow health", health.ok and isinstance(health.body, dict), health.says)]
        tried: list[tuple[str, Callable[[], list[Any]]]] = [
            ("pipelines", self.pipelines), ("runs", self.runs), ("event log", self.events), ("pools", self.pools),
            ("import errors", self.import_errors),
        ]  # fmt: skip
        for name, call in tried:
            try:
                checks.append(Check(f"airflow {name}", True, f"{len(call())} read"))
            except SourceError as error:
                checks.append(Check(f"airflow {name}", False, str(error)))
        return checks

    def close(self) -> None:
        """Give back connections."""
        self._open.close()
        if self._http is not None:
            self._http.close()

    def _health(self, seconds: float) -> Reply:
        reply = self._open.ask("/api/v2/monitor/health", seconds=seconds, what="health")
        return self._open.ask("/api/v1/health", seconds=seconds, what="health") if reply.status == 404 else reply

    def _login(self) -> None:
        """Find out which interface speaks here and log in; SourceError when neither works."""
        reply = self._open.ask("/api/v2/version", seconds=SECONDS, what="version")
        if reply.status == 404:
            self._version = 1
            if self._http is None:
                login = (self._given.username, self._given.password) if self._given.username else None
                self._http = Http(self._given.url, login=login, verify=self._given.verify)
            return
        if not reply.ok:
            raise _error(reply)
        if not isinstance(reply.body, dict) or "version" not in reply.body:
            raise SourceGarbled(f"garbled: {reply.says}: what answers there is no Airflow")
        if self._http is None:
            self._http = Http(self._given.url, token=self._token(), verify=self._given.verify)

    def _token(self) -> str:
        if not self._given.username:
            return ""
        asked = {"username": self._given.username, "password": self._given.password}
        reply = self._open.ask("/auth/token", body=asked, seconds=SECONDS, what="login")
        if not reply.ok:
            raise _error(reply)
        token = reply.body.get("access_token") if isinstance(reply.body, dict) else None
        if not token:
            raise SourceGarbled(f"garbled: {reply.says}: the answer to the login carries no token")
        remember(str(token))
        return str(token)

    def _rows(self, path: str, key: str, **asked: Any) -> list[dict[str, Any]]:
        body = self._ask(f"{path}?{urlencode(asked, doseq=True)}")
        return _listed(body, path, key)

    def _ask(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self._once.get(path, lambda: self._get(path))
        return found

    def _get(self, path: str) -> dict[str, Any]:
        prefix = f"/api/v{self.version}"
        if self._hung:
            raise SourceTimeout(self._hung)
        assert self._http is not None
        reply = self._http.ask(prefix + path, seconds=SECONDS, what=path.partition("?")[0])
        if reply.status == 404:
            raise _Missing(f"no data: {reply.says}")
        if not reply.ok:
            if reply.state == "timed out":
                self._hung = f"timed out: {reply.says}; nothing more was asked"
            raise _error(reply)
        if not isinstance(reply.body, dict):
            raise SourceGarbled(f"garbled: {reply.says}: no JSON")
        return reply.body


def _listed(body: Mapping[str, Any], path: str, key: str) -> list[dict[str, Any]]:
    found = body.get(key)
    if not isinstance(found, list):
        raise SourceGarbled(f"garbled: {path}: the answer has no {key}")
    return [row for row in found if isinstance(row, dict)]


class _Missing(SourceError):
    """What was asked for is not there: 404."""


def _error(reply: Reply) -> SourceError:
    """Return the error that a reply without an answer stands for."""
    detail = _detail(reply)
    if reply.status in (401, 403):
        return SourceForbidden(f"forbidden: {reply.says}{detail}")
    if reply.state == "timed out":
        return SourceTimeout(f"timed out: {reply.says}")
    if reply.state == "certificate":
        return SourceForbidden(f"forbidden: {reply.says}: its certificate is not accepted")
    if reply.is_page or 300 <= reply.status < 400 or (reply.status and reply.status < 500):
        return SourceGarbled(f"garbled: {reply.says}{detail}: what answers there is no Airflow")
    return SourceError(f"unreachable: {reply.says}{detail}")


def _detail(reply: Reply) -> str:
    body = reply.body
    found = body.get("detail") if isinstance(body, Mapping) else None
    return f" ({str(found)[:160]})" if found else ""
