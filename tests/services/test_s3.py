"""The source of object stores against a real one: listing, reading and writing are rights and failures of their own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sickbay.lab.systems import swift
from sickbay.sources.s3 import S3, _Settings

pytestmark = pytest.mark.s3
SECRET = "store-test-secret"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    started = swift.start(tmp_path_factory.mktemp("store"), {"team": (SECRET, True), "guest": (SECRET, False)})
    started.client().create_bucket(Bucket="artifacts")
    started.client().put_object(Bucket="artifacts", Key="prod/model.bin", Body=b"m" * 3000)
    yield started
    for server in reversed(started.all):
        server.stop()


def source(store, user="team", secret=SECRET, bucket="artifacts", **more):
    given = _Settings(
        endpoint=store.endpoint, bucket=bucket, prefix="prod", access_key=f"{swift.ACCOUNT}:{user}", secret_key=secret,
        **more,
    )  # fmt: skip
    return S3(given, datetime.now(UTC), {})


def states(client):
    tried = [client.listing(), client.get(), client.canary()]
    client.close()
    return [one.state if one else None for one in tried]


def test_a_store_that_is_well_and_the_canary_leaves_nothing(store):
    assert states(source(store, write_canary=True)) == ["ok", "ok", "ok"]
    listed = store.client().list_objects_v2(Bucket="artifacts")["Contents"]
    assert [entry["Key"] for entry in listed] == ["prod/model.bin"]


def test_nothing_is_written_unless_the_site_allows_it(store):
    assert states(source(store)) == ["ok", "ok", None]


@pytest.mark.parametrize(
    ("asked", "state"),
    [({"user": "guest"}, "denied"), ({"secret": "other"}, "login"), ({"bucket": "nowhere"}, "missing")],
)
def test_what_it_was_refused_for_is_told_apart(store, asked, state):
    assert states(source(store, write_canary=True, **asked))[0] == state


def test_a_full_store_reads_and_does_not_write(store):
    swift.set_quota(store, "artifacts", 1)
    try:
        assert states(source(store, write_canary=True)) == ["ok", "ok", "full"]
    finally:
        swift.set_quota(store, "artifacts", None)


def test_a_store_that_lists_what_it_cannot_give(store):
    store.servers["object"].freeze()
    try:
        assert states(source(store)) == ["ok", "timed out", None]
    finally:
        store.servers["object"].thaw()
