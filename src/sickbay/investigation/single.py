"""Single operations beside the loop: run one probe, and try every source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from os import environ as os_environ
from pathlib import Path
from typing import Any

from sickbay.config import Site, choose_model, load_site
from sickbay.errors import SickbayError, SourceError, UserError, nearest
from sickbay.investigation import runner
from sickbay.investigation.connections import Connections
from sickbay.redact import redact, redact_all
from sickbay.registry import PROBES
from sickbay.sources.context import Check, Context
from sickbay.terms import window
from sickbay.terms.change import Change
from sickbay.terms.finding import Finding
from sickbay.terms.probe import Probe

LOG = "predictions"
"""The one kind of source that belongs to a model; the others are the site's."""


def run_probe(
    site: Site | Mapping[str, Any] | str | Path | None,
    name: str,
    *,
    options: Mapping[str, str] | None = None,
    model: str | None = None,
    since: str | datetime | timedelta | None = None,
    until: str | datetime | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    clock: Callable[[], datetime] | None = None,
) -> list[Finding | Change]:
    """Run one probe and return its findings and changes.

    Raises UnknownNameError for a probe that does not exist, UserError for an option it does not have or a source the
    site does not name.
    """
    probe = PROBES.get(name)
    given = _options(probe, options or {})
    connections = Connections(_context(site, model, since, until, environ, directory, clock))
    lacking = connections.lacking(probe)
    if lacking:
        raise UserError(f"probe {name} reads {', '.join(lacking)}, which the site file does not name")
    try:
        for kind in sorted({kind for name, kind in connections.chosen(probe).items() if name not in probe.optional}):
            connections.get(kind)
        run = runner.start(probe, connections, given, lambda _: None)
        told = [float(value) for value in given.values() if isinstance(value, (int, float))]
        deadline = max([probe.deadline, *(2 * seconds for seconds in told)])  # told to watch longer, it may take longer
        if not run.ended.wait(deadline):
            runner.give_up(run, f"timed out: no answer within {deadline:.0f} s")
        return [*run.findings.values(), *run.changes]
    finally:
        connections.close()


def doctor(
    site: Site | Mapping[str, Any] | str | Path | None,
    *,
    model: str | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    clock: Callable[[], datetime] | None = None,
) -> list[Check]:
    """Reach every source the site names and return what worked; a source this release cannot read fails and says so."""
    context = _context(site, None, None, None, environ, directory, clock)
    checks: list[Check] = []
    for name in sorted(context.site.model) if model is None else [model]:
        choose_model(context.site, name)
        alone = Context(context.site, context.now, name, context.since, context.until, context.environ)
        checks += _check(alone, [LOG], f" of {name}")
    kinds = Connections(context).kinds
    checks += _check(context, [kind for kind in kinds if kind != LOG], "")
    for kind in sorted(context.site.source):
        if kind not in kinds:
            checks.append(Check(f"source {kind}", False, "this release cannot read this kind of system yet"))
    return redact_all(checks)


def _check(context: Context, kinds: Iterable[str], of: str) -> list[Check]:
    """Reach those of these kinds of source that the site names."""
    connections = Connections(context)
    checks: list[Check] = []
    try:
        for kind in kinds:
            if not connections.configured(kind):
                continue
            try:
                checks += connections.get(kind).check()
            except (SourceError, UserError) as error:
                checks.append(Check(f"{kind}{of}", False, redact(_with_hint(error))))
    finally:
        connections.close()
    return checks


def _with_hint(error: SickbayError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _options(probe: Probe, given: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, text in given.items():
        if name not in probe.options:
            known = ", ".join(probe.options) or "none"
            raise UserError(
                f"probe {probe.name} has no option {name!r}", hint=nearest(name, probe.options) or f"options: {known}"
            )
        kind = type(probe.options[name])
        try:
            result[name] = text if kind is type(None) else kind(text)
        except ValueError:
            raise UserError(f"probe {probe.name}: option {name}={text!r} is no {kind.__name__}") from None
    return result


def _context(
    site: Site | Mapping[str, Any] | str | Path | None,
    model: str | None,
    since: str | datetime | timedelta | None,
    until: str | datetime | None,
    environ: Mapping[str, str] | None,
    directory: Path | None,
    clock: Callable[[], datetime] | None,
) -> Context:
    env = os_environ if environ is None else environ
    loaded = load_site(site, env, directory or Path.cwd())
    now = (clock or (lambda: datetime.now(UTC)))()
    name = model if model is not None or len(loaded.model) != 1 else next(iter(loaded.model))
    return Context(loaded, now, name, window.since(since), window.until(until), env)
