"""Writes down what a system is like while it is well, for the probes to compare with later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sickbay.config import Site, load_site
from sickbay.errors import SourceError, UserError
from sickbay.investigation.connections import Connections
from sickbay.probes.latency_baseline import PARTS
from sickbay.sources.baseline import text_of
from sickbay.sources.context import Context


def record_baseline(
    site: Site | Mapping[str, Any] | str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> dict[str, dict[str, float] | str]:
    """Observe the site's services for some seconds, write ``[system] baseline``; return its parts, or why one is not.

    Raises UserError when the site names no baseline file or nothing that could be observed.
    """
    env = os.environ if environ is None else environ
    loaded = load_site(site, env, directory or Path.cwd())
    if not loaded.system.baseline:
        raise UserError(f"{loaded.file} names no baseline", hint='[system] baseline = "baseline.json" says where')
    now = datetime.now(UTC)
    connections = Connections(Context(loaded, now, environ=env))
    names = [name for name in PARTS if connections.configured(name)]
    if not names:
        raise UserError(
            f"{loaded.file} names nothing whose usual figures are kept", hint=f"sources that are: {', '.join(PARTS)}"
        )

    def observed(name: str) -> dict[str, float] | str:
        try:
            return PARTS[name][1](connections.get(name))
        except (SourceError, UserError) as error:
            return str(error)

    try:
        with ThreadPoolExecutor(len(names)) as pool:
            found = {PARTS[name][0]: part for name, part in zip(names, pool.map(observed, names), strict=True)}
    finally:
        connections.close()
    parts = {name: part for name, part in found.items() if isinstance(part, dict)}
    file = loaded.base / loaded.system.baseline
    half = file.with_name(file.name + ".new")
    half.write_text(text_of(parts, now.isoformat(timespec="seconds")), encoding="utf-8")
    half.replace(file)
    return found
