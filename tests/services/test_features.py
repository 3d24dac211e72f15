"""A feature store on real servers: every fault is found, every control is left in peace, every finding is seen."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab import live
from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.features import Setting
from sickbay.lab.systems.processes import free_port
from sickbay.lab.systems.programs.store import TYPES
from sickbay.lab.systems.proxy import Proxy
from sickbay.registry import FAULTS, PROBES
from sickbay.sources.context import Context
from sickbay.sources.feast import Feast
from sickbay.sources.redis import Redis

pytestmark = [pytest.mark.feast, pytest.mark.timeout(900)]
HARMFUL = sorted(f.name for f in FAULTS.load().values() if f.system == "features" and f.produces)
HARMLESS = sorted(f.name for f in FAULTS.load().values() if f.system == "features" and not f.produces)
SEEN: dict[str, set[str]] = {}
NOT_IN_THE_LAB = ("features.unexplained", "on")
"""Every fault of the lab follows a rule, or is another source: what does neither is seen in no run of it."""
PROBED = ("features.", "served.", "feature_platform.")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    held = live.start("features", tmp_path_factory.mktemp("features") / "system")
    yield held
    held.close()


@pytest.fixture(scope="module")
def site(lab):
    import tomllib

    return {**tomllib.loads(lab.site_file.read_text()), "base": lab.site_file.parent}


def note(findings):
    for finding in findings:
        state = "unknown" if finding.status == "unknown" else "on" if finding.log_ratio > 0.7 else "off"
        SEEN.setdefault(finding.id, set()).add(state)
    crashed = [f.reason for f in findings if "crashed" in (f.reason or "")]
    assert not crashed
    return {f.id: f for f in findings}


def look(lab):
    diagnosis = investigate(lab.site_file, "feature-skew")
    note(diagnosis.findings)
    return diagnosis


def probed(lab):
    for name in PROBES.load():
        if name.startswith(PROBED):
            note(run_probe(lab.site_file, name))


def changed(site, source, **keys):
    return {**site, "source": {**site["source"], source: {**site["source"][source], **keys}}}


def test_the_healthy_system_is_left_in_peace(lab):
    assert [check for check in doctor(lab.site_file) if not check.ok] == []
    diagnosis = look(lab)
    assert diagnosis.none_of_these > 0.7
    probed(lab)


@pytest.mark.parametrize("fault", HARMFUL)
def test_a_fault_is_found(lab, fault):
    lab.break_(fault, seed=21)
    try:
        diagnosis = look(lab)
        ranked = [(cause.id, round(cause.probability, 3)) for cause in diagnosis.causes[:3]]
        assert ranked[0][0] == FAULTS.get(fault).produces, ranked
        assert diagnosis.none_of_these < 0.5
        if fault in ("cut_replica", "cut_writer", "hold_replication_back"):
            probed(lab)
    finally:
        lab.heal()


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_change_is_not_accused(lab, fault):
    lab.break_(fault, seed=22)
    try:
        diagnosis = look(lab)
        if fault == "materialise_meanwhile":
            assert note(run_probe(lab.site_file, "feature_platform.view"))["features.materialising"].on
    finally:
        lab.heal()
    assert not [cause for cause in diagnosis.causes if cause.probability >= 0.5]


def test_feasts_layout_is_read_as_feast_reads_it(lab, site):
    context = Context(load(site), now(), environ={})
    redis, feast = Redis.connect(context), Feast.connect(context)
    view = feast.view()
    assert dict(view.features) == {
        n: {"Int64": "int64", "Float64": "double", "String": "string"}[k] for n, k in TYPES.items()
    }
    served = feast.serve({"user_id": [3, 7]}, list(TYPES), view=view.name).body
    names = served["metadata"]["feature_names"]
    for k, user in enumerate((3, 7)):
        read = redis.values({"user_id": user}, list(TYPES), view=view.name, project=view.project).get()
        told = {name: served["results"][names.index(name)]["values"][k] for name in TYPES}
        assert {name: read[name] for name in TYPES} == pytest.approx(told, nan_ok=True)
    redis.close(), feast.close()


def test_what_the_history_says_is_what_feast_joins(lab):
    """The as-of reading of the history and Feast's own historical retrieval give the same rows."""
    import duckdb

    lab.system.play(Setting(seed=5))
    place = lab.system.directory
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    sql = f"""
        SELECT count(*) AS n, count(*) FILTER (t.avg_amount IS DISTINCT FROM h.avg_amount) AS wrong
        FROM '{place}/training/training_set.parquet' t
        ASOF LEFT JOIN '{place}/offline/user_stats.parquet' h
        ON t.user_id = h.user_id AND t.served_at >= h.event_timestamp"""
    rows, wrong = con.execute(sql).fetchone()
    assert rows > 2000
    assert wrong == 0


def test_a_store_that_is_not_there_slow_or_full(lab, site):
    gone = run_probe(changed(site, "redis", url=f"redis://127.0.0.1:{free_port()}"), "feature_platform.store")
    assert note(gone)["online_store.unreachable"].on
    slow = Proxy(free_port(), lab.system.replica.port)
    slow.set("slow", delay=0.15)
    try:
        found = note(run_probe(changed(site, "redis", url=f"redis://127.0.0.1:{slow.port}"), "feature_platform.store"))
    finally:
        slow.close()
    assert found["online_store.slow"].on
    client = lab.system.replica.client
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.01))
    try:
        assert note(run_probe(site, "feature_platform.store"))["online_store.evicting"].on
    finally:
        client.config_set("maxmemory", 0)


def test_a_feature_server_that_is_not_there(site):
    found = run_probe(changed(site, "feast", server=f"http://127.0.0.1:{free_port()}"), "feature_platform.server")
    assert note(found)["features.server_fails"].on


def test_types_of_another_table_are_seen(lab, site):
    import duckdb

    place = lab.system.directory
    odd = place / "odd.parquet"
    duckdb.sql(
        "COPY (SELECT * REPLACE (CAST(avg_amount AS VARCHAR) AS avg_amount) "
        f"FROM '{place}/offline/user_stats.parquet') TO '{odd}' (FORMAT PARQUET)"
    )
    found = note(run_probe(changed(site, "feature_store", history=str(odd)), "feature_platform.view"))
    assert found["features.types_differ"].on


@pytest.mark.parametrize(
    ("damage", "word"),
    [(lambda data: b"", "empty"), (lambda data: data[:200], "garbled"), (lambda data: b"\x1a\x017" + data, "version"),
     (lambda data: bytes(range(256)), "garbled"), (lambda data: b"SQLite format 3\0" + b"0" * 90, "cannot be read")],
)  # fmt: skip
def test_a_registry_that_cannot_be_read_is_unknown(lab, site, tmp_path, damage, word):
    data = (lab.system.directory / "feature_repo" / "registry.db").read_bytes()
    file = tmp_path / "registry.db"
    if word == "version":  # the stated version is a field of its own: the last one counts
        data = data + b"\x1a\x019"
        file.write_bytes(data)
    else:
        file.write_bytes(damage(data))
    given = {"registry": str(file), "view": "user_stats"}
    found = run_probe({**site, "source": {**site["source"], "feast": given}}, "feature_platform.view")
    assert {f.status for f in found} == {"unknown"}
    assert any(word in f.reason or "garbled" in f.reason for f in found)


def test_half_a_site_gets_the_diagnosis_that_the_rest_allows(lab, site):
    lab.break_("hold_replication_back", seed=23)
    try:
        bare = {k: v for k, v in site["source"]["feature_store"].items() if k in ("offline", "online", "keys", "time")}
        alone = investigate({**site, "source": {"feature_store": bare}}, "feature-skew")
    finally:
        lab.heal()
    note(alone.findings)
    assert {f.id: f for f in alone.findings}["features.differ"].on
    assert alone.coverage < 0.9


def test_a_constant_lag_is_seen_in_the_values_alone(lab):
    lab.break_("hold_replication_back", seed=4)
    try:
        found = note(run_probe(lab.site_file, "features.explained"))
    finally:
        lab.heal()
    assert found["features.lagging"].on


def test_every_finding_was_seen_on_and_off():
    probes = [p for p in PROBES.load().values() if p.name.startswith(PROBED)]
    lacking = [
        f"{kind.id} was never {state}"
        for probe in probes
        for kind in probe.findings
        for state in ("on", "off")
        if state not in SEEN.get(kind.id, set()) and (kind.id, state) != NOT_IN_THE_LAB
    ]
    assert not lacking, "\n".join(lacking)


def test_the_older_libraries_really_give_other_results():
    code = (
        "import json, numpy as np; from rapidfuzz import fuzz; x = np.float32(1764012345) / 3600.0;"
        "print(json.dumps([float(x), fuzz.token_sort_ratio('Shop, Acme', 'ACME shop')]))"
    )
    said = [
        json.loads(subprocess.run([environment(name) / "bin" / "python", "-c", code], capture_output=True, text=True,
                                  check=True).stdout)
        for name in ("features-serving", "features-serving-old")
    ]  # fmt: skip
    assert not np.isclose(said[0][0], said[1][0], rtol=1e-9)
    assert said[0][1] != said[1][1]


def load(site):
    from pathlib import Path

    from sickbay.config import load_site

    return load_site(site, {}, Path(site["base"]))


def now():
    from datetime import UTC, datetime

    return datetime.now(UTC)
