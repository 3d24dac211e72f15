"""The table ``[source.NAME]`` of the site file as its source wants it: checked, with secrets fetched and noted."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from sickbay.errors import SiteFileError, nearest
from sickbay.redact import remember
from sickbay.references import resolve
from sickbay.sources.context import Context


class Settings(BaseModel):
    """Base of what a source reads from the site file; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Settings)
SECRETS = ("password", "secret_key", "session_token", "token", "dsn")


def read(context: Context, name: str, shape: type[S]) -> S:
    """Return ``[source.name]`` in the shape asked for; SiteFileError that names the key and the next step."""
    site = context.site
    values: dict[str, Any] = {}
    for key, value in site.source.get(name, {}).items():
        values[key] = _resolved(context, f"source.{name}", key, value)
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(shape.model_fields)
        if first["type"] == "extra_forbidden":
            hint = nearest(key, shape.model_fields) or f"keys known there: {known}"
            raise SiteFileError(f"{site.file}: unknown key 'source.{name}.{key}'", hint=hint) from None
        raise SiteFileError(f"{site.file}: 'source.{name}.{key}': {first['msg']}", hint=f"keys: {known}") from None


def web_address(context: Context, key: str, address: str, example: str) -> str:
    """Return an address of http or https as it is; SiteFileError that names the key for anything else."""
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SiteFileError(
            f"{context.site.file}: 'source.{key}' is no address: {address!r}", hint=f'for example "{example}"'
        )
    return address


def _resolved(context: Context, place: str, key: str, value: Any) -> Any:
    """Return a value with ``env:`` and ``file:`` followed, also inside tables; secrets are noted."""
    if isinstance(value, dict):
        return {name: _resolved(context, f"{place}.{key}", name, item) for name, item in value.items()}
    if not isinstance(value, str):
        return value
    found = resolve(value, context.site.base, context.environ, key=f"{place}.{key}")
    if found.secret and key in SECRETS:
        remember(found.text)
    return found.text
