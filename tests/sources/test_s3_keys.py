"""When the key of an object store ends: whoever holds the key may say so, and no part of it comes out.

The store is a server that answers a listing as S3 does, or refuses it as S3 refuses a key that has run out: no
store that can be had here gives temporary keys.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from sickbay.errors import SourceError, UserError
from sickbay.investigation import investigate, run_probe
from sickbay.sources import s3_keys
from tests.sources import loopback

NOW = datetime(2027, 1, 5, 3, 0, tzinfo=UTC)
ID, SECRET = "SICKBAYTESTKEYID", "never-to-be-shown-secret"
LISTING = b"""<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>"""
ENDED = b"""<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"""
REFUSED = b"""<?xml version="1.0"?><Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"""


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No key of whoever runs the tests: none in the environment, in files, or from a machine's role."""
    for name in (*s3_keys.ENVIRONMENT, *s3_keys.TOKENS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


def look(answer=(200, LISTING), *, key=True, **more):
    with loopback.serving(lambda _: answer) as endpoint:
        given = {"endpoint": endpoint, "bucket": "b"} | ({"access_key": ID, "secret_key": SECRET} if key else {}) | more
        found = {f.id: f for f in run_probe({"source": {"s3": given}}, "store.key", clock=lambda: NOW)}
    assert SECRET not in repr(found)
    assert ID not in repr(found)
    return found["store.key_expires"], found["store.key_expired"]


def token(**claims):
    """Return a session token as MinIO makes one: a JSON Web Token."""
    parts = ({"alg": "HS512", "typ": "JWT"}, claims, "signature")
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("expires", ["2027-01-08", "2027-01-08T00:00:00Z", date(2027, 1, 8), "2027-01-08T01:00+01:00"])
def test_an_end_that_the_site_states_is_spoken_of_in_good_time(expires):
    ends, ended = look(expires=expires)
    assert ends.on
    assert ends.statistic == pytest.approx(2.875)
    assert ends.evidence.numbers["limit"] == 14
    assert "The key ends in 2.9 days: 2027-01-08 00:00 UTC, by [source.s3] expires" in ends.says
    assert ended.status == "measured"
    assert not ended.on


def test_how_long_before_can_be_set():
    assert not look(expires="2027-03-01")[0].on
    assert look(expires="2027-03-01", expires_warning="90d")[0].on
    assert not look(expires="2027-01-08", expires_warning="1d")[0].on


def test_a_session_token_says_its_end_and_the_earlier_end_counts():
    hour = token(exp=(NOW + timedelta(hours=1)).timestamp(), accessKey=ID)
    ends, _ = look(session_token=hour, expires="2027-03-01")
    assert ends.on
    assert "1.0 hours" in ends.says
    assert "by its session token" in ends.says
    assert hour not in repr(ends)


def test_a_key_in_the_environment(nobody):
    nobody.setenv("AWS_ACCESS_KEY_ID", ID)
    nobody.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert look(key=False)[0].reason.startswith("no data: nothing says when the key ends")
    nobody.setenv("AWS_SESSION_TOKEN", "opaque-as-those-of-AWS-are")
    assert "a temporary key" in look(key=False)[0].reason
    nobody.setenv("AWS_SESSION_EXPIRATION", "2027-01-05T09:00:00Z")
    ends, _ = look(key=False)
    assert ends.on
    assert "6.0 hours" in ends.says
    assert "by AWS_SESSION_EXPIRATION" in ends.says


@pytest.mark.parametrize(
    "entry", ["x_security_token_expires = 2027-01-06T03:00:00+00:00", "expiration = 2027-01-06 03:00:00"]
)
def test_a_key_in_a_profile(entry, tmp_path, nobody):
    lines = [
        "[night]",
        f"aws_access_key_id = {ID}",
        f"aws_secret_access_key = {SECRET}",
        "aws_session_token = x",
        entry,
    ]
    (tmp_path / "credentials").write_text("\n".join(lines) + "\n")
    nobody.setenv("AWS_PROFILE", "night")
    ends, _ = look(key=False)
    assert ends.statistic == pytest.approx(1)
    assert f"by {entry.partition(' ')[0]} of the profile night" in ends.says


def test_an_end_that_is_no_time_is_said_and_not_passed_over(tmp_path):
    lines = ["[default]", f"aws_access_key_id = {ID}", f"aws_secret_access_key = {SECRET}", "aws_expiration = soon"]
    (tmp_path / "credentials").write_text("\n".join(lines) + "\n")
    ends, _ = look(key=False)
    assert ends.reason == "garbled: aws_expiration of the profile default is no time"
    for wrong in ("soon", 20270131, True):
        with pytest.raises(UserError, match=r"source\.s3\.expires"):
            look(expires=wrong)


def test_a_key_that_is_got_anew_by_itself_does_not_end(tmp_path):
    answer = {"Version": 1, "AccessKeyId": ID, "SecretAccessKey": SECRET, "SessionToken": "x"}
    (tmp_path / "answer").write_text(json.dumps(answer | {"Expiration": "2127-01-05T04:00:00Z"}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'answer'}\n")
    ends, ended = look(key=False)
    assert not ends.on
    assert not ended.on
    assert "credential_process" in ends.says


def test_a_command_that_gives_no_key_is_unknown_and_what_it_printed_stays_inside(tmp_path):
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / SECRET}\n")
    with pytest.raises(SourceError, match="no key for the store can be had: CredentialRetrievalError") as raised:
        look(key=False)
    assert SECRET not in str(raised.value)
    diagnosis = investigate({"source": {"s3": {"bucket": "b"}}}, "tracking-down", clock=lambda: NOW)
    assert diagnosis.finding("store.denied").reason.startswith("forbidden: no key for the store can be had")
    assert SECRET not in repr(diagnosis)


def test_a_profile_that_is_not_there_is_named(nobody):
    nobody.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(SourceError, match="nowhere"):
        look(key=False)


def test_a_key_that_has_run_out_is_told_by_the_store_or_by_its_end():
    for answer, more in (((400, ENDED), {}), ((403, REFUSED), {"expires": "2027-01-04"})):
        ends, ended = look(answer, **more)
        assert ended.on
        assert ends.on
        assert ends.statistic <= 0


def test_a_key_in_the_environment_that_has_run_out_is_not_even_sent(nobody):
    nobody.setenv("AWS_ACCESS_KEY_ID", ID)
    nobody.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    nobody.setenv("AWS_SESSION_TOKEN", "x")
    nobody.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-05T09:00:00Z")
    ends, ended = look(key=False)
    assert ended.on
    assert ends.statistic < 0


def test_an_end_that_has_passed_and_a_store_that_takes_the_key_contradict_each_other():
    ends, ended = look(expires="2027-01-04")
    assert not ended.on
    assert ends.status == "unknown"


def test_a_refusal_alone_does_not_say_that_a_key_has_run_out():
    assert {f.status for f in look((403, REFUSED))} == {"unknown"}
    assert {f.status for f in look(key=False)} == {"unknown"}
