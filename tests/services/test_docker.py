"""A scorer in containers of a real Docker engine, without a cluster: a kill is traced to its cause."""

from __future__ import annotations

import fcntl

import pytest

from sickbay.lab.systems.environments import cache
from sickbay.lab.systems.processes import LabError
from tests.services import debian, namespaces

pytestmark = [pytest.mark.pods, pytest.mark.timeout(400)]
PACKAGES = ("docker.io", "containerd", "runc", "libseccomp2", "libdevmapper1.02.1", "libsystemd0")


@pytest.fixture(scope="module")
def said():
    if why := namespaces.hindrance():
        pytest.skip(f"no Docker engine: {why}")
    place = cache() / "debian-docker"
    try:
        with (cache() / "debian-docker.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (place / "usr" / "sbin" / "dockerd").exists():
                debian.unpack(PACKAGES, place)
    except LabError as error:
        pytest.skip(f"Docker's engine cannot be had: {error}")
    return namespaces.run("tests.services.in_docker", 300)


def test_the_healthy_containers_are_read_and_left_in_peace(said):
    assert said["doctor"]["containers"] == [True, "2 of the containers scorer"]
    assert said["healthy"]["none"] > 0.8, said["healthy"]
    assert said["healthy"]["on"] == {}


def test_a_leak_is_found_behind_the_kills(said):
    assert said["leak"]["ranked"][0][0] == "memory-leak", said["leak"]
    assert said["leak"]["ranked"][0][1] > 0.6, said["leak"]
    assert "OOMKilled with 137" in said["leak"]["on"]["pods.oom_killed"]


def test_what_a_cluster_alone_knows_is_unknown(said):
    for name in ("pods.limit_lowered", "pods.release_changed", "pods.cannot_scale_out"):
        assert name not in said["leak"]["on"]
