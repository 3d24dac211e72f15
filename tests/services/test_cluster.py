"""A scorer on a real Kubernetes, broken and rolled back: read with the shipped role's rights, its faults told apart.

Not part of the usual rings: ``python -m tests.services.kubernetes_build`` once (seven minutes), then
``SICKBAY_RINGS=cluster python tests/rings.py`` as root (three minutes). ``SICKBAY_RECORD=DIRECTORY`` records objects.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.services import namespaces

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def said():
    records = [os.environ["SICKBAY_RECORD"]] if os.environ.get("SICKBAY_RECORD") else []
    return namespaces.run("tests.services.in_cluster", 800, *records)


def test_the_shipped_role_is_enough_and_no_more_than_it_says(said):
    missing = [line for line in said["doctor"]["not"] if "metrics API" not in line]
    assert not missing
    nodes = [line for line in said["without nodes"]["not"] if "nodes" in line]
    assert len(nodes) == 1
    assert "docs/kubernetes-role.yaml grants it" in nodes[0]


def test_the_healthy_service_is_left_in_peace(said):
    for step in ("healthy", "rolled back"):
        assert said[step]["none"] > 0.8, said[step]
        assert set(said[step]["on"]) <= {"pods.first_revision", "pods.cannot_scale_out"}


def test_an_autoscaler_without_metrics_is_said_to_be_stuck(said):
    assert "unable to" in said["autoscaler"]["on"]["pods.cannot_scale_out"]
    assert said["autoscaler"]["none"] > 0.8, said["autoscaler"]


@pytest.mark.parametrize(("step", "cause"), [("leak", "memory-leak"), ("limit", "limit-too-low")])
def test_a_kill_by_the_kernel_is_traced_to_its_cause(said, step, cause):
    assert said[step]["ranked"][0][0] == cause, said[step]
    assert said[step]["ranked"][0][1] > 0.6
    assert "OOMKilled with 137" in said[step]["on"]["pods.oom_killed"]


def test_a_lowered_limit_is_named_with_its_revision(said):
    assert "288 MiB → 176 MiB" in said["limit"]["on"]["pods.limit_lowered"]


def test_without_rights_nothing_is_claimed_and_the_right_that_is_missing_is_named(said):
    reasons = [reason for name, reason in said["without rights"]["unknown"].items() if name.startswith("pods.")]
    assert len(reasons) >= 8
    assert all("403" in reason and reason.startswith("forbidden") for reason in reasons), reasons
    assert said["without rights"]["on"] == {}


def test_nothing_is_left_on_the_host(said):
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{said['group']}"))
    assert "sickbay-namespaces" not in Path("/proc/mounts").read_text(encoding="utf-8")
