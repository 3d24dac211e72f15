"""Experiment tracking on real servers: every fault is found, every control is left in peace, every finding is seen."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sickbay import Named, validate
from sickbay.cli import main
from sickbay.errors import UserError
from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab import live
from sickbay.lab.systems import tracking
from sickbay.registry import FAULTS, PROBES
from sickbay.terms.finding import Finding

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(900)]
HARMFUL = sorted(f.name for f in FAULTS.load().values() if f.system == "tracking" and f.produces)
HARMLESS = sorted(f.name for f in FAULTS.load().values() if f.system == "tracking" and not f.produces)
SEEN: dict[str, set[str]] = {}
SECRETS = (tracking.PASSWORD, tracking.WATCHER_PASSWORD, tracking.STORE_SECRET)
BY_RECORDED_LINES = {"tracking.log_pool"}
"""Needs half a minute of waiting for a pool: tests/probes/test_signatures.py has the line as it stood there."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("tracking", tmp_path_factory.mktemp("tracking") / "system")
    yield held
    held.close()


def look(lab):
    diagnosis = investigate(lab.site_file, "tracking-down")
    note(diagnosis.findings)
    written = repr(diagnosis)
    assert not [secret for secret in SECRETS if secret in written]
    return diagnosis


def note(findings):
    for finding in findings:
        state = "unknown" if finding.status == "unknown" else "on" if finding.log_ratio > 0.7 else "off"
        SEEN.setdefault(finding.id, set()).add(state)


def broken(lab, fault, wait=3.0):
    for log in lab.system.directory.glob("*.log"):
        log.write_bytes(b"")
    lab.break_(fault, seed=11)
    try:
        time.sleep(wait)  # its users have to meet the failure before it stands in any log
        return look(lab)
    finally:
        lab.heal()


def test_the_healthy_system_is_left_in_peace(lab):
    checks = doctor(lab.site_file)
    assert [check for check in checks if not check.ok] == []
    time.sleep(2)
    diagnosis = look(lab)
    assert diagnosis.none_of_these > 0.8
    assert [f.id for f in diagnosis.findings if f.on] == []


@pytest.mark.parametrize("fault", HARMFUL)
def test_a_fault_is_found(lab, fault):
    diagnosis = broken(lab, fault)
    ranked = [(cause.id, round(cause.probability, 3)) for cause in diagnosis.causes[:3]]
    assert ranked[0][0] == FAULTS.get(fault).produces, ranked
    assert ranked[0][1] > 0.5, ranked
    assert diagnosis.seconds < 15


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_change_is_not_accused(lab, fault):
    diagnosis = broken(lab, fault, wait=1.0)
    assert not [cause for cause in diagnosis.causes if cause.probability >= 0.5]


def test_a_role_with_a_reserved_slot_looks_in_when_the_database_is_full(lab):
    lab.break_("hold_sessions", seed=1)
    try:
        found = {f.id: f for f in run_probe(lab.site_file, "database.sessions")}
    finally:
        lab.heal()
    assert found["database.sessions_exhausted"].on
    assert found["database.idle_sessions_hold"].status == "measured", "it saw the sessions from its reserved slot"


def test_a_wrong_password_is_said_and_reads_as_nothing_else(lab, monkeypatch):
    monkeypatch.setenv("DSN", f"postgresql://sickbay:hunter2-wrong@127.0.0.1:{lab.system.to_database.port}/mlflow")
    found = run_probe({"source": {"postgres": {"dsn": "env:DSN"}}}, "database.sessions")
    note(found)
    states = {f.id: f.status for f in found}
    assert next(f for f in found if f.id == "database.login_refused").on
    assert states["database.sessions_exhausted"] == "unknown"
    assert "hunter2-wrong" not in repr(found)


def test_a_role_that_sees_no_other_sessions_still_counts_them(lab):
    address = f"postgresql://mlflow:{tracking.PASSWORD}@127.0.0.1:{lab.system.to_database.port}/mlflow"
    found = {f.id: f for f in run_probe({"source": {"postgres": {"dsn": address}}}, "database.sessions")}
    assert found["database.sessions_exhausted"].status == "measured"
    assert "pg_monitor" in found["database.idle_sessions_hold"].reason


def test_a_version_of_the_registry_is_a_change(lab):
    model = {"predictions": "none.parquet", "registry": {"mlflow": "fraud"}}
    site = {"source": {"mlflow": {"url": lab.system.server.url}}, "model": {"fraud": model}}
    change, finding = sorted(run_probe(site, "registry.versions"), key=lambda item: isinstance(item, Finding))
    assert (change.kind, change.subject, change.detail) == ("model-version", "fraud version 1", "alias champion")
    assert finding.on
    later = {f.id: f for f in run_probe(site, "registry.versions", until="2027-12-01") if isinstance(f, Finding)}
    assert not later["registry.version_is_recent"].on, "what came long before is no change"


def keep(lab, name, alias, table):
    """Register a version whose run holds the table of its predictions."""
    url = lab.system.server.url
    api = f"{url}/api/2.0/mlflow"
    run = tracking.post(f"{api}/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    body = io.BytesIO()
    table.to_parquet(body)
    place = f"{url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/predictions.parquet"
    urllib.request.urlopen(urllib.request.Request(place, body.getvalue(), method="PUT"), timeout=30).close()
    asked = {"name": name, "source": f"mlflow-artifacts:/0/{run}/artifacts", "run_id": run}
    version = tracking.post(f"{api}/model-versions/create", asked)["model_version"]["version"]
    tracking.post(f"{api}/registered-models/alias", {"name": name, "alias": alias, "version": version})
    return version


def test_the_gate_reads_candidate_and_champion_from_the_registry(lab):
    tracking.post(f"{lab.system.server.url}/api/2.0/mlflow/registered-models/create", {"name": "gated"})
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 4000)
    ids = np.arange(4000)
    scores = {
        name: np.clip(truth * gap + rng.normal(0.3, 0.2, 4000), 0, 1) for name, gap in (("good", 0.4), ("bad", 0.1))
    }
    tables = {name: pd.DataFrame({"id": ids, "score": score}) for name, score in scores.items()}
    version = keep(lab, "gated", "champion", tables["good"])
    keep(lab, "gated", "challenger", tables["bad"])
    data = pd.DataFrame({"id": ids, "label": truth})
    verdict = validate(
        "models:/gated@challenger", "models:/gated@champion", data, site=lab.site_file, named=Named(id="id")
    )
    assert not verdict.passed
    assert (verdict.champion, verdict.candidate.split(" (")[1]) == (
        f"gated version {version} (champion)",
        "challenger)",
    )
    assert validate(f"models:/gated/{version}", tables["good"], data, site=lab.site_file, named=Named(id="id")).passed
    for wrong, says in (
        ("models:/gated@nobody", "gated@nobody"),
        ("models:/gated/99", "99"),
        ("models:/x", "names no"),
    ):
        with pytest.raises(UserError, match=says):
            validate(wrong, tables["good"], data, site=lab.site_file)


def test_an_alarm_of_a_probe_on_a_schedule_is_investigated_as_what_it_speaks_for(lab, tmp_path, capsys):
    site = tmp_path / "sickbay.toml"
    monitor = '\n[monitor.tracking]\nprobes = ["tracking.front"]\n'
    site.write_text(lab.site_file.read_text() + monitor)
    lab.break_("stop_tracking_server", seed=1)
    try:
        assert main(["watch", "--once", "--site", str(site), "--reports", str(tmp_path / "alarms")]) == 0
    finally:
        lab.heal()
    said = capsys.readouterr().out
    assert "alarm raised" in said
    assert "tracking: investigated: The tracking server's process is gone" in said
    assert list((tmp_path / "alarms").glob("tracking-*.html"))


def test_waiting_for_a_lock_is_seen(lab):
    def wait():
        with lab.system.database.connect("mlflow") as con:
            con.execute("SELECT count(*) FROM metrics")

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    with lab.system.database.connect("mlflow") as con, con.transaction():
        con.execute("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE")
        for thread in waiting:
            thread.start()
        time.sleep(2)
        note(run_probe(lab.site_file, "database.sessions"))
    for thread in waiting:
        thread.join()
    lab.system.wait_healthy()


def test_statements_that_take_long_are_seen(lab):
    assert broken(lab, "search_slowly", wait=7.0).causes[0].id == "tracking-server-overloaded"


def test_a_bucket_that_is_not_there_is_said(lab):
    store = {
        "endpoint": f"http://127.0.0.1:{lab.system.to_store.port}", "bucket": "no-such-bucket",
        "access_key": "lab:mlflow", "secret_key": tracking.STORE_SECRET,
    }  # fmt: skip
    found = run_probe({"source": {"s3": store}}, "store.reach")
    note(found)
    assert next(f for f in found if f.id == "store.bucket_missing").on


def test_a_key_whose_end_is_stated_is_spoken_of_before_and_after(lab):
    def look(expires, secret=tracking.STORE_SECRET):
        store = {
            "endpoint": f"http://127.0.0.1:{lab.system.to_store.port}", "bucket": tracking.BUCKET,
            "access_key": "lab:mlflow", "secret_key": secret, "expires": expires,
        }  # fmt: skip
        found = run_probe({"source": {"s3": store}}, "store.key")
        note(found)
        assert secret not in repr(found)
        return {f.id for f in found if f.on}

    assert look((datetime.now(UTC) + timedelta(days=90)).isoformat()) == set()
    assert look((datetime.now(UTC) + timedelta(days=3)).isoformat()) == {"store.key_expires"}
    over = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert look(over, "a-key-that-is-over") == {"store.key_expires", "store.key_expired"}


def test_half_a_site_gets_the_diagnosis_that_the_rest_allows(lab):
    site = {"source": {"mlflow": {"url": lab.system.server.url}}}
    lab.break_("cut_database", seed=1)
    try:
        diagnosis = investigate(site, "tracking-down")
    finally:
        lab.heal()
    assert diagnosis.causes[0].id == "tracking-database-unreachable"
    assert diagnosis.coverage < 0.9
    assert any(m.reason.startswith("no data: the site file names no postgres") for m in diagnosis.missing)


def test_every_finding_was_seen_on_and_off(lab):
    probes = [p for p in PROBES.load().values() if p.name.split(".")[0] in ("tracking", "database", "store")]
    lacking = [
        f"{kind.id} was never {state}"
        for probe in probes
        for kind in probe.findings
        for state in ("on", "off")
        if state not in SEEN.get(kind.id, set()) and kind.id not in BY_RECORDED_LINES
    ]
    assert not lacking, "\n".join(lacking)


def test_the_commands_of_the_lab_and_a_daemon_that_is_killed(tmp_path, monkeypatch):
    import psutil

    monkeypatch.chdir(tmp_path)
    remote = live.start_daemon("tracking", Path("here"))
    daemon = psutil.Process(json.loads(Path("here/.lab/live.json").read_text())["pid"])
    family = daemon.children(recursive=True)
    try:
        remote.break_("cut_store", seed=1)
        assert remote.status()["broken"] == ["cut_store"]
        assert investigate(remote.site_file, "tracking-down").causes[0].id == "artifact-store-unreachable"
        remote.heal()
        assert remote.status()["broken"] == []
        with pytest.raises(UserError, match="already"):
            live.start_daemon("tracking", Path("here"))
    finally:
        daemon.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, "the servers end when their holder is killed"
    with pytest.raises(UserError, match="does not run any more"):
        remote.heal()
    assert live._prepare(Path("here")) == tmp_path / "here", "what a killed daemon left behind is no hindrance"


def test_nothing_runs_after_the_end(tmp_path):
    import psutil

    held = live.start("tracking", tmp_path / "again")
    servers = [*held.system.store.all, held.system.database.server, held.system.server.running()]
    family = [process for server in servers for process in server.family()]
    assert len(family) >= 8
    held.close()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
