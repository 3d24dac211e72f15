"""A verdict for people and for machines: terminal, Markdown for a pull request, JUnit XML for a CI server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sickbay.gate.verdict import Check, Verdict
from sickbay.redact import redact

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {"passed": "passed", "failed": "FAILED", "not_shown": "not shown"}


def headline(verdict: Verdict) -> str:
    """Return the verdict as one sentence."""
    if verdict.passed:
        return f"The gate passed: {len(verdict.checks)} checks on {verdict.rows:,} rows."
    reasons = verdict.reasons()
    what = ", ".join(check.id for check in reasons[:4]) + (" and more" if len(reasons) > 4 else "")
    word = "failed" if verdict.word == "failed" else "did not pass: not shown"
    return f"The gate {word}: {what}."


def mark(check: Check) -> str:
    """Return a check's status in words."""
    return MARKS[check.status] + (" (allowed)" if check.status == "not_shown" and check.allowed else "")


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the verdict, what keeps the gate shut first."""
    from rich.table import Table

    console.print(headline(verdict), style="bold green" if verdict.passed else "bold red")
    for name, said in (("candidate", verdict.candidate), ("champion", verdict.champion), ("data", verdict.data)):
        console.print(f"  {name:<10} {redact(said)}")
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in sorted(verdict.checks, key=lambda c: c.holds):
        table.add_row(mark(check), redact(check.id), redact(check.says), style="" if check.holds else "red")
    console.print(table)
    for note in verdict.notes:
        console.print(f"  note: {redact(note)}", style="dim")


def markdown(verdict: Verdict) -> str:
    """Return a summary for a pull request."""
    lines = [f"### {'✅' if verdict.passed else '❌'} {headline(verdict)}", ""]
    lines += [
        f"Candidate `{_cell(verdict.candidate)}`, champion `{_cell(verdict.champion)}`, data `{_cell(verdict.data)}`.",
        "",
    ]
    lines += ["| check | status | what was found |", "|---|---|---|"]
    lines += [f"| {_cell(c.id)} | {mark(c)} | {_cell(c.says)} |" for c in sorted(verdict.checks, key=lambda c: c.holds)]
    lines += [""] + [f"- {_cell(note)}" for note in verdict.notes]
    return "\n".join(lines).rstrip() + "\n"


def junit(verdict: Verdict) -> str:
    """Return the checks as JUnit XML: one test case a check; an allowed "not shown" is skipped."""
    failures = [check for check in verdict.checks if not check.holds]
    skipped = [check for check in verdict.checks if check.holds and check.status == "not_shown"]
    suite = ElementTree.Element(
        "testsuite", name="sickbay gate", tests=str(len(verdict.checks)), failures=str(len(failures)), errors="0",
        skipped=str(len(skipped)),
    )  # fmt: skip
    for check in verdict.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="sickbay.gate", name=redact(check.id))
        if not check.holds:
            ElementTree.SubElement(case, "failure", message=redact(check.says), type=check.status).text = redact(
                check.says
            )
        elif check.status == "not_shown":
            ElementTree.SubElement(case, "skipped", message=redact(check.says))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _cell(text: str) -> str:
    return redact(text).replace("|", "\\|").replace("\n", " ").replace("`", "'")
