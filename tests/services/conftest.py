"""What the tests of several engines share: one cluster for all, since its JVM stays with the process, and two sides."""

from __future__ import annotations

import pytest

from tests.services import nasty, sides
from tests.services import postgres as postgres_server


@pytest.fixture(scope="session")
def spark():
    """A cluster of real processes: a driver and two executors."""
    from tests.services import spark_cluster

    with spark_cluster.session() as session:
        yield session


@pytest.fixture(scope="module")
def side_files(tmp_path_factory):
    """A directory with both sides of ``sides`` as Parquet files."""
    directory = tmp_path_factory.mktemp("sides")
    for side, name in enumerate(("offline", "online")):
        nasty.write_parquet(directory / f"{name}.parquet", sides.table(side))
    return directory


@pytest.fixture(scope="module")
def side_postgres():
    """The address of a PostgreSQL server with both sides as tables."""
    with postgres_server.server() as address:
        for side, name in enumerate(("offline", "online")):
            nasty.write_postgres(address, name, sides.table(side))
        yield address
