"""Kubernetes: pods and how they ended, events, logs, revisions, autoscaler, nodes, use; read through its API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sickbay.errors import SiteFileError, SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.registry import source
from sickbay.sources import kubernetes_objects as objects
from sickbay.sources import pod_metrics, settings
from sickbay.sources.context import Check, Context
from sickbay.sources.kubernetes_errors import asked
from sickbay.sources.kubernetes_objects import Autoscaler, Event, Node, Pod, Revision, Usage, Workload
from sickbay.sources.replies import Http

SECONDS = 6.0
PAGE = 500
"""Objects asked for at a time: a namespace of any size is read in pieces that the server can bear."""
_TYPES = threading.Lock()
AUTOSCALING = ("v2", "v1")
"""Versions of the autoscaler that are read, best first; the server's own list decides."""


class _Settings(settings.Settings):
    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    workload: str = ""
    container: str = ""
    scrape: bool = True


@source("kubernetes")
class Kubernetes:
    """Reads a namespace of a Kubernetes cluster, from within it or with a kubeconfig: ``[source.kubernetes]``.

    Rights: get and list of pods, pods/log, events, deployments, replica sets, autoscalers and pod metrics in the
    namespace, and get of nodes; ``docs/kubernetes-role.yaml`` grants them and nothing else. Nothing is written.
    """

    def __init__(self, given: _Settings, config: Any, now: datetime) -> None:
        import httpx2
        from lightkube import Client
        from lightkube.config import client_adapter

        limits = httpx2.Timeout(SECONDS, connect=3.0)
        self._client = Client(config, namespace=given.namespace or None, timeout=limits, trust_env=False)
        self._raw = client_adapter.Client(config, client_adapter.ConnectionParams(timeout=limits, trust_env=False))
        self.namespace, self.now, self._given = self._client.namespace, now, given
        self._kept: dict[str, Any] = {}
        _prepare_types()

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names a cluster."""
        return "kubernetes" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is sent yet. SiteFileError for a kubeconfig or context that is not there."""
        given = settings.read(context, "kubernetes", _Settings)
        try:
            return cls(given, _config(given, context), context.now)
        except ImportError:
            raise SiteFileError(
                f"{context.site.file}: [source.kubernetes] needs the package lightkube",
                hint='pip install "sickbay[kubernetes]"',
            ) from None

    @property
    def about(self) -> str:
        """What is looked at, in words."""
        return f"{self._given.workload or 'all pods'} in the namespace {self.namespace}"

    def workload(self) -> Workload | None:
        """Return the workload that the site names, or the only deployment of the namespace; None without either."""
        from lightkube.resources.apps_v1 import Deployment, StatefulSet

        kind, _, name = self._given.workload.rpartition("/")
        if kind.lower() not in ("", "deployment", "statefulset"):
            raise SourceError(f"not applicable: a workload is deployment/NAME or statefulset/NAME, not {kind}/{name}")
        which: Any = StatefulSet if kind.lower() == "statefulset" else Deployment
        found = self._once("workloads", lambda: self._list(which))
        chosen = [one for one in found if one.metadata.name == name] if name else found if len(found) == 1 else []
        if name and not chosen:
            raise SourceError(f"no data: there is no {which.__name__.lower()} {name} in the namespace {self.namespace}")
        if not chosen:
            return None
        one = chosen[0]
        ready = (one.status.readyReplicas if one.status else 0) or 0
        selector = dict(one.spec.selector.matchLabels or {})
        return Workload(which.__name__, one.metadata.name, one.spec.replicas or 0, ready, selector)

    def pods(self) -> list[Pod]:
        """Return the pods of the workload, or of the namespace where no workload is known; read afresh."""
        from lightkube.resources.core_v1 import Pod as Resource

        chosen = self._once("workload", self.workload)
        return [objects.pod(one) for one in self._list(Resource, labels=chosen.selector if chosen else None)]

    def neighbours(self) -> list[Pod]:
        """Return all pods of the namespace."""
        from lightkube.resources.core_v1 import Pod as Resource

        return [objects.pod(one) for one in self._list(Resource)]

    def pod(self, name: str) -> Pod | None:
        """Return a pod as it is now; None when it has gone since it was listed."""
        from lightkube.resources.core_v1 import Pod as Resource

        try:
            return asked(
                "pods", lambda: objects.pod(self._client.get(Resource, name, namespace=self.namespace)), absent=None
            )
        except SourceGarbled:
            raise SourceGarbled(f"the pod {name} is not as the API describes pods") from None

    def events(self) -> list[Event]:
        """Return the events of the namespace, oldest first; a cluster keeps them for an hour by default."""
        from lightkube.resources.core_v1 import Event as Resource

        found = [objects.event(one) for one in self._list(Resource)]
        return sorted(found, key=lambda one: one.last.timestamp() if one.last else 0.0)

    def revisions(self) -> list[Revision]:
        """Return the revisions of the deployment, oldest first; SourceError where the workload has none."""
        from lightkube.resources.apps_v1 import ReplicaSet

        chosen = self._once("workload", self.workload)
        if chosen is None or chosen.kind != "Deployment":
            raise SourceError("not applicable: revisions are read of a deployment; name one as workload")
        sets = self._list(ReplicaSet, labels=chosen.selector)
        owned = [s for s in sets if any(o.name == chosen.name for o in s.metadata.ownerReferences or ())]
        found = [revision for one in owned if (revision := objects.revision(one)) is not None]
        return sorted(found, key=lambda one: one.number)

    def autoscaler(self) -> Autoscaler | None:
        """Return the autoscaler of the workload, in the best version that the server offers; None if it has none."""
        from lightkube.resources import autoscaling_v1, autoscaling_v2

        offered = self._groups().get("autoscaling", ())
        version = next((v for v in AUTOSCALING if v in offered), None)
        if version is None:
            raise SourceError(f"not applicable: the autoscaling API is offered in {', '.join(offered) or 'no version'}")
        which: Any = {"v2": autoscaling_v2, "v1": autoscaling_v1}[version].HorizontalPodAutoscaler
        chosen = self._once("workload", self.workload)
        for one in self._list(which):
            if chosen is None or one.spec.scaleTargetRef.name == chosen.name:
                return objects.autoscaler(one, version)
        return None

    def nodes(self) -> list[Node]:
        """Return the nodes; it needs a right on the whole cluster."""
        from lightkube.resources.core_v1 import Node as Resource

        return [objects.node(one) for one in self._list(Resource)]

    def usage(self) -> list[Usage]:
        """Return what each container uses, from the metrics API; SourceError where the cluster has none."""
        if "v1beta1" not in self._groups().get("metrics.k8s.io", ()):
            raise SourceError("no data: the cluster has no metrics API (metrics-server is not installed)")
        body = self._json(f"/apis/metrics.k8s.io/v1beta1/namespaces/{self.namespace}/pods", "pods.metrics.k8s.io")
        found = []
        for item in body.get("items") or ():
            at = datetime.fromisoformat(item["timestamp"]) if item.get("timestamp") else None
            for one in item.get("containers") or ():
                memory, cpu = (objects.quantity(str(one["usage"].get(what, "0"))) for what in ("memory", "cpu"))
                if memory == memory and cpu == cpu:
                    found.append(Usage(item["metadata"]["name"], one["name"], objects.utc(at), int(memory), cpu))
        return found

    def log(self, pod: str, container: str = "", *, previous: bool = False, lines: int = 2000) -> list[str] | None:
        """Return the last lines of a container's log, each with its time; None when there is no such run or pod."""
        asking = {"timestamps": "true", "tailLines": str(lines), "limitBytes": str(2_000_000)}
        asking |= {"container": container} if container else {}
        asking |= {"previous": "true"} if previous else {}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"

        def get() -> list[str]:
            answer = self._raw.get(path, params=asking)
            answer.raise_for_status()
            return str(answer.text).splitlines()

        return asked("pods/log", get, absent=None, absent_codes=(400, 404))

    def metrics(self, pod: Pod, seconds: float = 2.0) -> pod_metrics.Scrape:
        """Return what a pod says of itself, where its annotations say that Prometheus is to read it."""
        if not self._given.scrape:
            raise SourceForbidden("the site says scrape = false in [source.kubernetes]")
        if not pod.scrape:
            raise SourceError(f"no data: the pod {pod.name} has no annotation prometheus.io/scrape with an address")
        base, _, path = pod.scrape.partition("://")[2].partition("/")
        client = self._once(f"metrics of {base}", lambda: Http(f"{pod.scrape.partition('://')[0]}://{base}"))
        return pod_metrics.scrape(client, f"/{path}", seconds=seconds)

    def follow(self, seconds: float) -> Iterator[Pod]:
        """Yield pods of the workload as they change for a while; a cut or outdated watch is taken up again."""
        from lightkube.resources.core_v1 import Pod as Resource

        chosen = self._once("workload", self.workload)
        selector = ",".join(f"{k}={v}" for k, v in chosen.selector.items()) if chosen else ""
        end, version, path = time.monotonic() + seconds, "", f"/api/v1/namespaces/{self.namespace}/pods"
        while (left := end - time.monotonic()) > 0:
            if not version:  # at first, and when what was known has become too old (410)
                seen = self._list(Resource, labels=chosen.selector if chosen else None)
                yield from map(objects.pod, seen)
                version = max(
                    (one.metadata.resourceVersion or "0" for one in seen), key=lambda v: (len(v), v), default="0"
                )
            asking = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(max(1, round(left)))}
            for kind, one in self._lines(path, asking | ({"labelSelector": selector} if selector else {}), left):
                if kind == "ERROR":
                    version = ""
                    break
                found = objects.pod(Resource.from_dict(one))
                version = found.version or version
                yield found
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))

    def _lines(self, path: str, asking: dict[str, str], seconds: float) -> Iterator[tuple[str, Any]]:
        """Yield (kind, object) of a watch until it ends, however it ends."""
        import httpx2

        end = time.monotonic() + seconds
        try:
            with self._raw.stream("GET", path, params=asking, timeout=httpx2.Timeout(seconds + 0.5)) as answer:
                if answer.status_code != 200:
                    yield ("ERROR", None)
                    return
                for line in answer.iter_lines():
                    if line.strip():
                        given = json.loads(line)
                        yield given["type"], given["object"]
                    if time.monotonic() > end:
                        return
        except (httpx2.HTTPError, ValueError, KeyError, RuntimeError):
            return  # cut, or closed meanwhile: the caller goes on from the last version

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return API group → versions that the server offers."""

        def find() -> dict[str, tuple[str, ...]]:
            body = self._json("/apis", "the list of APIs")
            return {g["name"]: tuple(v["version"] for v in g["versions"]) for g in body.get("groups") or ()}

        found: dict[str, tuple[str, ...]] = self._once("groups", find)
        return found

    def _json(self, path: str, what: str) -> dict[str, Any]:
        def get() -> dict[str, Any]:
            answer = self._raw.get(path)
            answer.raise_for_status()
            body = answer.json()
            if not isinstance(body, dict):
                raise ValueError("no object")
            return body

        return asked(what, get)

    def _list(self, resource: Any, labels: Any = None) -> list[Any]:
        """Return all objects of a kind, page by page; once more when the pages became too old (410)."""
        from lightkube.core.resource import NamespacedResource

        place = {"namespace": self.namespace} if issubclass(resource, NamespacedResource) else {}

        def get() -> list[Any]:
            return list(self._client.list(resource, labels=labels, chunk_size=PAGE, **place))

        what = f"{resource.__name__.lower()}s"
        try:
            return asked(what, get)
        except SourceTimeout:
            raise
        except SourceError as error:
            if "410" not in str(error):
                raise
            return asked(what, get)

    def _once(self, name: str, find: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = find()
        return self._kept[name]

    def check(self) -> list[Check]:
        """Return what may be read, with the right that is missing where something may not."""
        asks: Sequence[tuple[str, Callable[[], Any]]] = (
            ("pods", self.pods), ("events", self.events), ("revisions", self.revisions),
            ("autoscaler", self.autoscaler), ("metrics API", self.usage), ("nodes", self.nodes),
        )  # fmt: skip
        checks = []
        for what, ask in asks:
            try:
                found = ask()
                said = f"{len(found)} of {self.about}" if isinstance(found, list) else "none" if not found else "there"
                checks.append(Check(f"kubernetes {what}", True, said))
            except SourceError as error:
                checks.append(Check(f"kubernetes {what}", False, str(error)))
        return checks

    def close(self) -> None:
        """Give back connections."""
        self._client.close()
        self._raw.close()
        for name in [name for name in self._kept if name.startswith("metrics of ")]:
            self._kept.pop(name).close()


def _prepare_types() -> None:
    """Let the decoder learn every type that is read, in one thread.

    It learns a type when it first meets it, and two threads that meet one at once end the process (msgspec 0.22,
    segmentation fault, seen whenever five probes started together).
    """
    from lightkube.core import decoders
    from lightkube.resources import apps_v1, autoscaling_v1, autoscaling_v2, core_v1

    with _TYPES:
        for kind in (
            core_v1.Pod, core_v1.Event, core_v1.Node, apps_v1.Deployment, apps_v1.StatefulSet, apps_v1.ReplicaSet,
            autoscaling_v1.HorizontalPodAutoscaler, autoscaling_v2.HorizontalPodAutoscaler,
        ):  # fmt: skip
            decoders.decode_list(b'{"items": []}', kind)
        core_v1.Pod.from_dict({"metadata": {"name": "none"}, "spec": {"containers": []}})


def _config(given: _Settings, context: Context) -> Any:
    """Return where the cluster is: the kubeconfig that is named, the pod's own service account, or the usual file."""
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    named = given.kubeconfig or context.environ.get("KUBECONFIG", "")
    try:
        if named:
            read = KubeConfig.from_file(str(context.site.base / Path(named).expanduser()))
        elif context.environ.get("KUBERNETES_SERVICE_HOST"):
            read = KubeConfig.from_service_account()
        else:
            read = KubeConfig.from_file("~/.kube/config")
        found = read.get(given.context or None)
        if found is None or found.user is None:
            raise ConfigError("the context names no user")
    except (ConfigError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SiteFileError(
            f"{context.site.file}: [source.kubernetes]: no cluster: {error}",
            hint='name one: kubeconfig = "/home/me/.kube/config", context = "prod"; within a cluster neither is needed',
        ) from None
    return found
