"""An S3-compatible object store: whether a bucket is there, may be listed and read, and (if allowed) written."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Self

from sickbay.errors import SiteFileError, SourceError
from sickbay.registry import source
from sickbay.sources import s3_keys, settings
from sickbay.sources.context import Check, Context
from sickbay.sources.once import Once
from sickbay.sources.s3_keys import KeyEnd
from sickbay.terms.window import length

State = Literal[
    "ok", "denied", "login", "missing", "full", "unreachable", "timed out", "certificate", "garbled", "failed", "empty"
]
CONNECT_SECONDS, READ_SECONDS, WHOLE_SECONDS = 3, 4, 6
CANARY = ".sickbay-canary"
FULL = ("QuotaExceeded", "EntityTooLarge", "XMinioStorageFull", "InsufficientStorage", "SlowDown", "ServiceUnavailable")
EXPIRED = "ExpiredToken"
LOGIN = ("SignatureDoesNotMatch", "InvalidAccessKeyId", EXPIRED, "InvalidToken", "TokenRefreshRequired")


class _Settings(settings.Settings):
    endpoint: str = ""
    bucket: str
    prefix: str = ""
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    expires: Any = ""
    expires_warning: str = "14d"
    region: str = "us-east-1"
    write_canary: bool = False
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one call: the store's code and words, or the network's."""

    what: str
    state: State
    code: str = ""
    detail: str = ""

    @property
    def says(self) -> str:
        """The call and its outcome, in words."""
        more = f" ({self.code})" if self.code else ""
        return f"{self.what}: {self.state}{more}"


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a bucket; ``modified`` carries its zone."""

    key: str
    size: int
    modified: datetime


@source("s3")
class S3:
    """Reads an S3-compatible object store with the credentials that the site names, else with those boto3 finds.

    Rights: ListBucket and GetObject. Only with ``write_canary = true`` it also writes and deletes one object of 64 KB
    below ``prefix``: nothing else tells a full or write-protected store from a healthy one.
    """

    def __init__(self, given: _Settings, now: datetime, environ: Mapping[str, str]) -> None:
        import boto3
        from botocore.config import Config

        self.now, self._given, self._environ, self._once = now, given, environ, Once()
        self.warning = length(given.expires_warning, option="source.s3.expires_warning")
        """How long before its end a key is spoken of."""
        self._session: Any = boto3.Session()
        self.bucket, self.prefix, self.write_canary = given.bucket, given.prefix.strip("/"), given.write_canary
        limits = Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"} if given.endpoint else {},
        )  # fmt: skip
        keys = {
            "aws_access_key_id": given.access_key, "aws_secret_access_key": given.secret_key,
            "aws_session_token": given.session_token or None,
        }  # fmt: skip
        self._client: Any = self._session.client(
            "s3", endpoint_url=given.endpoint or None, region_name=given.region, config=limits, verify=given.verify,
            **(keys if given.access_key else {}),
        )  # fmt: skip

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names an object store."""
        return "s3" in context.site.source

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; nothing is sent to the store yet.

        SiteFileError when the library is not there or an entry is wrong; SourceError when no key can be had.
        """
        given = settings.read(context, "s3", _Settings)
        try:
            from botocore.exceptions import BotoCoreError, ProfileNotFound
        except ImportError:
            raise SiteFileError("[source.s3] needs the library boto3", hint='pip install "sickbay[s3]"') from None
        if "/" in given.bucket:
            raise SiteFileError(
                f"{context.site.file}: 'source.s3.bucket' is no bucket's name: {given.bucket!r}",
                hint='bucket = "mlflow", prefix = "prod"',
            )
        if given.expires and (not isinstance(given.expires, str | date) or s3_keys.instant(given.expires) is None):
            raise SiteFileError(
                f"{context.site.file}: 'source.s3.expires' is no time", hint='for example expires = "2027-01-31"'
            )
        try:
            return cls(given, context.now, context.environ)
        except ValueError as error:
            key = "source.s3.endpoint" if "endpoint" in str(error).lower() else "source.s3"
            raise SiteFileError(f"{context.site.file}: '{key}': {error}", hint="http://host:port") from None
        except ProfileNotFound as error:
            raise SourceError(f"forbidden: {error}", hint="AWS_PROFILE names it") from None
        except BotoCoreError as error:  # its text may be what a command printed
            raise SourceError(f"forbidden: no key for the store can be had: {type(error).__name__}") from None

    def head(self) -> Tried:
        """Ask whether the bucket is there; a refusal carries no reason here."""
        return self._try("bucket", lambda: self._client.head_bucket(Bucket=self.bucket))

    def listing(self) -> Tried:
        """List one object: a refusal says whether key, signature or right is wrong."""
        asked = {"Bucket": self.bucket, "MaxKeys": 1, **({"Prefix": self.prefix} if self.prefix else {})}
        return self._once.get("list", lambda: self._try("list", lambda: _listed(self._client.list_objects_v2(**asked))))

    def key_end(self) -> KeyEnd:
        """Return when the key ends, as far as what holds it says so; a role's key is asked for, for at most 6 s."""
        if self._given.access_key:
            return s3_keys.of_site(self._given.expires, self._given.session_token)
        found: list[KeyEnd] = []
        inner = self._session._session  # botocore's: the profile's other entries stand nowhere else

        def read() -> None:
            found.append(s3_keys.of_session(inner, self._environ, self._given.expires))

        tried = self._try("key", read)
        return (
            found[0] if found else KeyEnd(reason=f"no data: {tried.says}{': ' if tried.detail else ''}{tried.detail}")
        )

    def get(self) -> Tried:
        """Read the first bytes of one object: some stores list what they cannot give."""
        found: list[str] = []

        def read() -> None:
            asked = {"Bucket": self.bucket, "MaxKeys": 1, **({"Prefix": self.prefix} if self.prefix else {})}
            listing = _listed(self._client.list_objects_v2(**asked))
            found.extend(entry["Key"] for entry in listing.get("Contents", []))
            if found:
                self._client.get_object(Bucket=self.bucket, Key=found[0], Range="bytes=0-63")["Body"].read()

        tried = self._try("read", read)
        return tried if found or tried.state != "ok" else Tried("read", "empty")

    def canary(self) -> Tried | None:
        """Write and delete a small object; None when the site does not allow it."""
        if not self.write_canary:
            return None
        key = f"{self.prefix}/{CANARY}/{uuid.uuid4()}".lstrip("/")
        tried = self._try("write", lambda: self._client.put_object(Bucket=self.bucket, Key=key, Body=b"0" * 65536))
        if tried.state == "ok":
            self._try("delete", lambda: self._client.delete_object(Bucket=self.bucket, Key=key))
        return tried

    def objects(self, bucket: str, prefix: str, most: int = 5000) -> tuple[Tried, list[Object]]:
        """List the objects below a prefix, at most ``most``, with what came of it."""
        found: list[Object] = []

        def read() -> None:
            asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1000}
            while len(found) < most:
                listing = _listed(self._client.list_objects_v2(**asked))
                found.extend(Object(e["Key"], e["Size"], e["LastModified"]) for e in listing.get("Contents", []))
                if not listing.get("IsTruncated"):
                    return
                asked["ContinuationToken"] = listing["NextContinuationToken"]

        return self._try("list", read), found

    def check(self) -> list[Check]:
        """Return what the credentials may do."""
        tried = [self.listing(), self.get(), self.canary()]
        return [Check(f"s3 {one.what}", one.state in ("ok", "empty"), one.says) for one in tried if one is not None]

    def close(self) -> None:
        """Give back connections."""
        self._client.close()

    def _try(self, what: str, call: Callable[[], object]) -> Tried:
        """Make one call with an end to all of it: the library limits each wait, and not the whole.

        SourceError when the library broke down, which is no time-out.
        """
        done: list[Tried] = []
        thread = threading.Thread(target=lambda: done.append(_call(what, call)), daemon=True)
        thread.start()
        thread.join(WHOLE_SECONDS)
        if not done and not thread.is_alive():
            raise SourceError(f"no data: {what}: the client library broke down")
        return done[0] if done else Tried(what, "timed out", detail=f"no end within {WHOLE_SECONDS} s")


def _call(what: str, call: Callable[[], object]) -> Tried:
    from botocore import exceptions

    try:
        call()
    except exceptions.ClientError as error:
        found = error.response.get("Error", {})
        code = str(found.get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return Tried(what, _state(code, status, what), code or str(status), str(found.get("Message") or ""))
    except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError) as error:
        return Tried(what, "timed out", detail=str(error)[:200])
    except exceptions.SSLError as error:
        return Tried(what, "certificate", detail=str(error)[:200])
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        return Tried(what, "login", detail=str(error)[:200])
    except (exceptions.CredentialRetrievalError, exceptions.SSOError, exceptions.TokenRetrievalError) as error:
        return Tried(what, "login", detail=type(error).__name__)  # its text may be what a command printed
    except RuntimeError as error:  # botocore's own, for a key that has ended and is not renewed
        return Tried(what, "login", EXPIRED if "expired" in str(error) else "", str(error)[:200])
    except exceptions.ParamValidationError as error:
        return Tried(what, "garbled", detail=" ".join(str(error).split())[:200])
    except (exceptions.HTTPClientError, exceptions.BotoCoreError) as error:
        network = isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError)
        return Tried(what, "unreachable" if network else "failed", detail=str(error)[:200])
    except NotS3 as error:
        return Tried(what, "garbled", detail=str(error))
    return Tried(what, "ok")


class NotS3(Exception):
    """Something answered that is no object store."""


def _listed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a listing; NotS3 when it lacks what every listing has: the library reads a web page as an empty one."""
    if "Name" not in answer and "KeyCount" not in answer:
        raise NotS3("the answer is no listing: something else than an object store speaks there")
    return answer


def _state(code: str, status: int, what: str) -> State:
    if code in LOGIN:
        return "login"
    if code in FULL or status in (507, 413):
        return "full" if what == "write" else "failed"
    if status in (401, 403):
        return "denied"
    if status == 404:
        return "missing" if code in ("NoSuchBucket", "404") else "empty"
    return "failed"
