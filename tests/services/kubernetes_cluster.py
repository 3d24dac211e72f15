"""A real cluster of one node: etcd, the control plane, containerd and a kubelet, in namespaces of their own.

Everything runs below one process that ``unshare`` started with its own network, mounts and process ids; when that
process ends, all of it ends, and nothing of it was ever on the host's network. Its control groups and the kernel
settings that a kubelet changes are put back. It needs root, and the programs of ``kubernetes_build``.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.lab.systems.processes import LabError
from tests.services import kubernetes_build, namespaces
from tests.services.namespaces import enter, packed, trees

ADDRESS, POD_NET = "10.231.9.1", "10.231.10"
CONTAINERD = """version = 2
root = "{home}/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "sickbay/pause:1"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{programs}/debian/usr/lib/cni"
conf_dir = "{home}/cni"
"""
KUBELET: Mapping[str, Any] = {
    "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"}, "cgroupDriver": "cgroupfs", "makeIPTablesUtilChains": False,
    "failSwapOn": False, "oomScoreAdj": 0, "enforceNodeAllocatable": ["pods"], "readOnlyPort": 0,
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
}  # fmt: skip


def hindrance() -> str:
    """Return why no cluster can run here, or nothing; building the programs is not tried."""
    if why := namespaces.hindrance():
        return f"a kubelet needs namespaces and root: {why}"
    if not kubernetes_build.built():
        return "the programs are not built: `python -m tests.services.kubernetes_build` (ten minutes, once)"
    return ""


class Cluster:
    """The running cluster; made and used within the namespaces."""

    def __init__(self, group: str, home: Path) -> None:
        self.group, self.home, self.programs = group, home, kubernetes_build.place()
        self.admin = secrets.token_hex(16)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kubeconfig(self, name: str, token: str, namespace: str) -> Path:
        """Write a kubeconfig for a user, and return it."""
        file = self.home / f"{name}.kubeconfig"
        file.touch(mode=0o600)
        cluster = {"server": f"https://{ADDRESS}:6443", "certificate-authority": str(self.home / "server.crt")}
        context = {"cluster": "c", "user": name, "namespace": namespace}
        said = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "c", "context": context}],
        }  # fmt: skip
        file.write_text(json.dumps(said), encoding="utf-8")
        return file

    def client(self, namespace: str) -> Any:
        """Return a lightkube client that may do everything."""
        from lightkube import Client
        from lightkube.config.kubeconfig import KubeConfig

        return Client(KubeConfig.from_file(self.home / "admin.kubeconfig").get(), namespace=namespace, trust_env=False)

    def image(self, name: str, files: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str]) -> None:
        """Make an image of one layer and give it to containerd: no registry and no builder is needed."""
        layer = packed(files, links, folders)
        digest = _sha(layer)
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/pause"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }).encode()  # fmt: skip
        manifest = [{"Config": f"{_sha(config)}.json", "RepoTags": [f"docker.io/{name}"], "Layers": ["layer.tar"]}]
        archive = self.home / "image.tar"
        held = {f"{_sha(config)}.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
        archive.write_bytes(packed(held, {}, ()))
        self._do("ctr", "--address", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import", archive)

    def stop(self) -> None:
        """End everything, in the order in which pods are ended cleanly."""
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def log(self, name: str, length: int = 3000) -> str:
        """Return the end of what a program of the cluster said."""
        return (self.home / f"{name}.log").read_text(errors="replace")[-length:]

    def _start(self) -> None:
        self._namespaces()
        self._secrets()
        for tree in trees():
            with contextlib.suppress(OSError):
                (tree / self.group).mkdir()
            if tree.name.startswith("cpuset"):  # a group of version 1 inherits neither
                for what in ("cpuset.cpus", "cpuset.mems"):
                    (tree / self.group / what).write_text((tree / what).read_text())
        etcd = "http://127.0.0.1:2379"
        self._launch("etcd", "--data-dir", self.home / "etcd", "--unsafe-no-fsync", "--listen-client-urls", etcd,
                     "--advertise-client-urls", etcd, "--listen-peer-urls", "http://127.0.0.1:2380")  # fmt: skip
        self._launch("containerd", "--config", self.home / "containerd.toml")
        key = self.home / "accounts.key"
        self._launch(
            "kube-apiserver", "--etcd-servers", etcd, "--secure-port", "6443", "--advertise-address", ADDRESS,
            "--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "RBAC", "--allow-privileged=true",
            "--token-auth-file", self.home / "tokens.csv", "--tls-cert-file", self.home / "server.crt",
            "--tls-private-key-file", self.home / "server.key", "--service-account-key-file", key,
            "--service-account-signing-key-file", key, "--service-account-issuer", "https://kubernetes.default.svc",
            "--kubelet-preferred-address-types", "InternalIP", "--cert-dir", self.home / "certificates",
            "--enable-admission-plugins", "NodeRestriction", "--event-ttl", "1h",
        )  # fmt: skip
        admin = self.kubeconfig("admin", self.admin, "default")
        self._until("the API server", self._answers, 120)
        self._launch("kube-controller-manager", "--kubeconfig", admin, "--service-account-private-key-file", key,
                     "--root-ca-file", self.home / "server.crt", "--leader-elect=false",
                     "--horizontal-pod-autoscaler-sync-period", "3s",
                     "--cert-dir", self.home / "certificates-manager")  # fmt: skip
        self._launch("kube-scheduler", "--kubeconfig", admin, "--leader-elect=false",
                     "--cert-dir", self.home / "certificates-scheduler")  # fmt: skip
        self._until("containerd", lambda: Path("/run/containerd/containerd.sock").exists(), 30)
        self.image("sickbay/pause:1", {"pause": (self.programs / "bin" / "pause").read_bytes()}, {}, ())
        self._launch(
            "kubelet", "--config", self.home / "kubelet.json", "--kubeconfig", admin, "--container-runtime", "remote",
            "--container-runtime-endpoint", "unix:///run/containerd/containerd.sock", "--node-ip", ADDRESS,
            "--hostname-override", "node1", "--root-dir", self.home / "kubelet",
            "--cert-dir", self.home / "certificates-kubelet",
        )  # fmt: skip
        self._until("the node", self._node_ready, 120)

    def _namespaces(self) -> None:
        """Bring up the network within."""
        enter()
        for command in (
            ["ip", "link", "add", "node0", "type", "veth", "peer", "name", "beyond0"],
            ["ip", "addr", "add", f"{ADDRESS}/24", "dev", "node0"], ["ip", "link", "set", "node0", "up"],
            ["ip", "link", "set", "beyond0", "up"],
            ["ip", "route", "add", "default", "dev", "node0"],
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _secrets(self) -> None:
        home = self.home
        names = f"subjectAltName=IP:{ADDRESS},IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes.default.svc"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cluster", "-days", "3"]
        subprocess.run([*made, "-addext", names, "-keyout", str(home / "server.key"), "-out", str(home / "server.crt")],
                       check=True, capture_output=True)  # fmt: skip
        subprocess.run(["openssl", "genrsa", "-out", str(home / "accounts.key"), "2048"], check=True,
                       capture_output=True)  # fmt: skip
        (home / "tokens.csv").write_text(f'{self.admin},admin,admin,"system:masters"\n', encoding="utf-8")
        (home / "containerd.toml").write_text(CONTAINERD.format(home=home, programs=self.programs), encoding="utf-8")
        (home / "cni").mkdir()
        bridge = {
            "cniVersion": "0.4.0", "name": "pods", "plugins": [{
                "type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": f"{POD_NET}.0/24"}]],
                         "dataDir": str(home / "addresses")},
            }],
        }  # fmt: skip
        (home / "cni" / "10-pods.conflist").write_text(json.dumps(bridge), encoding="utf-8")
        kubelet = dict(KUBELET) | {"cgroupRoot": f"/{self.group}", "volumePluginDir": str(home / "plugins")}
        (home / "kubelet.json").write_text(json.dumps(kubelet), encoding="utf-8")

    def _launch(self, name: str, *arguments: str | Path) -> None:
        with (self.home / f"{name}.log").open("wb") as log:
            command = [self._program(name), *map(str, arguments)]
            self._running.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ())
            )

    def _do(self, name: str, *arguments: str | Path) -> None:
        command = [self._program(name), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environ(), check=False, timeout=60)
        if done.returncode:
            raise LabError(f"{name} failed: {done.stderr.strip()[-400:]}")

    def _program(self, name: str) -> str:
        places = (self.programs / "bin", self.programs / "debian/usr/bin", self.programs / "debian/usr/sbin")
        return str(next(place / name for place in places if (place / name).exists()))

    def _environ(self) -> dict[str, str]:
        unpacked = self.programs / "debian" / "usr"
        path = os.pathsep.join([str(unpacked / "sbin"), str(unpacked / "bin"), os.environ["PATH"]])
        library = str(unpacked / "lib" / "x86_64-linux-gnu")
        return os.environ | {"PATH": path, "LD_LIBRARY_PATH": library}

    def _until(self, what: str, well: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not well():
            ended = [p for p in self._running if p.poll() is not None]
            if ended or time.monotonic() > end:
                names = [Path(str(p.args[0])).name for p in ended] if ended else []  # type: ignore[index]
                said = "\n".join(f"{name}: {self.log(name, 1500)}" for name in names or ["kubelet", "containerd"]
                                 if (self.home / f"{name}.log").exists())  # fmt: skip
                raise LabError(f"{what} did not come up; ended: {names}\n{said}")
            time.sleep(0.3)

    def _answers(self) -> bool:
        from lightkube.core.exceptions import ApiError
        from lightkube.resources.core_v1 import Namespace

        try:
            with contextlib.closing(self.client("default")) as client:
                return bool(client.get(Namespace, "default"))
        except (ApiError, OSError):
            return False
        except Exception as error:  # what its transport raises differs by its version
            if "onnect" in type(error).__name__ or "onnect" in str(error):
                return False
            raise

    def _node_ready(self) -> bool:
        from lightkube.resources.core_v1 import Node

        with contextlib.closing(self.client("default")) as client:
            nodes = list(client.list(Node))
        return any(c.type == "Ready" and c.status == "True" for n in nodes for c in n.status.conditions or ())


def _sha(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
