"""The feature-skew scenario on tables in PostgreSQL, and a Feast registry that is kept there."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import psycopg
import pytest

from sickbay.errors import SourceError, SourceForbidden, SourceGarbled
from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.processes import free_port
from sickbay.sources import feast_registry
from tests.services import postgres as server

pytestmark = [pytest.mark.feast, pytest.mark.timeout(300)]
N = 3_000


@pytest.fixture(scope="module")
def address():
    rng = np.random.default_rng(3)
    with server.server() as found, psycopg.connect(found, autocommit=True) as con:
        for name in ("training", "served"):
            con.execute(f"CREATE TABLE {name} (user_id bigint, at timestamptz, amount double precision, country text)")
        con.execute("CREATE TABLE history (user_id bigint, held_from timestamptz, amount double precision)")
        amounts = np.round(rng.lognormal(3, 1, N), 4)
        rows = [
            (int(k % 300), float(1_767_225_600 + 3600 * k), float(a), ("DE", "FR")[k % 2])
            for k, a in enumerate(amounts)
        ]
        with con.cursor() as cursor:
            cursor.executemany("INSERT INTO training VALUES (%s, to_timestamp(%s), %s, %s)", rows)
            served = [(u, t, round(a, 1), c) for u, t, a, c in rows]
            cursor.executemany("INSERT INTO served VALUES (%s, to_timestamp(%s), %s, %s)", served)
            cursor.executemany("INSERT INTO history VALUES (%s, to_timestamp(%s), %s)", [row[:3] for row in rows])
        yield found


def site(address, **more):
    tables = {role: f"{address}#public.{name}" for role, name in
              (("offline", "training"), ("online", "served"), ("history", "history"))}  # fmt: skip
    store = {**tables, "keys": ["user_id"], "time": "at", "history_time": "held_from", **more}
    return {"system": {"name": "shop"}, "source": {"feature_store": store}}


def test_the_rounding_is_named_in_postgres(address):
    assert [check for check in doctor(site(address)) if not check.ok] == []
    diagnosis = investigate(site(address), "feature-skew")
    assert diagnosis.causes[0].id == "rounding", [(c.id, c.probability) for c in diagnosis.causes[:3]]
    assert not [f.reason for f in diagnosis.findings if "crashed" in (f.reason or "")]


def test_a_table_that_is_not_there_and_a_server_that_is_away_are_said(address):
    gone = site(address, history=f"{address}#public.nowhere")
    found = run_or_error(gone)
    assert "nowhere" in found
    away = site(f"postgresql://127.0.0.1:{free_port()}/postgres")
    assert "refused" in run_or_error(away) or "unreachable" in run_or_error(away)


def run_or_error(given):
    from sickbay.errors import SickbayError

    try:
        return " ".join(f.reason or "" for f in run_probe(given, "features.explained"))
    except SickbayError as error:
        return str(error)


@pytest.fixture(scope="module")
def registry(address, tmp_path_factory):
    """Feast's own SQL registry, row by row copied from the SQLite file that it wrote into PostgreSQL."""
    place = tmp_path_factory.mktemp("feast") / "sql"
    program = Path(__file__).with_name("feast_repository.py")
    done = subprocess.run(
        [environment("feast") / "bin" / "python", program, place, "sql"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = sqlite3.connect(place / "registry_sql.db")
    with psycopg.connect(address, autocommit=True) as con:
        con.execute("CREATE DATABASE feast")
    with psycopg.connect(address.rpartition("/")[0] + "/feast", autocommit=True) as con:
        for table in ("projects", *feast_registry.TABLES):
            names = [row[1] for row in written.execute(f"PRAGMA table_info({table})")]
            kinds = [
                "bytea" if "proto" in n or n in ("materialized_intervals", "user_metadata") else
                "bigint" if n.endswith("_timestamp") else "text" for n in names
            ]  # fmt: skip
            con.execute(f"CREATE TABLE {table} ({', '.join(f'{n} {k}' for n, k in zip(names, kinds, strict=True))})")
            marks = ", ".join(["%s"] * len(names))
            with con.cursor() as cursor:
                rows = written.execute(f"SELECT * FROM {table}").fetchall()
                if rows:
                    cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    written.close()
    return place


def test_a_registry_in_postgres_is_read_as_the_one_in_sqlite(address, registry):
    there = "postgresql+psycopg://" + address.partition("://")[2].rpartition("/")[0] + "/feast"
    assert feast_registry.read(there) == feast_registry.open_registry(registry)
    text = (registry / "feature_store.yaml").read_text()
    inside = f"sqlite:///{registry}/registry_sql.db"
    (registry / "feature_store.yaml").write_text(text.replace(inside, "${FEAST_REGISTRY}"))
    assert feast_registry.open_registry(registry, {"FEAST_REGISTRY": there}).views
    (registry / "feature_store.yaml").write_text(text)


def test_a_registry_in_postgres_that_cannot_be_read_is_said(address, registry):
    with pytest.raises(SourceGarbled, match="no SQL registry"):
        feast_registry.read(address)  # a database without its tables
    with pytest.raises(SourceError, match="unreachable"):
        feast_registry.read(f"postgresql://127.0.0.1:{free_port()}/feast")
    with pytest.raises(SourceError, match="mysql"):
        feast_registry.read("mysql+pymysql://host/feast")
    plain = address.rpartition("/")[0] + "/feast"
    with psycopg.connect(plain, autocommit=True) as con:
        con.execute("CREATE ROLE stranger LOGIN")
    user, _, rest = plain.partition("://")[2].rpartition("@")
    with pytest.raises((SourceForbidden, SourceError)):
        feast_registry.read(f"postgresql://stranger@{rest or user}")
