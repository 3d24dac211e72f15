"""What ``sickbay skew --contract`` does: writes a feature contract, checks both sides against it, weighs a change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sickbay.cli import GATE, NOTHING, output
from sickbay.errors import UserError

if TYPE_CHECKING:
    from sickbay.gate.contract_check import Clause


def run(
    file: Path,
    tables: Mapping[str, str],
    *,
    write: bool = False,
    proposed: Path | None = None,
    features: list[str] | None = None,
    time: str | None = None,
    base: Path,
    as_json: bool = False,
) -> int:
    """Write, check or compare; return the exit code: 0 kept, 1 broken, 3 nothing could be measured."""
    from sickbay.gate import contract, contract_check

    if write:
        if file.exists():
            raise UserError(f"{file} is there already", hint="delete it, or write to another name and compare the two")
        if "offline" not in tables:
            raise UserError("a contract is written from the offline side", hint="name its table with --offline")
        made = contract_check.draft(tables["offline"], name=file.name.partition(".")[0], features=features,
                                    time=time or "", base=base)  # fmt: skip
        output.write(file, contract.text(made))
        output.say(f"contract: {file} ({len(made.fields)} features); read it, and narrow what is known better")
        return 0
    known = contract.read(file)
    if proposed is not None:
        clauses = contract_check.migration(known, contract.read(proposed), tables, base=base)
    elif tables:
        clauses = contract_check.check(known, tables, base=base)
    else:
        raise UserError(
            "nothing to check", hint="name tables with --offline and --online, or a contract with --proposed"
        )
    broken = [one for one in clauses if one.outcome == "broken"]
    unknown = [one for one in clauses if one.outcome == "unknown"]
    measured = [one for one in clauses if one.outcome != "unknown"]
    if as_json:
        output.print_json(_document(clauses, passed=not broken))
    else:
        for one in (*broken, *unknown):
            print(f"{one.outcome:8}{one.side}: {one.feature} {one.what}: {one.says}")
        what = "what the change breaks" if proposed else "clauses"
        print(f"{what}: {len(broken)} broken, {len(unknown)} unknown, {len(measured) - len(broken)} kept")
    if broken:
        return GATE
    return NOTHING if unknown and not measured else 0


def _document(clauses: list[Clause], *, passed: bool) -> dict[str, Any]:
    listed = [
        {"side": c.side, "feature": c.feature, "what": c.what, "outcome": c.outcome, "says": c.says} for c in clauses
    ]
    return {"schema": "sickbay.contract/1", "passed": passed, "clauses": listed}
