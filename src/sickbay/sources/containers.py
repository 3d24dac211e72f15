"""Containers of this host: Docker's (or Podman's) API over its socket, or a CRI through ``crictl``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import settings
from sickbay.sources.context import Check, Context

SECONDS = 6.0
DOCKER = "/var/run/docker.sock"


class _Settings(settings.Settings):
    socket: str = ""
    runtime: str = ""
    crictl: str = "crictl"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container: how it is and how it ended; memory in bytes, None where it is not bounded or not said.

    ``out_of_memory`` is what the runtime says. Podman 4 was seen to say False after a kill by the kernel: an exit code
    of 137 with the counter of the control group is the better witness.
    """

    id: str
    name: str
    image: str
    state: str
    exit_code: int
    out_of_memory: bool
    restarts: int
    started: datetime | None
    finished: datetime | None
    memory_limit: int | None


@source("containers")
class Containers:
    """Reads containers of this host: ``[source.containers] socket = "/var/run/docker.sock"``, or ``runtime = "cri"``.

    Rights: reading the socket, which on most hosts means the group ``docker`` or root. Only GET requests are sent;
    of ``crictl`` only ``ps`` and ``inspect`` are run.
    """

    def __init__(self, given: _Settings) -> None:
        self._given, self.cri = given, given.runtime == "cri"
        self._socket = given.socket or DOCKER

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
        reader = cls(given)
        if reader.cri and shutil.which(given.crictl) is None:
            raise SourceError(f"not applicable: there is no {given.crictl} on this host")
        if not reader.cri and not Path(reader._socket).exists():
            raise SourceError(f"unreachable: there is no socket {reader._socket}; name another as socket")
        return reader

    def all(self) -> list[Container]:
        """Return the containers whose name holds the name of the site, running or ended."""
        return self._by_cri() if self.cri else self._by_docker()

    def _by_docker(self) -> list[Container]:
        listed = self._get("/containers/json?all=1")
        if not isinstance(listed, list):
            raise SourceGarbled(f"{self._socket} does not answer as Docker does")
        found = []
        for one in listed:
            names = [str(name).lstrip("/") for name in one.get("Names") or ()]
            if any(self._given.name in name for name in names):
                try:
                    found.append(docker_container(self._get(f"/containers/{one['Id']}/json")))
                except LookupError:
                    continue  # it was removed between the list and the look
        return found

    def _by_cri(self) -> list[Container]:
        listed = self._run("ps", "-a", "-o", "json")
        found = []
        for one in listed.get("containers") or ():
            name = str((one.get("metadata") or {}).get("name", ""))
            if self._given.name in name:
                found.append(cri_container(self._run("inspect", str(one["id"]))))
        return found

    def _get(self, path: str) -> Any:
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
        if answer.status_code == 404 and "/json" in path and path.count("/") > 2:
            raise LookupError(path)
        if answer.status_code != 200:
            raise SourceError(f"unreachable: {self._socket} answered {answer.status_code}: {answer.text[:160]}")
        try:
            return answer.json()
        except ValueError:
            raise SourceGarbled(f"{self._socket} does not answer with JSON") from None

    def _run(self, *words: str) -> Mapping[str, Any]:
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
        try:
            found = json.loads(done.stdout)
        except ValueError:
            raise SourceGarbled(f"{self._given.crictl} does not answer with JSON") from None
        return found if isinstance(found, dict) else {}

    def check(self) -> list[Check]:
        """Return whether the runtime answers, and how many containers it shows."""
        try:
            found = self.all()
        except SourceError as error:
            return [Check("containers", False, str(error))]
        return [Check("containers", True, f"{len(found)} containers")]

    def close(self) -> None:
        """Nothing is kept open."""


def docker_container(given: Mapping[str, Any]) -> Container:
    """Return a container as ``GET /containers/ID/json`` describes it (Docker's API 1.24 and later)."""
    try:
        state, host = given["State"], given.get("HostConfig") or {}
        return Container(
            str(given["Id"]), str(given["Name"]).lstrip("/"), str((given.get("Config") or {}).get("Image", "")),
            str(state["Status"]), int(state["ExitCode"]), bool(state.get("OOMKilled")),
            int(given.get("RestartCount") or 0), _time(state.get("StartedAt")), _time(state.get("FinishedAt")),
            int(host.get("Memory") or 0) or None,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise SourceGarbled(f"a container is not as Docker describes one: {error}") from None


def cri_container(given: Mapping[str, Any]) -> Container:
    """Return a container as ``crictl inspect`` describes it."""
    try:
        status = given["status"]
        meta, linux = status["metadata"], (status.get("resources") or {}).get("linux") or {}
        return Container(
            str(status["id"]), str(meta["name"]), str((status.get("image") or {}).get("image", "")),
            str(status["state"]).removeprefix("CONTAINER_").lower(), int(status.get("exitCode") or 0),
            status.get("reason") == "OOMKilled", int(meta.get("attempt") or 0), _time(status.get("startedAt")),
            _time(status.get("finishedAt")), int(linux.get("memoryLimitInBytes") or 0) or None,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise SourceGarbled(f"a container is not as a CRI describes one: {error}") from None


def _time(text: Any) -> datetime | None:
    """Return an instant; the year 1 of Go means none."""
    if not isinstance(text, str) or text.startswith(("0001", "1970-01-01T00:00:00Z")) or not text:
        return None
    whole, dot, rest = text.replace("Z", "+00:00").partition(".")
    if dot:  # nanoseconds are more than Python reads
        digits = re.match(r"\d*", rest)
        count = len(digits[0]) if digits else 0
        whole = f"{whole}.{rest[:count][:6]:0<6}{rest[count:]}"
    return datetime.fromisoformat(whole).astimezone(UTC)
