"""What the tests of several engines share: one cluster for all of them, since its JVM stays with the process."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def spark():
    """A cluster of real processes: a driver and two executors."""
    from tests.services import spark_cluster

    with spark_cluster.session() as session:
        yield session
