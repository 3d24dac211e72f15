"""When the key of an object store ends, as far as what holds the key says so; no part of a key is ever returned.

S3 itself does not tell: ``x-amz-expiration`` of an answer is the end of the object, and a store speaks of a key's end
only when it is over (``ExpiredToken``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

ENVIRONMENT = (
    "AWS_CREDENTIAL_EXPIRATION",  # AWS CLI `configure export-credentials`; AWS SDKs
    "AWS_SESSION_EXPIRATION",  # aws-vault before version 7
    "AWS_SESSION_TOKEN_EXPIRATION",
    "AWSUME_EXPIRATION",  # awsume
)
PROFILE = (
    "aws_credential_expiration",
    "x_security_token_expires",  # saml2aws
    "aws_expiration",  # aws-azure-login
    "aws_session_expiration",
    "expiration",  # aws-mfa, awsume
)
TOKENS = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
RENEWED = {
    "iam-role": "the machine's role",
    "container-role": "the container's role",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a role by web identity",
    "custom-process": "credential_process",
}
"""Ways of botocore to get a key that it gets anew by itself before the key ends."""


@dataclass(frozen=True, slots=True)
class KeyEnd:
    """When a key ends and who says so; ``renewed`` says by what it is got anew, ``reason`` why its end is not known."""

    ends: datetime | None = None
    by: str = ""
    renewed: str = ""
    reason: str = ""


def of_site(expires: object, token: str) -> KeyEnd:
    """Return the end of a key that the site file holds: what it states, or the claim of its session token."""
    said = [("[source.s3] expires", expires)] if expires else []
    return _first(said, token, bool(token))


def of_session(session: Any, environ: Mapping[str, str], expires: object) -> KeyEnd:
    """Return the end of the key that boto3 finds by itself: in the environment, in its files, or from a role."""
    found = session.get_credentials()
    if found is None:
        return KeyEnd(reason="no data: neither the site file nor the environment nor a profile holds a key")
    said: list[tuple[str, object]] = [("[source.s3] expires", expires)] if expires else []
    method = str(found.method)
    if method in RENEWED:
        return _first(said, "", temporary=False) if said else KeyEnd(renewed=RENEWED[method])
    token = ""
    if method == "env":
        said += [(name, environ[name]) for name in ENVIRONMENT if environ.get(name)]
        token = next((environ[name] for name in TOKENS if environ.get(name)), "")
    elif method in ("shared-credentials-file", "config-file"):
        name = session.profile or "default"
        profile = session.full_config.get("profiles", {}).get(name, {})
        said += [(f"{key} of the profile {name}", profile[key]) for key in PROFILE if profile.get(key)]
        token = str(profile.get("aws_session_token") or "")
    elif method == "sso":
        reason = "no data: the key comes from a sign-in (SSO), whose own end is not read"
        return _first(said, "", temporary=True) if said else KeyEnd(reason=reason)
    return _first(said, token, bool(token))


def instant(value: object) -> datetime | None:
    """Return a stated time in UTC: ISO 8601, a date (its beginning), seconds since 1970; without a zone it is UTC."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime.combine(value, time())
    else:
        text = str(value).strip().replace(" UTC", "Z")
        try:
            found = datetime.fromtimestamp(float(text), UTC) if _number(text) else datetime.fromisoformat(text)
        except (ValueError, OverflowError, OSError):
            return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def end_of_token(token: str) -> datetime | None:
    """Return the claim ``exp`` of a session token that is a JSON Web Token, as MinIO gives them; else None."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return instant(end) if isinstance(end, int | float) else None


def _number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and len(text) >= 9  # shorter ones are dates: 20270131


def _first(said: list[tuple[str, object]], token: str, temporary: bool) -> KeyEnd:
    """Return the earliest end that anything says; one that cannot be read is named, not passed over."""
    ends = [(end, by) for by, value in said if (end := instant(value)) is not None]
    unread = [by for by, value in said if instant(value) is None]
    if (end := end_of_token(token)) is not None:
        ends.append((end, "its session token"))
    if ends:
        return KeyEnd(*min(ends))
    if unread:
        return KeyEnd(reason=f"garbled: {unread[0]} is no time")
    kind = "a temporary key (it has a session token)" if temporary else "the key"
    hint = '[source.s3] expires = "2027-01-31" does'
    return KeyEnd(reason=f"no data: nothing says when {kind} ends; {hint}")
