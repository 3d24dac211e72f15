"""Which settings a step of a pipeline reads, told from its code: by the step, and by the line that raised an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

READERS = re.compile(
    r"(^|\.)(Variable\.get|get_variable|get_connection|get_uri|Connection\.get(_connection_from_secrets)?|getenv|environ\.get)$"
)
"""Calls that return a variable, a connection or an environment variable by its name."""
TEMPLATE = re.compile(r"\b(?:var\.(?:value|json)|conn)\.(?:get\(\s*['\"])?(\w+)")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def step(code: str, task: str) -> str:
    """Return the code that belongs to a task: its function or operator, and what of the same file it uses.

    ``task`` may carry its group and the number of its copy. Empty where the code does not parse or has no such task.
    """
    tree = _parsed(code)
    if tree is None:
        return ""
    name = re.sub(r"__\d+$", "", task).rpartition(".")[2]
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}
    constants = {
        target.id: node
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    begun: list[ast.AST] = [functions[name]] if name in functions else []
    begun += [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _makes(node, name)]
    kept: list[ast.AST] = []
    while begun:
        node = begun.pop()
        if node in kept:
            continue
        kept.append(node)
        for used in (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)):
            calls = isinstance(node, FUNCTIONS) or _operator(node)  # else its arguments, which other steps made
            found = constants.get(used) or (functions.get(used) if calls else None)
            if found is not None:
                begun.append(found)
    return "\n".join(_text(code, node) for node in kept)


def names(code: str, subject: str) -> bool:
    """Return whether code names a variable or connection: as a literal, or in a template."""
    name = re.escape(subject)
    return re.search(rf"""["']{name}["']|\b(?:var\.(?:value|json)|conn)\.{name}\b""", code) is not None


def at_line(code: str, line: int, function: str) -> str:
    """Return the setting that a line reads and works on, and nothing else with it; empty where that is not so.

    What a line works on is what it calls, indexes or computes with: each of these has to take the setting, so that an
    error raised in the line itself is one of the setting's value. A value kept in a local name counts as the setting.
    """
    tree = _parsed(code)
    if tree is None:
        return ""
    inside = [n for n in ast.walk(tree) if isinstance(n, FUNCTIONS) and n.name == function and _holds(n, line)]
    if not inside:
        return ""
    home = max(inside, key=lambda n: n.lineno)
    statements = [n for n in ast.walk(home) if isinstance(n, ast.stmt) and n is not home and _holds(n, line)]
    if not statements:
        return ""
    statement = max(statements, key=lambda n: (n.lineno, -(n.end_lineno or 0)))
    if isinstance(statement, ast.Raise):  # said on purpose, of whatever it may be
        return ""
    kept = {
        target.id: setting
        for node in ast.walk(home)
        if isinstance(node, ast.Assign) and (setting := _read(node.value, {}))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    read = [_read(part, kept) for root in _inner(statement) for part in _works(root)]
    return read[0] if read and all(read) else ""


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _makes(call: ast.Call, name: str) -> bool:
    """Return whether a call makes the task: an operator with its id, or its function called in the pipeline."""
    called = call.func
    while isinstance(called, ast.Attribute | ast.Call):  # fetch.override(retries=2).expand(day=...)
        called = called.value if isinstance(called, ast.Attribute) else called.func
    if isinstance(called, ast.Name) and called.id == name:
        return True
    return _operator(call) == name


def _operator(node: ast.AST) -> str:
    """Return the id of the task that a node makes as an operator; empty where it makes none."""
    given = [k.value for k in node.keywords if k.arg == "task_id"] if isinstance(node, ast.Call) else []
    return next((str(one.value) for one in given if isinstance(one, ast.Constant)), "")


def _text(code: str, node: ast.AST) -> str:
    found = [ast.get_source_segment(code, node) or ""]
    found += [ast.get_source_segment(code, one) or "" for one in getattr(node, "decorator_list", ())]
    return "\n".join(found)


def _holds(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _inner(statement: ast.stmt) -> list[ast.expr]:
    """Return the expressions of a statement itself, not of those in its body."""
    found = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr)]
    return found + [item.context_expr for item in getattr(statement, "items", ()) if isinstance(item, ast.withitem)]


def _works(root: ast.expr) -> Iterator[ast.expr]:
    """Yield what in an expression can raise an error by itself, without the calls that only read a setting."""
    for node in ast.walk(root):
        if isinstance(node, ast.Subscript | ast.BinOp | ast.Compare | ast.UnaryOp) or (
            isinstance(node, ast.Call) and not _setting(node)
        ):
            yield node


def _read(expression: ast.expr, kept: dict[str, str]) -> str:
    """Return the setting that an expression holds, read in it or kept in a name; empty for none."""
    for node in ast.walk(expression):
        if found := _setting(node) or (kept.get(node.id, "") if isinstance(node, ast.Name) else ""):
            return found
    return ""


def _setting(node: ast.AST) -> str:
    """Return the name of the setting that this node reads by itself; empty for none."""
    given: Iterable[ast.expr] = ()
    if isinstance(node, ast.Call) and READERS.search(ast.unparse(node.func)):
        given = [*node.args[:1], *(k.value for k in node.keywords if k.arg in ("key", "conn_id"))]
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
        given = [node.slice]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = TEMPLATE.search(node.value)
        return found[1] if found else ""
    return next((str(one.value) for one in given if isinstance(one, ast.Constant)), "")
