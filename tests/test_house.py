"""Rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src" / "sickbay"
FILES = sorted(SRC.rglob("*.py"))
LONGEST = 400
CATCHERS = {"investigation/runner.py", "cli/__init__.py", "monitor/tap.py", "gate/replay_worker.py"}
"""The probe runner, the outermost door, the thread that hands predictions to a sink, the process of users' code."""


def test_the_import_contracts_are_kept() -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=SRC.parent.parent, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_importing_sickbay_loads_nothing_heavy() -> None:
    heavy = ["pandas", "pyarrow", "polars", "duckdb", "sqlglot", "sklearn", "scipy", "rich", "jinja2", "pydantic"]
    code = f"import sys, sickbay; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_asking_for_help_loads_nothing_heavy() -> None:
    heavy = ["pandas", "pyarrow", "duckdb", "sqlglot", "sklearn", "scipy"]
    code = (
        f"import sys; from sickbay.cli import main; main(['--help']); print([n for n in {heavy!r} if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_no_file_is_over_400_lines() -> None:
    lengths = {str(f.relative_to(SRC)): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_everything_is_caught_only_by_the_probe_runner_and_the_outermost_door() -> None:
    catching = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and _swallows_all(node):
                catching.add(str(file.relative_to(SRC)))
    assert catching <= CATCHERS


def test_nothing_suppresses_every_exception() -> None:
    assert [f.name for f in FILES if "suppress(Exception" in f.read_text(encoding="utf-8")] == []


def _swallows_all(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler takes everything in; one that cleans up and raises again does not swallow it."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException")) for name in caught
    )
