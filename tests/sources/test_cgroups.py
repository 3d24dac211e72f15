"""Control groups: files of both versions as kernels write them, and the real ones of this host."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sickbay.config import load_site
from sickbay.errors import SourceError
from sickbay.sources.cgroups import Cgroups, of_process
from sickbay.sources.context import Context

POD, CONTAINER = "2e1c7012-582d-4993-8e08-5bc44a874875", "7949fe535320ab26b1bec6e09743f037"
V2 = {
    "memory.current": "83886080\n", "memory.peak": "100663296\n", "memory.max": "100663296\n",
    "memory.stat": "anon 61865984\nfile 20971520\ninactive_file 15728640\npgmajfault 12\n",
    "memory.events": "low 0\nhigh 0\nmax 125\noom 1\noom_kill 1\noom_group_kill 0\n",
    "cpu.stat": "usage_usec 1000000\nnr_periods 55\nnr_throttled 51\nthrottled_usec 4060000\n",
    "cpu.max": "20000 100000\n", "io.stat": "254:0 rbytes=2000000 wbytes=1000 rios=4 wios=1 dbytes=0 dios=0\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 total=250000\nfull avg10=0.00 avg60=0.00 total=1000\n",
}  # fmt: skip
V1 = {
    "memory": {
        "memory.usage_in_bytes": "83886080\n", "memory.max_usage_in_bytes": "100663296\n",
        "memory.limit_in_bytes": "100663296\n", "memory.failcnt": "109\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        "memory.stat": "cache 1\nrss 2\ntotal_cache 20971520\ntotal_rss 61865984\n"
        "total_inactive_file 15728640\ntotal_pgmajfault 12\n",
    },
    "cpu": {
        "cpu.cfs_quota_us": "20000\n", "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 55\nnr_throttled 51\nthrottled_time 4060000000\n",
    },
    "cpuacct": {"cpuacct.usage": "1000000000\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes": "254:0 Read 2000000\n254:0 Write 1000\n254:0 Total 2001000\nTotal 2001000\n"
    },
}  # fmt: skip


def write(place, files):
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text, encoding="ascii")


def host(tmp_path, version):
    if version == 2:
        slices = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice"
        write(tmp_path / slices / f"cri-containerd-{CONTAINER}.scope", V2)
    else:
        for controller, files in V1.items():
            write(tmp_path / controller / "kubepods" / "burstable" / f"pod{POD}" / CONTAINER, files)
    return reader(tmp_path)


def reader(root):
    site = load_site({"source": {"cgroups": {"root": str(root)}}}, {}, Path())
    return Cgroups.connect(Context(site, datetime.now(UTC)))


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_say_the_same_of_the_same_container(tmp_path, version):
    groups = host(tmp_path, version)
    assert groups.version == version
    found = groups.find(CONTAINER, POD)
    memory = groups.memory(found[CONTAINER])
    assert (memory.current, memory.peak, memory.limit) == (83886080, 100663296, 100663296)
    assert (memory.anonymous, memory.kills, memory.major_faults) == (61865984, 1, 12)
    assert memory.working_set == 83886080 - 15728640
    assert memory.at_limit == (109 if version == 1 else 125)
    cpu = groups.cpu(found[CONTAINER])
    assert (cpu.seconds, cpu.quota, cpu.periods, cpu.throttled) == (1.0, 0.2, 55, 51)
    assert cpu.throttled_seconds == pytest.approx(4.06)
    assert groups.io_bytes(found[CONTAINER]) == (2000000, 1000)
    assert POD in found


def test_pressure_is_read_where_the_kernel_measures_it(tmp_path):
    groups = host(tmp_path, 2)
    group = groups.find(CONTAINER)[CONTAINER]
    assert groups.pressure(group, "memory") == {"some": 0.25, "full": 0.001}
    assert groups.pressure(group, "io") is None


def test_no_limit_is_none_and_not_a_large_number(tmp_path):
    groups = host(tmp_path, 2)
    group = groups.find(CONTAINER)[CONTAINER]
    (group.places["memory"] / "memory.max").write_text("max\n", encoding="ascii")
    assert groups.memory(group).limit is None
    (tmp_path / "one").mkdir()
    groups = host(tmp_path / "one", 1)
    group = groups.find(CONTAINER)[CONTAINER]
    (group.places["memory"] / "memory.limit_in_bytes").write_text("9223372036854771712\n", encoding="ascii")
    assert groups.memory(group).limit is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_is_gone_is_unknown_and_not_empty(tmp_path, version):
    groups = host(tmp_path, version)
    group = groups.find(CONTAINER)[CONTAINER]
    for file in group.places["memory"].iterdir():
        file.unlink()
    for read in (groups.memory, groups.cpu) if version == 2 else (groups.memory,):
        with pytest.raises(SourceError, match="gone"):
            read(group)


def test_a_host_without_control_groups_says_so(tmp_path):
    with pytest.raises(SourceError, match="no control groups"):
        reader(tmp_path / "none")


@pytest.mark.skipif(not Path("/sys/fs/cgroup").is_dir(), reason="this host has no control groups")
def test_the_groups_of_this_host_can_be_read():
    groups = reader("/sys/fs/cgroup")
    assert groups.check()[0].ok
    if groups.version == 1:
        assert groups.memory(groups.group("")).current > 0


def process(tmp_path, lines):
    (tmp_path / "proc" / "77").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "cgroup").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path / "proc"


def test_the_group_of_a_process_in_version_2(tmp_path):
    write(tmp_path / "groups" / "pods" / "a", V2)
    proc = process(tmp_path, ["0::/pods/a"])
    group = of_process(77, tmp_path / "groups", proc)
    found = Cgroups()
    assert group.version == 2
    assert (found.memory(group).current, found.cpu(group).throttled_seconds) == (83886080, 4.06)
    assert found.pressure(group, "memory") == {"some": 0.25, "full": 0.001}


def test_the_group_of_a_process_in_version_1_with_stalls_from_the_unified_tree(tmp_path):
    for controller, files in V1.items():
        write(tmp_path / "groups" / controller / "kube" / controller, files)
    write(tmp_path / "groups" / "unified" / "both", {"memory.pressure": V2["memory.pressure"]})
    lines = ["5:memory:/kube/memory", "4:cpu:/kube/cpu", "3:cpuacct:/kube/cpuacct", "2:blkio:/kube/blkio", "0::/both"]
    group = of_process(77, tmp_path / "groups", process(tmp_path, lines))
    found = Cgroups()
    assert group.version == 1
    assert (found.memory(group).anonymous, found.cpu(group).throttled_seconds) == (61865984, 4.06)
    assert found.pressure(group, "memory")["some"] == 0.25


def test_within_a_pod_the_paths_of_the_host_are_not_there(tmp_path):
    write(tmp_path / "groups", V2)
    group = of_process(77, tmp_path / "groups", process(tmp_path, ["0::/kubepods.slice/x"]))
    assert Cgroups().memory(group).limit == 100663296


def test_a_process_that_is_gone_has_no_group(tmp_path):
    assert of_process(78, tmp_path, tmp_path) is None
