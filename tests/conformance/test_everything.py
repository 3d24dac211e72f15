from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sickbay.config import load_site
from sickbay.conformance import cases, knowledge, probes, sources
from sickbay.knowledge.loader import load
from sickbay.registry import FAULTS, KINDS, PROBES, SOURCES
from sickbay.sources.context import Context

FILES = sorted((Path(__file__).parent.parent / "cases" / "probes").glob("*.toml"))
CASES = [case for file in FILES for case in cases.read(file)]


def by_services(probe):
    """Return whether a probe reads servers: its findings are seen on and off on real ones, in tests/services."""
    return "predictions" not in probe.sources.values()


@pytest.mark.conformance
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_probe_finds_what_its_case_says(case, tmp_path):
    probes.check_case(case, tmp_path)


@pytest.mark.parametrize("name", PROBES.load())
def test_a_probe_says_what_it_measures(name):
    probes.check_declared(PROBES.get(name))


@pytest.mark.parametrize("name", PROBES.load())
def test_an_unusable_source_never_reads_as_normal(name):
    probes.check_broken_sources(PROBES.get(name))


def test_every_finding_has_an_on_an_off_and_an_unknown_case():
    # the files of a log cannot be missing once it is open: there is no unknown case of log.damaged
    known = [probe for probe in PROBES.load().values() if probe.name != "inputs.files" and not by_services(probe)]
    probes.check_census(known, CASES)


def test_knowledge_holds_together():
    found = knowledge.problems(load(), KINDS.load(), PROBES.load(), list(FAULTS.load().values()))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SOURCES.load())
def test_a_source_reads_and_only_reads(name):
    sources.check_source(SOURCES.get(name))


def test_the_prediction_log_refuses_nonsense(tmp_path):
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "text.parquet").write_text("no table")
    (tmp_path / "nothing").mkdir()
    contexts = [
        Context(load_site({"model": {"m": {"predictions": name}}}, {}, tmp_path), datetime.now(UTC))
        for name in ("missing.parquet", "empty.parquet", "text.parquet", "nothing", "*.csv", "postgresql://u:pw@h/d#t")
    ]
    sources.check_nonsense(SOURCES.get("predictions"), contexts)
