"""Write docs/reference.md from what is registered: ``python tools/reference.py``; a test holds the page to the code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sickbay.cli.commands import SUMMARIES
from sickbay.knowledge.loader import load
from sickbay.registry import FAULTS, PROBES, SOURCES
from sickbay.terms.cause import Knowledge

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"


def page() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reference"
    yield "Written by `python tools/reference.py` from what is registered. `sickbay explain NAME` says more of a name."
    yield ""
    yield "## Commands"
    for name, says in SUMMARIES.items():
        yield f"- `sickbay {name}`: {says}"
    known = load()
    for scenario in known.scenarios.values():
        yield ""
        yield f"## `{scenario.id}`: {scenario.title}"
        yield scenario.says
        yield ""
        yield from _causes(known, scenario.id)
    yield ""
    yield "## Sources"
    yield "| `[source.…]` | reads |"
    yield "| --- | --- |"
    for kind in SOURCES.load().values():
        yield f"| `{kind.name}` | {_cell(kind.says)} |"
    yield ""
    yield "## Probes"
    yield "| probe | what it does | findings |"
    yield "| --- | --- | --- |"
    for probe in PROBES.load().values():
        findings = ", ".join(f"`{finding.id}`" for finding in probe.findings)
        yield f"| `{probe.name}` | {_cell(probe.says)} | {findings} |"


def _causes(known: Knowledge, scenario: str) -> Iterator[str]:
    yield "| cause | what is wrong | remedies | prevention | faults of the lab |"
    yield "| --- | --- | --- | --- | --- |"
    for cause in known.causes.values():
        if cause.scenario == scenario:
            faults = ", ".join(f"`{f.name}`" for f in FAULTS.load().values() if f.produces == cause.id)
            remedies = " ".join(known.advice[name].says for name in cause.remedies)
            yield f"| `{cause.id}` | {_cell(cause.says)} | {_cell(remedies)} | {_cell(cause.prevention)} | {faults} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
