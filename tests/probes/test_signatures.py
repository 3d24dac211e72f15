"""Every signature knows its own example and no other's, and the log's lines become the findings they stand for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sickbay.investigation import run_probe
from sickbay.probes import signatures, tracking
from sickbay.probes.database import mlflow_revisions

EXPECTED = {
    "database-refused": "tracking.log_database_away", "database-closed": "tracking.log_database_away",
    "database-login": "tracking.log_database_away", "database-slots": "tracking.log_no_slots",
    "client-pool": "tracking.log_pool", "worker-timeout": "tracking.log_pool",
    "database-disk-full": "tracking.log_database_full", "schema-mismatch": "tracking.log_schema",
    "schema-refused": "tracking.log_schema", "store-unreachable": "tracking.log_store_away",
    "store-denied": "tracking.log_store_denied", "store-login": "tracking.log_store_denied",
    "store-full": "tracking.log_store_full", "local-disk-full": "tracking.log_store_full",
    "server-stopping": "tracking.log_stopped",
}  # fmt: skip
NOW = datetime(2026, 1, 5, 3, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("signature", signatures.catalogue(), ids=lambda one: one.id)
def test_a_signature_knows_its_example_and_no_other_does(signature):
    assert signatures.meanings(signature.example) == [signature.id]
    assert signature.source


@pytest.mark.parametrize(("name", "finding"), EXPECTED.items())
def test_a_line_of_the_log_is_the_finding_it_stands_for(name, finding, tmp_path):
    example = next(one.example for one in signatures.catalogue() if one.id == name)
    lines = ["2026/01/05 03:00:00Z INFO:  GET /health 200"] * 3 + [
        f"2026/01/05 03:00:2{k}Z {example}" for k in range(3)
    ]
    found = read(tmp_path, "\n".join(lines))
    assert [f.id for f in found.values() if f.on] == [finding]


def test_lines_from_before_say_nothing_about_now(tmp_path):
    example = next(one.example for one in signatures.catalogue() if one.id == "database-slots")
    found = read(tmp_path, f"2026/01/05 01:00:00Z {example}\n2026/01/05 03:00:00Z INFO:  GET /health 200")
    assert not found["tracking.log_no_slots"].on


def test_an_empty_or_undated_log_is_unknown(tmp_path):
    for text in ("", "no date here\nnor here"):
        assert {f.status for f in read(tmp_path, text).values()} == {"unknown"}


def test_a_log_that_is_not_there_or_not_named_is_unknown(tmp_path):
    for files in ({"mlflow": "gone.log"}, {"other": "x.log"}):
        found = run_probe({"source": {"logs": {"files": files}}}, "tracking.log", directory=tmp_path)
        assert {f.status for f in found} == {"unknown"}


def test_the_revisions_of_the_schema_are_one_chain():
    chain, heads = mlflow_revisions()
    assert len(set(chain)) == len(chain)
    assert set(heads.values()) <= set(chain)
    order = sorted(heads, key=lambda release: tuple(map(int, release.split("."))))
    places = [chain.index(heads[release]) for release in order]
    assert places == sorted(places), "a later release never has an older schema"
    assert tracking.RECENT.total_seconds() > 60


def read(directory, text):
    (directory / "mlflow.log").write_text(text)
    site = {"source": {"logs": {"files": {"mlflow": "mlflow.log"}}}}
    return {f.id: f for f in run_probe(site, "tracking.log", directory=directory, clock=lambda: NOW)}
