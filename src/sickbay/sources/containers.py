"""Containers of this host: Docker's (or Podman's) API over its socket, or a CRI through ``crictl``."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import pod_metrics, settings
from sickbay.sources.container_records import POD, cri_pod, docker_pod, newest_runs
from sickbay.sources.context import Check, Context
from sickbay.sources.kubernetes_objects import Pod
from sickbay.sources.replies import Http

if TYPE_CHECKING:
    import httpx

SECONDS = 6.0
DOCKER = "/var/run/docker.sock"


class _Settings(settings.Settings):
    socket: str = ""
    runtime: str = ""
    crictl: str = "crictl"
    name: str = ""


@source("containers")
class Containers:
    """Reads containers of this host: ``[source.containers] socket = "/var/run/docker.sock"``, or ``runtime = "cri"``.

    ``name`` chooses the containers whose name holds it. They are shown as the pods that Kubernetes would show, so that
    probes of pods read them too. Rights: reading the socket, which on most hosts means the group ``docker`` or root.
    Only GET requests are sent; of ``crictl`` only ``ps``, ``inspect`` and ``logs`` are run.
    """

    def __init__(self, given: _Settings, now: datetime) -> None:
        self._given, self.cri, self.now = given, given.runtime == "cri", now
        self._socket = given.socket or DOCKER
        self._scraped: dict[str, Http] = {}

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site says that its services run in containers of this host."""
        return "containers" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a reader; SiteFileError for a runtime that is not known, SourceError where there is no socket."""
        given = settings.read(context, "containers", _Settings)
        if given.runtime not in ("", "docker", "cri"):
            raise SiteFileError(
                f"{context.site.file}: 'source.containers.runtime' is {given.runtime!r}", hint='"docker" or "cri"'
            )
        reader = cls(given, context.now)
        if reader.cri and shutil.which(given.crictl) is None:
            raise SourceError(f"not applicable: there is no {given.crictl} on this host")
        if not reader.cri and not Path(reader._socket).exists():
            raise SourceError(f"unreachable: there is no socket {reader._socket}; name another as socket")
        return reader

    @property
    def about(self) -> str:
        """What is looked at, in words."""
        return f"the containers {self._given.name}" if self._given.name else "all containers of this host"

    def pods(self) -> list[Pod]:
        """Return the containers whose name holds the name of the site, running or ended; read afresh."""
        return self._by_cri(self._given.name) if self.cri else self._by_docker(self._given.name)

    def neighbours(self) -> list[Pod]:
        """Return all containers of this host."""
        return self._by_cri("") if self.cri else self._by_docker("")

    def log(self, pod: str, container: str = "", *, previous: bool = False, lines: int = 2000) -> list[str] | None:
        """Return the last lines of a container's log, each with its time; None when there is no such run."""
        if self.cri:
            return self._cri_log(pod, container or pod, previous, lines)
        asking = f"/containers/{quote(container or pod)}/logs?stdout=1&stderr=1&timestamps=1&tail={lines}"
        try:
            one = self._docker(container or pod, ())
            (now,) = one.containers
            if previous:
                end = self._docker(one.uid, self._events([one.uid])).containers[0].last
                if end is None or now.started is None:
                    return None
                begun = f"&since={end.started.timestamp():.6f}" if end.started else ""
                asking += f"{begun}&until={now.started.timestamp():.6f}"
            elif now.started is not None:
                asking += f"&since={now.started.timestamp():.6f}"
            return unframed(self._ask(asking).content)
        except LookupError:
            return None

    def metrics(self, pod: Pod, seconds: float = 2.0) -> pod_metrics.Scrape:
        """Return what a container says of itself, where its labels say that Prometheus is to read it."""
        if not pod.scrape:
            raise SourceError(f"no data: the container {pod.name} has no label prometheus.io/scrape with an address")
        scheme, _, rest = pod.scrape.partition("://")
        base, _, path = rest.partition("/")
        if base not in self._scraped:
            self._scraped[base] = Http(f"{scheme}://{base}")
        return pod_metrics.scrape(self._scraped[base], f"/{path}", seconds=seconds)

    def follow(self, seconds: float) -> Iterator[Pod]:
        """Yield the containers as they change for a while."""
        end = time.monotonic() + seconds
        known: dict[str, Pod] = {}
        while time.monotonic() < end:
            for pod in self.pods():
                if known.get(pod.name) != pod:
                    known[pod.name] = pod
                    yield pod
            time.sleep(min(0.3, max(0.0, end - time.monotonic())))

    def _by_docker(self, name: str) -> list[Pod]:
        listed = self._get("/containers/json?all=1")
        if not isinstance(listed, list):
            raise SourceGarbled(f"{self._socket} does not answer as Docker does")
        mine = [
            str(one["Id"]) for one in listed
            if isinstance(one, dict) and any(name in str(called).lstrip("/") for called in one.get("Names") or ())
        ]  # fmt: skip
        events, found = self._events(mine) if mine else [], []
        for identity in mine:
            try:
                found.append(self._docker(identity, events))
            except LookupError:
                continue  # it was removed between the list and the look
        return found

    def _docker(self, identity: str, events: Sequence[Mapping[str, Any]]) -> Pod:
        return docker_pod(self._get(f"/containers/{quote(identity)}/json"), events, platform.node())

    def _events(self, identities: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return what the engine still knows of starts, ends and kills of the last day; it keeps some hundreds."""
        asked = json.dumps({"type": ["container"], "container": list(identities), "event": ["start", "oom", "die"]})
        until = datetime.now(UTC).timestamp()
        path = f"/events?since={until - 86_400:.0f}&until={until:.3f}&filters={quote(asked)}"
        try:
            found = [json.loads(line) for line in self._ask(path).text.splitlines() if line.strip()]
        except (SourceError, ValueError):
            return []  # a proxy before the socket may refuse them: the state alone then says what it still knows
        return sorted((one for one in found if isinstance(one, dict)), key=lambda one: int(one.get("timeNano") or 0))

    def _by_cri(self, name: str) -> list[Pod]:
        listed = self._run("ps", "-a", "-o", "json")
        runs = []
        for one in listed.get("containers") or ():
            if name in str((one.get("metadata") or {}).get("name", "")):
                runs.append(cri_pod(self._run("inspect", str(one["id"])), platform.node()))
        return newest_runs(runs)

    def _cri_log(self, pod: str, name: str, previous: bool, lines: int) -> list[str] | None:
        listed = self._run("ps", "-a", "-o", "json").get("containers") or ()
        runs = [
            one for one in listed
            if (one.get("metadata") or {}).get("name") == name and (one.get("labels") or {}).get(POD, pod) == pod
        ]  # fmt: skip
        runs.sort(key=lambda one: int((one.get("metadata") or {}).get("attempt") or 0))
        wanted = 2 if previous else 1
        if len(runs) < wanted:
            return None
        return self._text("logs", "--timestamps", "--tail", str(lines), str(runs[-wanted]["id"])).splitlines()

    def _get(self, path: str) -> Any:
        try:
            return self._ask(path).json()
        except ValueError:
            raise SourceGarbled(f"{self._socket} does not answer with JSON") from None

    def _ask(self, path: str) -> httpx.Response:
        import httpx

        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=self._socket), timeout=SECONDS) as client:
                answer = client.get(f"http://containers{path}")
        except httpx.TimeoutException:
            raise SourceTimeout(f"{self._socket} did not answer within {SECONDS:g} s") from None
        except httpx.HTTPError as error:
            if "Permission" in str(error):
                raise SourceForbidden(f"{self._socket} may not be opened by this user; join its group") from None
            raise SourceError(f"unreachable: {self._socket}: {str(error)[:160]}") from None
        if answer.status_code == 404 and path.startswith("/containers/") and path.count("/") > 2:
            raise LookupError(path)
        if answer.status_code != 200:
            raise SourceError(f"unreachable: {self._socket} answered {answer.status_code}: {answer.text[:160]}")
        return answer

    def _run(self, *words: str) -> Mapping[str, Any]:
        try:
            found = json.loads(self._text(*words))
        except ValueError:
            raise SourceGarbled(f"{self._given.crictl} does not answer with JSON") from None
        return found if isinstance(found, dict) else {}

    def _text(self, *words: str) -> str:
        place = ("--runtime-endpoint", self._given.socket) if self._given.socket else ()
        command = [self._given.crictl, *place, *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise SourceTimeout(f"{self._given.crictl} did not answer within {SECONDS:g} s") from None
        if done.returncode:
            said = " ".join(done.stderr.split())[:200]
            if "permission denied" in said.lower():
                raise SourceForbidden(f"{self._given.crictl} may not open the runtime's socket: {said}")
            raise SourceError(f"unreachable: {self._given.crictl}: {said}")
        return done.stdout

    def check(self) -> list[Check]:
        """Return whether the runtime answers, and how many containers it shows."""
        try:
            found = self.pods()
        except SourceError as error:
            return [Check("containers", False, str(error))]
        return [Check("containers", True, f"{len(found)} of {self.about}")]

    def close(self) -> None:
        """Give back connections."""
        for client in self._scraped.values():
            client.close()


def unframed(raw: bytes) -> list[str]:
    """Return the lines of a log as Docker sends it: in frames of stream and length, or plain for a terminal."""
    parts, at = [], 0
    while at + 8 <= len(raw) and raw[at] in (0, 1, 2) and raw[at + 1 : at + 4] == b"\0\0\0":
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        parts.append(raw[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join([*parts, raw[at:]]).decode("utf-8", "replace").splitlines()
