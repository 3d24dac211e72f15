"""Room on disks is read from the system, and what cannot be read is unknown."""

from __future__ import annotations

import os
from types import SimpleNamespace

from sickbay.investigation import run_probe


def disks(paths, directory):
    found = run_probe({"source": {"host": {"paths": paths}}}, "host.disks", directory=directory)
    return {f.id: f for f in found}


def test_room_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: given(free=0.5))
    found = disks({"data": "."}, tmp_path)
    assert not found["host.disk_full"].on
    assert not found["host.disk_nearly_full"].on


def test_a_full_disk_and_one_out_of_entries_are_full(tmp_path, monkeypatch):
    for room in (given(free=0.0005), given(free=0.5, inodes=0.0)):
        monkeypatch.setattr(os, "statvfs", lambda _, room=room: room)
        assert all(f.on for f in disks({"data": "."}, tmp_path).values())


def test_a_path_that_is_not_there_or_no_path_is_unknown(tmp_path):
    for paths in ({"data": "missing"}, {}):
        assert {f.status for f in disks(paths, tmp_path).values()} == {"unknown"}


def volumes(paths, directory):
    found = run_probe({"source": {"host": {"paths": paths}}}, "host.volumes", directory=directory)
    return {f.id: f for f in found}


def test_a_volume_that_nobody_may_write_and_one_that_is_gone_are_told_apart(tmp_path):
    (tmp_path / "sealed").mkdir(mode=0o555)
    (tmp_path / "open").mkdir()
    well = volumes({"data": "open"}, tmp_path)
    assert [f.status for f in well.values()] == ["measured", "measured"]
    assert not [f for f in well.values() if f.on]
    assert volumes({"data": "sealed"}, tmp_path)["host.volume_read_only"].on
    gone = volumes({"data": "nowhere"}, tmp_path)
    assert gone["host.volume_missing"].on
    assert gone["host.volume_read_only"].status == "unknown"
    assert {f.status for f in volumes({}, tmp_path).values()} == {"unknown"}


def test_a_file_system_mounted_read_only_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert volumes({"data": "."}, tmp_path)["host.volume_read_only"].on


def given(free, inodes=0.9):
    return SimpleNamespace(
        f_frsize=4096, f_blocks=10_000, f_bavail=int(10_000 * free), f_favail=1000 * inodes, f_files=1000
    )
