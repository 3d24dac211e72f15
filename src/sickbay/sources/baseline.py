"""What a service was like when it was well: a JSON file that the site names, written by ``sickbay baseline``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from sickbay.errors import SiteFileError
from sickbay.sources.context import Context

SCHEMA = "sickbay.baseline/1"


def read_baseline(context: Context, part: str) -> Mapping[str, float]:
    """Return the figures of one part (``serving``, ``process`` …); empty where the site names no baseline or no part.

    Raises SiteFileError when the file is named and there, and is none. A file that is not there yet is no error.
    """
    named = context.site.system.baseline
    if not named:
        return {}
    file = context.site.base / named
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA!r}")
        given = document["parts"].get(part, {})
        return {str(key): float(value) for key, value in given.items() if math.isfinite(float(value))}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SiteFileError(
            f"{context.site.file}: 'system.baseline': {file} is no baseline: {error}",
            hint="`sickbay baseline` writes it again while the system is well",
        ) from None


def text_of(parts: Mapping[str, Mapping[str, float]], at: str) -> str:
    """Return the text of a baseline file."""
    return json.dumps({"schema": SCHEMA, "at": at, "parts": parts}, indent=1, sort_keys=True) + "\n"
