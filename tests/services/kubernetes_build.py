"""A real Kubernetes 1.20: its programs built from Debian's source package, once per machine, into the lab's cache.

No package has an API server or a kubelet ready to run. Debian 12's source package ``kubernetes`` is whole, vendored
libraries included, and builds with Debian's Go 1.19 without a network: about ten minutes on two cores, 2 GB while it
lasts, 0.4 GB kept. Nothing is installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sickbay.lab.systems.environments import cache
from sickbay.lab.systems.processes import LabError
from tests.services import debian

VERSION = "1.20.2"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
GO = ("golang-1.19-go", "golang-1.19-src")
OTHERS = ("containerd", "runc", "containernetworking-plugins", "etcd-server", "libseccomp2")
GENERATOR = "k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen"
WANTED = "+k8s:openapi-gen="
PAUSE = """package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
"""
"""What holds the namespaces of a pod open: it waits to be told to end."""


def place() -> Path:
    """Return where the programs are: ``bin`` (built), ``debian`` (unpacked)."""
    return cache() / f"kubernetes-{VERSION}"


def built() -> bool:
    """Return whether they are there."""
    return (place() / "complete").exists()


def build(said: Callable[[str], None] = print) -> Path:
    """Build what is not there yet, and return the directory; LabError where that cannot be done."""
    home = place()
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built():
            _build(home, said)
    return home


def _build(home: Path, said: Callable[[str], None]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="kubernetes-build-") as folder:
        work = Path(folder)
        said("fetching Go and the source (0.1 GB)")
        debian.unpack(GO, work / "go")
        debian.unpack(OTHERS, home / "debian")
        tree = _source(work)
        environ = _environ(work)
        (home / "bin").mkdir(parents=True)
        _generate(tree, work, environ)
        flags = ["-trimpath", "-ldflags", f"-s -w {_stamps()}"]
        for name in PROGRAMS:
            said(f"building {name}")
            _go(["build", *flags, "-o", str(home / "bin" / name), f"k8s.io/kubernetes/cmd/{name}"], tree, environ)
        (work / "pause.go").write_text(PAUSE, encoding="utf-8")
        _go(["build", "-ldflags", "-s -w", "-o", str(home / "bin" / "pause"), str(work / "pause.go")], work, environ)
    (home / "complete").touch()


def _source(work: Path) -> Path:
    """Unpack the source where Go looks for it without modules, which its old go.mod cannot be read with."""
    archive = debian.source("kubernetes", work / "source")
    parent = work / "gopath" / "src" / "k8s.io"
    parent.mkdir(parents=True)
    with tarfile.open(archive) as packed:
        packed.extractall(parent, filter="tar")
    (unpacked,) = parent.iterdir()
    if not unpacked.name.endswith(VERSION):
        raise LabError(f"Debian's source package is {unpacked.name}, and this was written for {VERSION}")
    return unpacked.rename(parent / "kubernetes")


def _environ(work: Path) -> dict[str, str]:
    root = work / "go" / "usr" / "lib" / "go-1.19"
    return os.environ | {
        "GOROOT": str(root), "GOPATH": str(work / "gopath"), "GOCACHE": str(work / "cache"), "GO111MODULE": "off",
        "CGO_ENABLED": "0", "GOPROXY": "off", "GOFLAGS": "", "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip


def _generate(tree: Path, work: Path, environ: Mapping[str, str]) -> None:
    """Write the one file that the source package lacks: the definitions that the API server publishes."""
    generator = work / "openapi-gen"
    _go(["build", "-o", str(generator), GENERATOR], tree, environ)
    packages = ",".join(sorted(set(_described(tree))))
    command: list[str | Path] = [
        generator, "--logtostderr", "-i", packages, "-p", "k8s.io/kubernetes/pkg/generated/openapi",
        "-O", "zz_generated.openapi", "-h", tree / "vendor/k8s.io/code-generator/hack/boilerplate.go.txt",
        "-r", work / "violations.txt",
    ]  # fmt: skip
    _run(command, tree, environ)


def _described(tree: Path) -> Iterator[str]:
    for root in ("pkg", "cmd", "plugin", "staging/src/k8s.io"):
        for file in (tree / root).rglob("*.go"):
            if WANTED in file.read_text(encoding="utf-8", errors="replace"):
                inner = file.parent.relative_to(tree).as_posix()
                yield "k8s.io/kubernetes/" + inner.replace("staging/src/", "vendor/", 1)


def _stamps() -> str:
    major, minor, _ = VERSION.split(".")
    known = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/kubernetes/vendor/k8s.io/component-base/version.{k}={v}" for k, v in known.items())


def _go(arguments: list[str], where: Path, environ: Mapping[str, str]) -> None:
    _run(["go", *arguments], where, environ)


def _run(command: Sequence[str | Path], where: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["nice", *command], cwd=where, env=dict(environ), capture_output=True, text=True, timeout=3600, check=False
    )
    if done.returncode:
        raise LabError(f"{Path(str(command[0])).name} failed: {done.stderr.strip()[-800:]}")


if __name__ == "__main__":
    print(build())
