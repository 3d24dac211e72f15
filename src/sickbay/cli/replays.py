"""What ``sickbay skew --replay`` does: two computations on the same inputs, and the smallest on which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sickbay.cli import GATE, output

if TYPE_CHECKING:
    from sickbay.gate.replay import Replayed


def run(
    computations: tuple[str, str],
    inputs: str | None,
    *,
    pythons: Sequence[str] = (),
    examples: int,
    allow_code: bool = False,
    tolerance: float | None = None,
    base: Path,
    as_json: bool = False,
) -> int:
    """Run both and print what came of it; return the exit code: 0 the same on every input tried, 1 different."""
    from sickbay.gate.replay import replay
    from sickbay.gate.replay_inputs import read_rows

    if inputs is None:
        raise click.UsageError("name the observed rows to start from: --inputs TABLE")
    if len(pythons) > 2:
        raise click.UsageError("--python is given once for both sides, or twice, first and second")
    found = replay(
        *computations, read_rows(inputs, base), examples=examples, base=base, pythons=pythons, allow_code=allow_code,
        tolerance=tolerance,
    )  # fmt: skip
    if as_json:
        output.print_json(_document(computations, found))
    else:
        _print(computations, found)
    return GATE if found.differs else 0


def _print(computations: tuple[str, str], found: Replayed) -> None:
    if not found.differs:
        print(f"the same on {found.tried} inputs; that is no proof, and says nothing of inputs unlike these")
        return
    count = len(found.rows)
    print(f"different on {count} row{'s' if count != 1 else ''}, the smallest of the inputs tried ({found.tried}):")
    for row in found.rows:
        print("  " + ", ".join(f"{name} = {_said(value)}" for name, value in row.items()))
    for name, result in zip(computations, (found.first, found.second), strict=True):
        print(f"{' '.join(name.split())[:100]}\n  {_said(result)}")


def _said(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def _document(computations: tuple[str, str], found: Replayed) -> dict[str, Any]:
    from sickbay.gate.answers import Raised

    def side(name: str, result: Any) -> dict[str, Any]:
        raised = {"type": result.type, "message": result.message} if isinstance(result, Raised) else None
        return {"computation": name, "result": None if raised else _json(result), "raised": raised}

    first, second = computations
    return {
        "schema": "sickbay.replay/1", "differs": found.differs, "tried": found.tried,
        "rows": [_json(dict(row)) for row in found.rows],
        "first": side(first, found.first) if found.differs else {"computation": first},
        "second": side(second, found.second) if found.differs else {"computation": second},
    }  # fmt: skip


def _json(value: Any) -> Any:
    """Return a value as JSON has it; times in ISO 8601, NaN as null."""
    if isinstance(value, dict):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None if value != value else repr(value)
    return _said(value)
