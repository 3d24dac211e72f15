"""A server that speaks the Kubernetes API over objects that it is given: recorded ones, or those of the lab's own pods.

It answers discovery, get, list (selectors, pages, page expiry), watch, logs and the metrics API, to any client. It does
not validate, schedule or convert between versions: an object is served in the version that it was given in.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
PLURALS = {
    "Pod": "pods", "Event": "events", "Node": "nodes", "Namespace": "namespaces", "Deployment": "deployments",
    "StatefulSet": "statefulsets", "ReplicaSet": "replicasets", "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "PodMetrics": "pods", "NodeMetrics": "nodes", "Job": "jobs", "CronJob": "cronjobs",
}  # fmt: skip
UNBOUND = frozenset({"Node", "Namespace", "NodeMetrics"})
"""Kinds that live in no namespace."""
OFFERED: Mapping[str, tuple[str, ...]] = {
    "apps": ("v1",), "autoscaling": ("v2", "v1"), "batch": ("v1",), "metrics.k8s.io": ("v1beta1",),
}  # fmt: skip


@dataclass(slots=True)
class Trouble:
    """A way in which the server misbehaves on paths that hold ``path``: a status, a cut, silence or noise.

    ``after`` requests are answered as they should be, then ``times`` are not. ``pages_only``: only later pages.
    """

    path: str
    status: int = 0
    way: str = ""
    after: int = 0
    times: int = 1_000_000
    pages_only: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def strikes(self, path: str, asked: Mapping[str, str]) -> bool:
        """Return whether this request is spoilt."""
        if self.path not in path or (self.pages_only and "continue" not in asked):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


class KubeApi:
    """The server and its objects; ``put`` and ``remove`` are how the world behind it changes."""

    def __init__(
        self, *, token: str = "", offered: Mapping[str, tuple[str, ...]] = OFFERED, git: str = "v1.33.0"
    ) -> None:
        self.token, self.offered, self.git = token, offered, git
        self.troubles: list[Trouble] = []
        self.logs: dict[tuple[str, str, str, bool], Callable[[], str]] = {}
        self.requests: list[str] = []
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self._journal: list[tuple[int, str, Object]] = []
        self._version, self._changed = 1000, threading.Condition()
        self._http = _Quiet(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self._http.daemon_threads = True
        self._open = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def kubeconfig(self, namespace: str) -> Object:
        """Return a kubeconfig for it, to be written as YAML or JSON."""
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": self.url}}],
            "users": [{"name": "sickbay", "user": {"token": self.token or "none"}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "sickbay", "namespace": namespace}}],
        }  # fmt: skip

    def put(self, given: Object) -> Object:
        """Add or replace an object; what is kept is a copy."""
        kept: Object = json.loads(json.dumps(given))
        meta = kept["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        with self._changed:
            self._version += 1
            meta["resourceVersion"] = str(self._version)
            shelf = self._objects.setdefault(_shelf(kept), {})
            self._journal.append((self._version, "MODIFIED" if key in shelf else "ADDED", kept))
            del self._journal[:-5000]
            shelf[key] = kept
            self._changed.notify_all()
        return kept

    def put_all(self, listed: Iterable[Object]) -> None:
        """Add objects as they were recorded."""
        for one in listed:
            self.put(one)

    def remove(self, given: Object) -> None:
        """Take an object away; nothing happens when it is not there."""
        meta = given["metadata"]
        with self._changed:
            gone = self._objects.get(_shelf(given), {}).pop((meta.get("namespace", ""), meta["name"]), None)
            if gone is not None:
                self._version += 1
                self._journal.append((self._version, "DELETED", gone))
                self._changed.notify_all()

    def all(self, api: str, plural: str, namespace: str | None) -> list[Object]:
        """Return the objects of an API (``apps/v1``), all namespaces with None, by name; they are not to be changed."""
        with self._changed:
            shelf = sorted(self._objects.get((api, plural), {}).items())
        return [one for (space, _), one in shelf if namespace is None or space == namespace]

    def get(self, api: str, plural: str, namespace: str, name: str) -> Object | None:
        """Return one object, not to be changed."""
        with self._changed:
            return self._objects.get((api, plural), {}).get((namespace, name))

    def since(self, version: int, seconds: float) -> tuple[list[tuple[int, str, Object]], int]:
        """Return what changed after a version, waiting for it up to a while; and the version reached."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._open and self._version <= version and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            return [entry for entry in self._journal if entry[0] > version], self._version

    @property
    def version(self) -> int:
        """The version of the whole."""
        return self._version

    def close(self) -> None:
        """Stop."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that leave in the middle of an answer: that is how a watch ends."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _shelf(given: Object) -> tuple[str, str]:
    return given["apiVersion"], PLURALS[given["kind"]]


def status(code: int, reason: str, message: str) -> Object:
    """Return a Status object, which is how the API says no."""
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code,
    }  # fmt: skip


REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired",
    429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable",
}  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    """Answers one client; ``api`` is set by a subclass per server."""

    api: KubeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.api.requests.append(self.path)
        if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
            return self.say(401, status(401, "Unauthorized", "Unauthorized"))
        for trouble in self.api.troubles:
            if trouble.strikes(parts.path, asked):
                return self.spoil(trouble, parts.path, asked)
        return self.answer([part for part in parts.path.split("/") if part], asked)

    def spoil(self, trouble: Trouble, path: str, asked: Mapping[str, str]) -> None:
        if trouble.status:
            reason = REASONS.get(trouble.status, "Unknown")
            plain = path.rstrip("/").rpartition("/")[2]
            said = (
                f'{plain} is forbidden: User "sickbay" cannot list resource "{plain}"'
                if trouble.status == 403
                else reason
            )
            return self.say(trouble.status, status(trouble.status, reason, said), trouble.headers)
        if trouble.way == "cut":
            self.close_connection = True
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"kin')
            return None
        if trouble.way == "gone":  # a watch that is told that its version is too old
            return self.stream([{"type": "ERROR", "object": status(410, "Expired", "too old resource version")}])
        if trouble.way == "silence":
            time.sleep(30)
            self.close_connection = True
            return None
        return self.text(200, "<html>a gateway</html>", "text/html")

    def answer(self, parts: list[str], asked: Mapping[str, str]) -> None:
        if parts == ["version"]:
            return self.say(200, {"gitVersion": self.api.git, "major": "1", "minor": self.api.git.split(".")[1]})
        if parts == ["api"]:
            return self.say(200, {"kind": "APIVersions", "versions": ["v1"]})
        if parts == ["apis"]:
            return self.say(200, _groups(self.api.offered))
        if parts[:1] == ["api"]:
            name, rest = "v1", parts[2:]
        elif parts[:1] == ["apis"] and len(parts) >= 3:
            name, rest = "/".join(parts[1:3]), parts[3:]
            if parts[2] not in self.api.offered.get(parts[1], ()):
                return self.missing()
        else:
            return self.missing()
        if not rest:
            return self.say(200, {"kind": "APIResourceList", "groupVersion": name, "resources": _kinds(name)})
        namespace: str | None = None
        if rest[0] == "namespaces" and len(rest) >= 3:
            namespace, rest = rest[1], rest[2:]
        if len(rest) == 1:
            return self.several(name, rest[0], namespace, asked)
        if len(rest) == 3 and rest[2] == "log":
            return self.log(namespace or "", rest[1], asked)
        found = self.api.get(name, rest[0], namespace or "", rest[1])
        return self.missing(f'{rest[0]} "{rest[1]}" not found') if found is None else self.say(200, found)

    def several(self, name: str, plural: str, namespace: str | None, asked: Mapping[str, str]) -> None:
        if asked.get("watch") in ("true", "1"):
            return self.watch(name, plural, namespace, asked)
        found = [one for one in self.api.all(name, plural, namespace) if matches(one, asked)]
        start, limit = 0, int(asked.get("limit") or 0)
        if "continue" in asked:
            start = int(base64.b64decode(asked["continue"]).decode())
        meta: Object = {"resourceVersion": str(self.api.version)}
        if limit and start + limit < len(found):
            meta |= {
                "continue": base64.b64encode(str(start + limit).encode()).decode(),
                "remainingItemCount": len(found) - start - limit,
            }
        kind = next((k for k, p in PLURALS.items() if p == plural and ("Metrics" in k) == ("metrics" in name)), plural)
        items = found[start : start + limit] if limit else found
        return self.say(200, {"kind": f"{kind}List", "apiVersion": name, "metadata": meta, "items": items})

    def watch(self, name: str, plural: str, namespace: str | None, asked: Mapping[str, str]) -> None:
        end = time.monotonic() + float(asked.get("timeoutSeconds") or 60)
        version = int(asked.get("resourceVersion") or 0)
        self.begin()
        while time.monotonic() < end:
            changes, version = self.api.since(version, min(1.0, max(0.0, end - time.monotonic())))
            for _, kind, one in changes:
                same = (one["apiVersion"], PLURALS[one["kind"]]) == (name, plural)
                if same and namespace in (None, one["metadata"].get("namespace")) and matches(one, asked):
                    self.chunk({"type": kind, "object": one})
        self.wfile.write(b"0\r\n\r\n")

    def stream(self, lines: Iterable[Object]) -> None:
        self.begin()
        for line in lines:
            self.chunk(line)
        self.wfile.write(b"0\r\n\r\n")

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, given: Object) -> None:
        body = json.dumps(given).encode() + b"\n"
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        self.wfile.flush()

    def log(self, namespace: str, pod: str, asked: Mapping[str, str]) -> None:
        found = self.api.get("v1", "pods", namespace, pod)
        if found is None:
            return self.missing(f'pods "{pod}" not found')
        container = asked.get("container") or found["spec"]["containers"][0]["name"]
        previous = asked.get("previous") == "true"
        read = self.api.logs.get((namespace, pod, container, previous))
        if read is None:
            said = f'{"previous terminated " if previous else ""}container "{container}" in pod "{pod}" not found'
            return self.say(400, status(400, "BadRequest", said))
        lines = read().splitlines(keepends=True)
        if asked.get("tailLines"):
            lines = lines[-int(asked["tailLines"]) :]
        if asked.get("timestamps") != "true":  # kept with the time in front of each line, as a runtime keeps them
            lines = [line.partition(" ")[2] for line in lines]
        return self.text(200, "".join(lines)[-int(asked.get("limitBytes") or 10**9) :], "text/plain")

    def missing(self, said: str = "the server could not find the requested resource") -> None:
        self.say(404, status(404, "NotFound", said))

    def say(self, code: int, given: Object, headers: Mapping[str, str] | None = None) -> None:
        self.text(code, json.dumps(given), "application/json", headers)

    def text(self, code: int, text: str, media: str, headers: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(code)
        for name, value in {"Content-Type": media, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


def matches(one: Object, asked: Mapping[str, str]) -> bool:
    """Return whether an object fits the label and field selectors of a request."""
    labels = one["metadata"].get("labels") or {}
    if not all(_fits(part.strip(), labels) for part in _split(asked.get("labelSelector", ""))):
        return False
    for part in _split(asked.get("fieldSelector", "")):
        path, sign, value = part.partition("!=") if "!=" in part else part.replace("==", "=").partition("=")
        found: Any = one
        for key in path.split("."):
            found = found.get(key, "") if isinstance(found, Mapping) else ""
        if (str(found) == value) == (sign == "!="):
            return False
    return True


def _split(selector: str) -> list[str]:
    """Return the parts of a selector; the commas within brackets part nothing."""
    parts, depth, part = [], 0, ""
    for sign in selector:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append(part)
            part = ""
        else:
            part += sign
    return [part for part in (*parts, part) if part.strip()]


def _fits(part: str, labels: Mapping[str, str]) -> bool:
    for word, wanted in ((" notin ", False), (" in ", True)):
        if word in part:
            key, _, values = part.partition(word)
            return (labels.get(key.strip()) in [v.strip() for v in values.strip(" ()").split(",")]) == wanted
    if "!=" in part:
        key, _, value = part.partition("!=")
        return labels.get(key.strip()) != value.strip()
    if "=" in part:
        key, _, value = part.replace("==", "=").partition("=")
        return labels.get(key.strip()) == value.strip()
    return (part[1:].strip() not in labels) if part.startswith("!") else part in labels


def _groups(offered: Mapping[str, tuple[str, ...]]) -> Object:
    groups = []
    for name, versions in offered.items():
        each = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
        groups.append({"name": name, "versions": each, "preferredVersion": each[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _kinds(name: str) -> list[Object]:
    metrics = "metrics" in name
    return [
        {"name": plural, "singularName": "", "namespaced": kind not in UNBOUND, "kind": kind, "verbs": ["get", "list"]}
        for kind, plural in PLURALS.items()
        if ("Metrics" in kind) == metrics
    ]
