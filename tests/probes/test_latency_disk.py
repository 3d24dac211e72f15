"""A disk timed by reads past the cache: bounded, only where allowed, and really slow where the kernel makes it so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from sickbay.config import load_site
from sickbay.errors import SiteFileError, SourceError, SourceForbidden
from sickbay.investigation import run_probe
from sickbay.lab.systems import limits
from sickbay.probes import latency_disk
from sickbay.sources.context import Context
from sickbay.sources.disk import MOST_SMALL, Disk

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
SIZE = 12_000_000
PROGRAM = """
import json, sys
from sickbay.investigation import run_probe
sys.stdin.readline()
for f in run_probe(json.loads(sys.argv[1]), "latency.disk", directory=__import__("pathlib").Path(sys.argv[2])):
    print(json.dumps({"id": f.id, "ratio": f.log_ratio, "status": f.status, "says": f.says, "reason": f.reason}))
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "model.bin").write_bytes(os.urandom(SIZE))
    os.sync()
    try:
        client(tmp_path).reads("model")
    except SourceError as error:
        pytest.skip(f"the disk of the tests cannot be timed: {error}")
    return tmp_path


def client(directory, **more):
    given = {"allow": True, "files": {"model": "model.bin"}, **more}
    return Disk.connect(Context(load_site({"source": {"disk": given}}, {}, directory), NOW))


def test_it_keeps_to_its_bounds(file):
    seen = client(file).reads("model")
    assert 0 < len(seen.small) <= MOST_SMALL
    assert seen.row_bytes <= 4_000_000 + 131_072
    few = client(file, most_megabytes=0.1).reads("model")
    assert len(few.small) * 4096 + few.row_bytes <= 100_000 + 2 * 131_072
    began = time.monotonic()
    client(file, most_megabytes=64, most_seconds=0.01).reads("model")
    assert time.monotonic() - began < 5


def test_other_places_are_read_at_another_time(file, monkeypatch):
    places = []
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: places.append(at) or real(fd, into, at))
    for seed in (1.0, 2.0):
        disk = client(file)
        disk._seed = seed
        disk.reads("model")
    half = len(places) // 2
    assert set(places[:half]) != set(places[half:])


def test_nothing_is_read_unless_the_site_allows_it(tmp_path):
    site = {"source": {"disk": {"files": {"model": "model.bin"}}}}
    with pytest.raises(SourceForbidden, match="allow = true"):
        run_probe(site, "latency.disk", directory=tmp_path)


@pytest.mark.parametrize(
    ("given", "key"),
    [({"allow": True}, "files"), ({"allow": True, "files": {"a": "b"}, "most_megabytes": 1000}, "most_megabytes")],
)
def test_what_is_wrong_in_the_site_file_is_named(tmp_path, given, key):
    with pytest.raises(SiteFileError, match=key):
        Disk.connect(Context(load_site({"source": {"disk": given}}, {}, tmp_path), NOW))


def test_a_file_that_cannot_be_timed_is_unknown(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x" * 1000)
    for name, reason in {"model.bin": "not applicable", "gone.bin": "unreachable"}.items():
        found = run_probe(
            {"source": {"disk": {"allow": True, "files": {"m": name}}}}, "latency.disk", directory=tmp_path
        )
        assert {f.status for f in found} == {"unknown"}
        assert all(f.reason.startswith(reason) for f in found), found


def test_a_disk_is_compared_with_itself(file):
    usual = latency_disk.observe(client(file))
    baseline = {"schema": "sickbay.baseline/1", "at": "", "parts": {"disk": usual}}
    (file / "baseline.json").write_text(json.dumps(baseline))
    site = {
        "system": {"baseline": "baseline.json"}, "source": {"disk": {"allow": True, "files": {"model": "model.bin"}}}
    }  # fmt: skip
    found = {f.id: f for f in run_probe(site, "latency.disk", directory=file)}
    assert not found["latency.disk_slow"].on
    assert "usually" in found["latency.disk_rate_low"].says


def test_a_disk_that_the_kernel_holds_back_is_found_slow(file):
    """The reads are made in a control group whose rate is used up, as in a container on such a volume."""
    if limits.own("blkio") is None:
        pytest.skip("no control group with blkio can be made here: it takes root or a delegated group")
    site = {"source": {"disk": {"allow": True, "files": {"model": "model.bin"}}}}
    command = [sys.executable, "-c", PROGRAM, json.dumps(site), str(file)]
    group = limits.reads(f"disk-{os.getpid()}", file, 60_000)
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
            group.add(held.pid)
            told, _ = held.communicate("go\n", timeout=60)
    finally:
        group.remove()
    found = {one["id"]: one for one in map(json.loads, told.splitlines())}
    assert found["latency.disk_slow"]["ratio"] > 0.7, found
    assert found["latency.disk_rate_low"]["ratio"] > 2, found
