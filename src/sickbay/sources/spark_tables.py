"""Spark tables as relations: a DataFrame of a session the user has, Spark Connect (``sc://``), or a cluster.

``spark://host:7077#schema.table`` starts a driver here; after the # stands a table, or a path that is read as Parquet.
Every answer is a few thousand rows of counts, whatever the size of the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from sickbay.errors import SourceError, TableError
from sickbay.redact import redact
from sickbay.sources.relations import Relation, Rows, address_parts

_NUMBERS = itertools.count()


def open_spark_frame(frame: Any, *, says: str = "", shut: Callable[[], None] = lambda: None) -> Relation:
    """Return a Spark DataFrame (classic or Connect) as a relation; its session stays the caller's."""
    from pyspark.errors import PySparkException
    from sqlglot import exp

    session = frame.sparkSession
    view = f"sickbay_{next(_NUMBERS)}"
    frame.createOrReplaceTempView(view)

    def run(sql: str) -> Rows:
        try:
            answer = session.sql(sql)
            return list(answer.columns), [tuple(row) for row in answer.collect()]
        except PySparkException as error:
            raise SourceError(f"reading {says or view} through Spark: {_first(error)}") from None

    def close() -> None:
        session.catalog.dropTempView(view)
        shut()

    return Relation(
        says=says or "a Spark DataFrame", dialect="spark", source=exp.to_table(view), types=dict(frame.dtypes), run=run,
        shut=close,
    )  # fmt: skip


def open_spark_address(address: str, *, key: str) -> Relation:
    """Open a table of a cluster by address; TableError when Spark, or the table, cannot be had."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise TableError(
            f"{key}: reading spark:// needs the extra 'spark'", hint="pip install 'sickbay[spark]', and Java 17"
        ) from None
    where, name = address_parts(address, key=key)
    try:
        builder = SparkSession.builder.appName("sickbay")
        session = (builder.remote(where) if where.startswith("sc://") else builder.master(where)).getOrCreate()
        path = "/" in name or name.endswith(".parquet")
        frame = session.read.parquet(name) if path else session.table(name)
        return open_spark_frame(frame, says=f"{redact(where)}#{name}", shut=session.stop)
    except PySparkException as error:
        raise TableError(
            f"{key}: {redact(where)}#{name} cannot be read: {_first(error)}",
            hint="after the # stands schema.table, or the path of Parquet files",
        ) from None


def _first(error: Exception) -> str:
    return redact(str(error).strip().partition("\n")[0])[:300]
