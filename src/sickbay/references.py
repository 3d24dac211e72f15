"""References to secrets: ``env:NAME`` and ``file:PATH`` stand where a value would, so that no file holds a password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sickbay.errors import SiteFileError


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value of the site file after ``env:`` and ``file:`` were followed; ``secret`` when it came from one."""

    text: str
    secret: bool


def resolve(value: str, base: Path, environ: Mapping[str, str], *, key: str) -> Resolved:
    """Follow ``env:NAME`` and ``file:PATH``; any other text is returned as it is.

    Raises SiteFileError that names the key and the missing variable or file.
    """
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in environ:
            raise SiteFileError(
                f"{key} asks for the environment variable {name}, which is not set", hint=f"export {name}=…"
            )
        return Resolved(environ[name], True)
    if value.startswith("file:"):
        path = base / value.removeprefix("file:")
        try:
            return Resolved(path.read_text(encoding="utf-8").strip(), True)
        except OSError as error:
            raise SiteFileError(
                f"{key} asks for the file {path}: {error.strerror}", hint="relative paths start at the site file"
            ) from None
    return Resolved(value, False)
