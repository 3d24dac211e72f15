"""Registries in SQL and in files that are none, damaged, or of another layout: an error of sickbay's, never a crash."""

from __future__ import annotations

import sqlite3

import pytest

from sickbay.errors import SiteFileError, SourceError, SourceGarbled
from sickbay.sources import feast_registry


def registry(place, *, proto=b"", when=1_767_225_600, column="feature_view_proto"):
    file = place / "registry.db"
    with sqlite3.connect(file) as con:
        for table, name in feast_registry.TABLES.items():
            named = column if table == "feature_views" else name
            con.execute(f"CREATE TABLE {table} ({named}, project_id)")
        con.execute("INSERT INTO feature_views VALUES (?, 'shop')", (proto,))
        con.execute("CREATE TABLE projects (last_updated_timestamp)")
        con.execute("INSERT INTO projects VALUES (?)", (when,))
    con.close()
    return file


def test_an_empty_view_of_a_registry_in_sqlite_is_read_with_its_project(tmp_path):
    found = feast_registry.read(str(registry(tmp_path)))
    assert [view.project for view in found.views] == ["shop"]
    assert feast_registry.read(f"sqlite:///{tmp_path / 'registry.db'}") == found


@pytest.mark.parametrize(
    "damage",
    [{"proto": 10**12}, {"proto": "text"}, {"proto": None}, {"proto": b"\xff\xff"}, {"when": None}, {"when": "soon"},
     {"when": 2**60}, {"column": "proto_of_another_release"}],
)  # fmt: skip
def test_a_registry_of_another_layout_is_garbled(tmp_path, damage):
    with pytest.raises(SourceGarbled):
        feast_registry.read(str(registry(tmp_path, **damage)))


@pytest.mark.parametrize(
    ("text", "word"),
    [("registry: {registry_type: sql, path: 'mysql+pymysql://host/feast'}", "mysql"),
     ("registry: {registry_type: snowflake.registry, path: x}", "snowflake"), ("registry: s3://bucket/it.db", "s3"),
     ("registry: nowhere.db", "nowhere.db"), ("registry: {registry_type: sql, path: '${NOT_SET}'}", "NOT_SET")],
)  # fmt: skip
def test_a_registry_that_is_elsewhere_or_away_is_said(tmp_path, text, word):
    (tmp_path / "feature_store.yaml").write_text(f"project: shop\n{text}\n")
    with pytest.raises(SourceError, match=word):
        feast_registry.open_registry(tmp_path)


def test_a_repository_that_is_none_is_said(tmp_path):
    with pytest.raises(SiteFileError, match="cannot be read"):
        feast_registry.open_registry(tmp_path)
    (tmp_path / "feature_store.yaml").write_text("just words")
    with pytest.raises(SiteFileError, match="no settings"):
        feast_registry.open_registry(tmp_path)


def test_a_relative_sqlite_registry_is_looked_for_in_the_repository(tmp_path):
    registry(tmp_path)
    (tmp_path / "feature_store.yaml").write_text("registry: {registry_type: sql, path: 'sqlite:///registry.db'}\n")
    assert feast_registry.open_registry(tmp_path).views
