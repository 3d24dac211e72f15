"""What real Feast keeps without servers: registries in a file and in SQL, a SQLite online store, on-demand views."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import duckdb
import pytest

import sickbay
from sickbay.cli import main
from sickbay.errors import SourceGarbled, UserError
from sickbay.investigation import doctor, investigate, run_probe
from sickbay.lab.systems.environments import environment
from sickbay.sources import feast_registry

pytestmark = [pytest.mark.feast, pytest.mark.timeout(300)]
VIEWS = ["of_columns", "of_frames", "of_one_row", "with_a_name_from_elsewhere"]


def python():
    return environment("feast") / "bin" / "python"


def made(place, kind):
    program = Path(__file__).with_name("feast_repository.py")
    done = subprocess.run([python(), program, place, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    directory = tmp_path_factory.mktemp("feast")
    served = {kind: made(directory / kind, kind) for kind in ("file", "sql")}
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    stats = f"'{directory}/file/stats.parquet'"
    for name, amount in (("training", "amount"), ("served", "round(amount)")):
        con.execute(
            f"COPY (SELECT user_id, event_timestamp AS at, {amount} AS amount, amount * 0.5 AS order_amount, "
            f"count, country FROM {stats}) TO '{directory}/{name}.parquet' (FORMAT PARQUET)"
        )
    return directory, served


def site(directory, kind, **feast):
    store = {
        "offline": str(directory / "training.parquet"), "online": str(directory / "served.parquet"),
        "keys": ["user_id"], "time": "at", "history": str(directory / kind / "stats.parquet"),
        "history_time": "event_timestamp",
    }  # fmt: skip
    source = {"feature_store": store, "feast": {"repository": str(directory / kind), "view": "stats", **feast}}
    return {"system": {"name": "shop"}, "source": source, "base": directory}


@pytest.mark.parametrize("kind", ["file", "sql"])
def test_a_registry_says_the_same_in_a_file_and_in_sql(repositories, kind):
    directory, _ = repositories
    found = feast_registry.open_registry(directory / kind)
    (view,) = [v for v in found.views if v.name == "stats"]
    assert (dict(view.features), view.project) == ({"amount": "double", "count": "int64", "country": "string"}, "shop")
    assert view.loaded
    assert view.state == "available online"
    assert found.join_keys["user"] == "user_id"
    assert sorted(one.name for one in found.on_demand) == VIEWS
    assert {one.mode for one in found.on_demand} == {"pandas", "python"}
    assert found.updated is not None


@pytest.mark.parametrize("kind", ["file", "sql"])
def test_the_probes_answer_on_a_repository_without_servers(repositories, kind):
    directory, _ = repositories
    assert [check for check in doctor(site(directory, kind)) if not check.ok] == []
    view = {f.id: f for f in run_probe(site(directory, kind), "feature_platform.view")}
    assert not view["features.types_differ"].on
    assert not view["features.view_reads_elsewhere"].on
    assert view["features.materialising"].status == "measured"
    fresh = {f.id: f for f in run_probe(site(directory, kind), "feature_platform.freshness")}
    assert fresh["online_store.behind_history"].on  # loaded up to the fifth day, and the table goes on
    assert "not applicable" in fresh["online_store.replica_older"].reason


def test_the_stamps_of_the_sqlite_store_are_those_that_feast_serves(repositories):
    from sickbay.sources.feast import Feast
    from tests.services.test_features import load, now

    directory, served = repositories
    from sickbay.sources.context import Context
    from sickbay.sources.feast_format import entity_key

    feast = Feast.connect(Context(load(site(directory, "file")), now(), environ={}))
    stamps = feast.stamps(feast.view())
    assert len(stamps) == 50
    for k, user in enumerate((3, 7)):
        assert stamps[entity_key({"user_id": user}).hex()] == served["file"]["amount__ts"][k]


def test_the_investigation_names_the_rounding(repositories):
    directory, _ = repositories
    diagnosis = investigate(site(directory, "sql"), "feature-skew")
    assert diagnosis.causes[0].id == "rounding"
    assert not [f for f in diagnosis.findings if "crashed" in (f.reason or "")]


def test_a_store_or_registry_that_is_away_or_broken_is_unknown(repositories, tmp_path):
    directory, _ = repositories
    place = tmp_path / "repository"
    shutil.copytree(directory / "sql", place)
    text = (place / "feature_store.yaml").read_text().replace(str(directory / "sql"), str(place))
    (place / "feature_store.yaml").write_text(text)
    broken = {**site(directory, "sql"), "source": {**site(directory, "sql")["source"]}}
    broken["source"]["feast"] = {"repository": str(place), "view": "stats"}

    def reasons(probe):
        found = run_probe(broken, probe)
        assert {f.status for f in found} == {"unknown"}
        return " ".join(f.reason for f in found)

    (place / "online.db").unlink()
    assert "no such file" in reasons("feature_platform.freshness")
    (place / "online.db").write_bytes(b"no database at all, but long enough to be one" * 20)
    assert "garbled" in reasons("feature_platform.freshness")
    with sqlite3.connect(place / "registry_sql.db") as con:
        con.execute("ALTER TABLE feature_views RENAME COLUMN feature_view_proto TO proto_of_another_release")
    assert "garbled" in reasons("feature_platform.view")
    with pytest.raises(SourceGarbled, match="no SQL registry of Feast"):
        feast_registry.open_registry(place)
    (place / "feature_store.yaml").write_text("project: shop\nregistry: {registry_type: snowflake.registry, path: x}\n")
    assert "snowflake.registry" in reasons("feature_platform.view")


@pytest.mark.parametrize("name", ["of_frames", "of_columns", "of_one_row"])
@pytest.mark.parametrize("kind", ["file", "sql"])
def test_an_on_demand_view_is_replayed_from_its_text(repositories, kind, name):
    directory, _ = repositories
    rows = duckdb.sql(f"SELECT amount, order_amount FROM '{directory}/training.parquet'").fetchall()
    rows = [dict(zip(("amount", "order_amount"), row, strict=True)) for row in rows]
    gross = ", order_amount * 1.19 AS gross" if name == "of_frames" else ""
    view = f"feast:{directory / kind}#{name}"
    with pytest.raises(UserError, match="code out of a registry"):
        sickbay.replay(view, "SELECT 1", rows)
    same = f"SELECT order_amount / (amount + 1) AS share{gross} FROM rows"
    other = f"SELECT order_amount / (amount + 1.01) AS share{gross} FROM rows"
    assert not sickbay.replay(view, same, rows, examples=50, allow_code=True).differs
    found = sickbay.replay(view, other, rows, examples=100, allow_code=True)
    assert found.differs
    assert len(found.rows) == 1


def test_an_on_demand_view_in_feasts_own_environment_as_feast_serves_it(repositories, capsys, monkeypatch):
    directory, served = repositories
    monkeypatch.chdir(directory)
    sql = "SELECT order_amount / (amount + 1) AS share, order_amount * 1.19 AS gross FROM rows"
    asked = ["--inputs", "training.parquet", "--python", str(python()), "--examples", "50", "--run-registry-code"]
    assert main(["skew", "--replay", "feast:sql#of_frames", sql, *asked]) == 0
    for k, user in enumerate((3, 7)):
        row = served["sql"]
        assert row["share"][k] == pytest.approx(10.0 * user / (row["amount"][k] + 1))
    capsys.readouterr()


def test_a_view_that_uses_names_from_elsewhere_needs_feasts_environment(repositories):
    directory, _ = repositories
    rows = [{"order_amount": 10.0 + k} for k in range(9)]
    view, sql = f"feast:{directory / 'file'}#with_a_name_from_elsewhere", "SELECT order_amount * 1.19 FROM rows"
    with pytest.raises(UserError, match="RATE"):
        sickbay.replay(view, sql, rows, allow_code=True)
    pythons = [str(python())]
    assert not sickbay.replay(view, sql, rows, examples=30, allow_code=True, pythons=pythons).differs
