"""A model server made slow in every way: each cause is found, each control is left in peace, each finding is seen."""

from __future__ import annotations

import json
import time

import psutil
import pytest

from sickbay.errors import SourceForbidden
from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab import live
from sickbay.lab.systems import limits, serving
from sickbay.registry import FAULTS

pytestmark = [pytest.mark.serving, pytest.mark.timeout(420)]
OURS = [f for f in FAULTS.load().values() if f.system == "serving"]
BY_GROUPS = {"limit_cpu": "cpu", "limit_reads": "blkio", "leave_no_memory": "memory", "map_large_model": "memory"}
FIRST = {
    "call_in_the_loop", "lose_connections", "delay_risk", "compare_pairs", "compute_words", "score_row_by_row",
    "keep_every_event", "collect_garbage", "load_models_in_turn", "recycle_workers", "limit_cpu", "limit_reads",
}  # fmt: skip
"""One fault per cause is enough here; ``sickbay lab bench serving-latency`` tries all of them."""
TAKES = {"delay_risk": "downstream", "lose_connections": "pool", "limit_reads": "disk"}
"""Fault → the part of a request's time that it lengthens."""
HARMLESS = sorted(f.name for f in OURS if not f.produces)
SECRETS = (serving.PASSWORD, serving.WATCHER_PASSWORD)
SEEN: dict[str, set[str]] = {}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("serving", tmp_path_factory.mktemp("serving") / "system")
    yield held
    held.close()


def look(lab):
    diagnosis = investigate(lab.site_file, "serving-latency")
    for finding in diagnosis.findings:
        state = "unknown" if finding.status == "unknown" else "on" if finding.log_ratio > 0.7 else "off"
        SEEN.setdefault(finding.id, set()).add(state)
    assert not [secret for secret in SECRETS if secret in repr(diagnosis)]
    return diagnosis


def broken(lab, fault, wait):
    controller = BY_GROUPS.get(fault)
    if controller and limits.own(controller) is None:
        pytest.skip(f"no control group with {controller} can be made here: it takes root or a delegated group")
    lab.break_(fault, seed=11)
    try:
        time.sleep(wait)  # its clients have to meet it first
        return look(lab)
    finally:
        lab.heal()


def test_every_cause_has_a_fault_that_is_tried_here():
    assert {FAULTS.get(name).produces for name in FIRST} == {f.produces for f in OURS if f.produces}


def test_the_healthy_system_is_left_in_peace(lab):
    assert [check for check in doctor(lab.site_file) if not check.ok] == []
    diagnosis = look(lab)
    assert not [cause for cause in diagnosis.causes if cause.probability >= 0.5]
    assert diagnosis.finding("latency.slow").status == "measured"
    assert diagnosis.finding("latency.time_unaccounted").evidence.numbers["processor"] > 0


@pytest.mark.parametrize("fault", sorted(FIRST))
def test_a_cause_is_found(lab, fault):
    diagnosis = broken(lab, fault, wait=3.0)
    ranked = [(cause.id, round(cause.probability, 3)) for cause in diagnosis.causes[:3]]
    assert FAULTS.get(fault).produces in [name for name, _ in ranked], ranked
    assert ranked[0][0] == FAULTS.get(fault).produces, ranked
    told = diagnosis.finding("latency.time_unaccounted")
    if fault in TAKES and told.status == "measured":
        numbers = told.evidence.numbers
        assert numbers[TAKES[fault]] > 0.4 * numbers["whole"], told.says


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_change_is_not_accused(lab, fault):
    diagnosis = broken(lab, fault, wait=1.0)
    assert not [cause for cause in diagnosis.causes if cause.probability >= 0.5]


def test_a_site_that_only_knows_the_address_still_measures_and_says_what_it_did_not_see(lab, tmp_path):
    request = json.loads((lab.system.directory / "request.json").read_text())
    (tmp_path / "request.json").write_text(json.dumps(request))
    site = {"source": {"serving": {"url": f"{lab.system.server.url}/predict", "request": "request.json"}}}
    diagnosis = investigate(site, "serving-latency", directory=tmp_path)
    found = {f.id: f for f in diagnosis.findings}
    assert found["latency.slow"].status == "measured"
    assert found["latency.health_slow"].status == "unknown"
    missing = {m.finding: m.reason for m in diagnosis.missing}
    assert any("names no process" in reason for reason in missing.values()), missing


def test_stacks_are_refused_unless_the_site_allows_them(lab):
    pid_file = str(lab.system.server.pid_file)
    with pytest.raises(SourceForbidden, match="not allowed"):
        run_probe({"source": {"profile": {"pid_file": pid_file}}}, "latency.stacks")


def test_gentle_takes_no_stacks_and_sends_only_usual_requests_one_at_a_time(lab):
    diagnosis = investigate(lab.site_file, "serving-latency", mode="gentle")
    assert "latency.stacks" not in {f.probe for f in diagnosis.findings}
    assert diagnosis.finding("latency.slow").status == "measured"
    for left_out in ("latency.grows_fast", "latency.requests_queue"):
        assert diagnosis.finding(left_out).reason.startswith("not done")


def test_traces_tell_the_way_from_the_service(lab):
    spans = str(lab.system.directory / "spans")
    site = {"source": {"traces": {"files": [f"{spans}/model-server.jsonl", f"{spans}/risk.jsonl"]}}}
    before = run_probe(site, "latency.traces")[0]
    lab.break_("delay_risk", seed=1)
    try:
        for place in ("model-server", "risk"):
            (lab.system.directory / "spans" / f"{place}.jsonl").write_text("")  # rotated
        end = time.monotonic() + 60  # a quarter of the requests is traced
        while (after := run_probe(site, "latency.traces")[0]).status == "unknown" and time.monotonic() < end:
            time.sleep(1)
    finally:
        lab.heal()
    assert (before.on, after.on) == (False, True), (before, after)


def test_most_findings_were_seen_on_and_off():
    rare = {"latency.dependency_away", "latency.memory_tight", "latency.major_faults", "latency.stacks_in_loading"}
    rare |= {"latency.load_saturates", "latency.shared_limit", "latency.elsewhere"}  # the lab has no Prometheus
    told = {name for name in SEEN if name.startswith("latency.")} - rare
    lacking = [name for name in told if "off" not in SEEN[name]]
    assert not lacking


def test_nothing_runs_after_the_end(tmp_path):
    held = live.start("serving", tmp_path / "again")
    servers = [held.system.database.server, held.system.server.server, held.system.risk.server, held.system.load.server]
    family = [process for server in servers for process in server.family()]
    assert len(family) >= 6
    held.close()
    psutil.wait_procs(family, timeout=10)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
