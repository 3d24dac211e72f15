"""Files, names, ports, certificates and units are read as they are; what cannot be read is an error with its reason."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from sickbay.config import load_site
from sickbay.errors import SiteFileError, SourceError, SourceForbidden, UserError
from sickbay.investigation import run_probe
from sickbay.sources import services
from sickbay.sources.context import Context
from sickbay.sources.files import Files
from sickbay.sources.network import Network, resolve
from tests.sources.hostile import _certificate, server

NOW = datetime(2026, 1, 10, 3, tzinfo=UTC)


def write(path, text, age_hours):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = (NOW - timedelta(hours=age_hours)).timestamp()
    os.utime(path, (at, at))


def days(root, columns=("id", "amount"), last=None, rows=200, last_rows=None, newest_hours=1):
    for k in range(5):
        names = last if last and k == 0 else columns
        many = last_rows if last_rows is not None and k == 0 else rows
        body = "\n".join([",".join(names), *(",".join(str(n) for _ in names) for n in range(many))])
        write(root / f"date=2026-01-{9 - k:02}" / "part-0.csv", body, newest_hours + 24 * k)


def fresh(root, within="26h"):
    site = {"source": {"files": {"data": {"orders": {"path": str(root), "fresh_within": within}}}}}
    items = run_probe(site, "data.freshness", clock=lambda: NOW)
    return {f.id: f for f in items if hasattr(f, "status")}, [c for c in items if not hasattr(c, "status")]


def test_fresh_data_of_the_usual_shape_is_well(tmp_path):
    days(tmp_path)
    found, changes = fresh(tmp_path)
    assert {f.status for f in found.values()} == {"measured"}
    assert not [f.id for f in found.values() if f.on]
    assert changes == []


def test_data_that_is_late_says_by_how_much(tmp_path):
    days(tmp_path, newest_hours=30)
    late = fresh(tmp_path)[0]["data.late"]
    assert late.on
    assert late.statistic == pytest.approx(4)
    assert late.evidence.numbers["limit"] == 0


def test_a_column_that_is_gone_is_a_change_of_schema(tmp_path):
    days(tmp_path, last=("id", "amount_usd"))
    found, changes = fresh(tmp_path)
    assert found["data.schema_changed"].on
    assert [(c.kind, c.detail) for c in changes] == [("schema", "gone amount; new amount_usd")]


def test_a_partition_of_few_rows_is_seen(tmp_path):
    days(tmp_path, last_rows=20)
    assert fresh(tmp_path)[0]["data.shrunk"].on


def test_no_files_a_missing_root_and_one_partition_are_not_normal(tmp_path):
    assert {f.status for f in fresh(tmp_path / "gone")[0].values()} == {"unknown"}
    (tmp_path / "empty").mkdir()
    assert fresh(tmp_path / "empty")[0]["data.late"].on, "a data set without any file is late"
    days(tmp_path / "some")
    found, _ = fresh(tmp_path / "some" / "date=2026-01-09")
    assert found["data.schema_changed"].status == found["data.shrunk"].status == "unknown"


def test_globs_directories_and_files_are_read_and_nonsense_is_refused(tmp_path):
    days(tmp_path)

    def connect(path, within="1h"):
        site = load_site({"source": {"files": {"data": {"d": {"path": path, "fresh_within": within}}}}}, {}, tmp_path)
        return Files.connect(Context(site, NOW))

    for path, many in (("date=*/*.csv", 5), (".", 5), ("date=2026-01-09/part-0.csv", 1)):
        files = connect(path)
        assert len(files.partitions(files.data["d"])) == many
        assert files.rows(files.partitions(files.data["d"])[0]) == 200
    with pytest.raises(SiteFileError, match="no length of time"):
        connect(".", "soon")
    with pytest.raises(SiteFileError, match=r"no \[source.s3\]"):
        connect("s3://bucket/prefix")


def network(targets, directory, **more):
    site = load_site({"source": {"network": {"targets": targets, **more}}}, {}, directory)
    return Network.connect(Context(site, datetime.now(UTC)))


def test_names_that_do_not_resolve_are_told_from_ports_that_refuse(tmp_path):
    with server("refuse", tmp_path) as port:
        found = {f.id: f for f in run_probe({"source": {"network": {"targets": {
            "gone": "tcp://nowhere.invalid:80", "closed": f"tcp://127.0.0.1:{port}"}}}}, "network.reach")}  # fmt: skip
    assert found["network.name_unresolved"].on
    assert found["network.port_refused"].on
    assert found["network.certificate_expires"].status == "unknown"
    assert resolve("localhost", 80, 3)[1] == "ok"


def test_a_target_that_is_none_is_refused(tmp_path):
    for wrong in ("nonsense", "tcp://host", "tcp://:80", "tcp://h:port"):
        with pytest.raises(SiteFileError, match="no target"):
            network({"x": wrong}, tmp_path)


def certified(directory, days):
    """Write a certificate of localhost that is good for some days."""
    import subprocess

    key, cert = directory / "k.pem", directory / "c.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert),
         "-days", str(days),
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


@pytest.mark.parametrize(("days", "on"), [(5, True), (400, False)])
def test_a_certificate_that_runs_out_is_seen_weeks_before(days, on, tmp_path):
    context, cert = certified(tmp_path, days)

    def greet(listener):
        line, _ = listener.accept()
        with context.wrap_socket(line, server_side=True) as wrapped, contextlib.suppress(ConnectionError):
            wrapped.recv(1)  # the probe may reset the connection once it has seen the certificate

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        site = {
            "source": {"network": {"targets": {"a": f"tls://127.0.0.1:{listener.getsockname()[1]}"}, "ca": str(cert)}}
        }
        found = {f.id: f for f in run_probe(site, "network.reach")}
        thread.join()
    expires = found["network.certificate_expires"]
    assert expires.on == on
    assert expires.statistic == pytest.approx(days, abs=0.1)
    assert expires.evidence.numbers["limit"] == 14
    assert found["network.certificate_bad"].status == "measured"
    assert not found["network.certificate_bad"].on


def test_the_name_service_that_hangs_has_an_end(monkeypatch):
    def hang(*_, **__):
        time.sleep(1)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    addresses, state, detail = resolve("x", 80, 0.05)
    assert (addresses, state) == ((), "resolver")
    assert "no answer" in detail


UNITS = """Id=airflow-scheduler.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=oom-kill
ExecMainCode=2
ExecMainStatus=9
NRestarts=7

Id=ssh.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
ExecMainStatus=0
NRestarts=0
"""
JOURNAL = (
    '{"__REALTIME_TIMESTAMP":"1767668400000000","PRIORITY":"3","MESSAGE":"Failed with result \'oom-kill\'.",'
    '"_SYSTEMD_UNIT":"init.scope"}\nnot json\n'
    '{"__REALTIME_TIMESTAMP":"1767668401000000","PRIORITY":"6","MESSAGE":[104,105],"_SYSTEMD_UNIT":"a.service"}\n'
)


def units(monkeypatch, answer):
    def run(*command):
        if isinstance(answer, Exception):
            raise answer
        return answer if command[0] == "systemctl" else JOURNAL

    monkeypatch.setattr(services, "run", run)
    site = {"source": {"services": {"units": ["airflow-scheduler.service", "ssh.service"]}}}
    return {f.id: f for f in run_probe(site, "services.units")}


def test_units_are_read_as_systemd_prints_them(monkeypatch):
    found = units(monkeypatch, UNITS)
    assert all(f.on for f in found.values())
    assert "oom-kill" in repr(found["services.unit_down"].evidence)
    assert [entry.text for entry in services.parse_journal(JOURNAL)] == ["Failed with result 'oom-kill'.", "hi"]


def test_units_that_run_are_well_and_unknown_ones_unknown(monkeypatch):
    assert not [f for f in units(monkeypatch, UNITS[UNITS.index("Id=ssh") :]).values() if f.on]
    for answer in (
        SourceForbidden("forbidden: no"),
        SourceError("not applicable: no systemd"),
        "Id=x\nLoadState=not-found\n",
    ):
        assert {f.status for f in units(monkeypatch, answer).values()} == {"unknown"}


def test_a_host_without_systemd_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="not applicable: there is no systemctl"):
        services.run("systemctl", "show", "--property=Id", "--", "none.service")


def test_the_hostile_certificate_is_not_accepted(tmp_path):
    _certificate(tmp_path)
    with server("bad certificate", tmp_path) as port:
        (way,) = network({"a": f"tls://127.0.0.1:{port}"}, tmp_path).ways()
    assert way.state == "certificate"


@pytest.mark.parametrize(
    ("source", "given", "probe", "key"),
    [
        ("airflow", {"url": "http://127.0.0.1:99999"}, "pipeline.health", r"airflow\.url"),
        ("airflow", {"url": "http://127.0.0.1:0"}, "pipeline.health", r"airflow\.url"),
        ("mlflow", {"url": "http://127.0.0.1:x"}, "tracking.front", r"mlflow\.url"),
        ("s3", {"endpoint": "http://127.0.0.1:1", "bucket": "s3://b/prod"}, "store.reach", r"s3\.bucket"),
        ("network", {"targets": {"dns": "udp://127.0.0.1:53"}}, "network.reach", r"targets\.dns"),
    ],
)
def test_what_can_be_no_address_is_a_mistake_of_the_site_and_no_system_that_is_down(source, given, probe, key):
    with pytest.raises(UserError, match=key):
        run_probe({"source": {source: given}}, probe)


def test_a_store_that_refuses_connections_is_unreachable_and_a_name_no_bucket_can_have_says_nothing_of_it():
    def look(bucket):
        given = {"endpoint": "http://127.0.0.1:1", "bucket": bucket, "access_key": "k", "secret_key": "not-shown"}
        return {f.id: f for f in run_probe({"source": {"s3": given}}, "store.reach")}

    assert look("mlflow")["store.unreachable"].log_ratio > 4
    assert "list: unreachable" in look("mlflow")["store.unreachable"].says
    assert {f.status for f in look("no bucket?").values()} == {"unknown"}
