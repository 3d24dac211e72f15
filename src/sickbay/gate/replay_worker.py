"""Runs one computation of a feature for ``sickbay.gate.computations``, in an interpreter of the user's choice.

A file by itself: standard library alone, any Python from 3.8 on, started by its path. The first line that it is sent
says what to run; then every line is a list of rows, answered by one line with the result or the exception.
"""

from __future__ import annotations

import ast
import base64
import builtins
import contextlib
import datetime
import decimal
import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
from pathlib import Path
from typing import Any


class Unusable(Exception):
    """The computation cannot be run at all; the text says why."""


def encode(value: Any) -> Any:
    """Return a value as JSON can hold it: times, dates and what else has no form of its own are marked."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, decimal.Decimal):
        return encode(float(value))
    if isinstance(value, datetime.datetime):
        return {"$time": value.isoformat()} if value == value else None
    if isinstance(value, datetime.date):
        return {"$date": value.isoformat()}
    if isinstance(value, dict):
        return {"$dict": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return [encode(v) for v in sorted(value, key=repr)]
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame
        return [encode({str(k): v for k, v in row.items()}) for row in value.to_dict("records")]
    if hasattr(value, "to_dicts"):
        return [encode(row) for row in value.to_dicts()]
    if hasattr(value, "tolist"):  # numpy, pandas
        return encode(value.tolist())
    if isinstance(value, datetime.timedelta):
        return encode(value.total_seconds())
    return {"$other": repr(value)[:200]}


def decode(value: Any) -> Any:
    """Return what ``encode`` made JSON of."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    ((mark, inner),) = value.items()
    if mark == "$dict":
        return {decode(k): decode(v) for k, v in inner}
    if mark == "$float":
        return float(inner)
    if mark == "$time":
        return datetime.datetime.fromisoformat(inner)
    return datetime.date.fromisoformat(inner) if mark == "$date" else inner


def named(place: str, name: str) -> Any:
    """Return the function ``name`` of a file or module; Unusable with what is there instead."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise Unusable(f"there is no file {place}")
            sys.path.insert(0, str(Path(place).resolve().parent))
            spec = importlib.util.spec_from_file_location(f"replayed_{Path(place).stem}", place)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except Unusable:
        raise
    except BaseException as error:  # noqa: BLE001 - the user's module does what it likes while it is imported
        raise Unusable(f"{place} cannot be imported: {type(error).__name__}: {error}") from None
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            there = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")][:12]
            raise Unusable(f"{place} has no {name}; functions there: {', '.join(there) or 'none'}")
        found = getattr(found, part)
    if not callable(found):
        raise Unusable(f"{place}:{name} is no function: {type(found).__name__}")
    return found


def called(function: Any, columns: list[str]) -> Any:
    """Return the function as one of a list of rows: given the list, or called per row with columns as arguments."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return function
    usual = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.default is p.empty and p.kind in (*usual, inspect.Parameter.KEYWORD_ONLY)]
    places = [p for p in parameters if p.kind in usual]
    names = [p.name for p in parameters if p.kind in (*usual[1:], inspect.Parameter.KEYWORD_ONLY)]
    if needed and all(p.name in columns for p in needed):
        wanted = [name for name in names if name in columns]
        return lambda rows: [function(**{name: row[name] for name in wanted}) for row in rows]
    starred = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    if len(needed) <= 1 and (places or starred) and not any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in needed):
        return function
    raise Unusable(
        f"{getattr(function, '__name__', 'the function')}{inspect.signature(function)} cannot be called: it takes "
        f"neither one argument, a list of rows, nor columns alone (columns: {', '.join(columns)})"
    )


def transformation(given: dict[str, Any]) -> Any:
    """Return the function of a Feast on-demand view, from its source text in the registry, else from its pickle."""
    why = ""
    try:
        tree = ast.parse(inspect.cleandoc(given["text"]))
        made: list[ast.stmt] = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.Assign))]
        functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
        if not functions:
            raise Unusable("its text in the registry holds no function")
        functions[-1].decorator_list = []
        for argument in ast.walk(functions[-1].args):
            if isinstance(argument, ast.arg):
                argument.annotation = None  # names that the text does not bring
        functions[-1].returns = None
        space = usual_names()
        exec(compile(ast.Module(made, []), "<feast registry>", "exec"), space)
        function = space[functions[-1].name]
        lacking = sorted(n for n in free(functions[-1]) if n not in space and not hasattr(builtins, n))
        if not lacking:
            return function
        why = f"its text in the registry uses {', '.join(lacking)}, which is not in the text"
    except SyntaxError as error:
        why = f"its text in the registry is no Python: {error}"
    return unpickled(given, why)


def unpickled(given: dict[str, Any], why: str) -> Any:
    """Return the function from Feast's own pickle of it, for which dill is needed."""
    try:
        dill = importlib.import_module("dill")
    except ImportError:
        raise Unusable(f"{why}; an interpreter that has dill could read the stored function") from None
    try:
        return dill.loads(base64.b64decode(given["body"]))
    except Exception as error:  # noqa: BLE001 - whatever the stored bytes do
        said = f"{why}; nor can the stored function be read: {type(error).__name__}: {error}"
        raise Unusable(said) from None


def free(function: ast.FunctionDef) -> set[str]:
    """Return the names that a function reads and does not set anywhere in itself."""
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    own = {n.id for n in names if not isinstance(n.ctx, ast.Load)} | {function.name}
    own |= {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            own |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ExceptHandler) and node.name:
            own.add(node.name)
        if isinstance(node, ast.FunctionDef):
            own.add(node.name)
    return {n.id for n in names} - own


def usual_names() -> dict[str, Any]:
    """Return what the text of a transformation may count on: the modules that such files import."""
    space: dict[str, Any] = {"__name__": "replayed", "math": math, "datetime": datetime}
    for name, short in (("pandas", "pd"), ("numpy", "np")):
        with contextlib.suppress(ImportError):  # the text may need neither
            space[name] = space[short] = importlib.import_module(name)
    space.update({n: getattr(datetime, n) for n in ("timedelta", "timezone")})
    typing = importlib.import_module("typing")
    space.update({n: getattr(typing, n) for n in ("Any", "Dict", "List", "Optional")})
    return space


def on_demand(given: dict[str, Any]) -> Any:
    """Return an on-demand view as a computation of a list of rows, whose answer is a list of rows."""
    function = transformation(given)
    mode = given["mode"] or "pandas"
    if mode == "pandas":
        try:
            import pandas
        except ImportError:
            raise Unusable("the view's transformation needs pandas; name an interpreter that has it") from None
        return lambda rows: function(pandas.DataFrame(rows))
    if mode != "python":
        raise Unusable(f"the view's transformation is of mode {mode!r}; pandas and python can be run")
    if given["singleton"]:
        return lambda rows: [function(row) for row in rows]

    def run(rows: list[Any]) -> list[Any]:
        made = function({name: [row[name] for row in rows] for name in rows[0]})
        return [{name: values[i] for name, values in made.items()} for i in range(len(rows))]

    return run


def main() -> None:
    """Answer one line after another until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what user code prints is no answer
    sys.stdout = sys.stderr
    given = json.loads(sys.stdin.readline())
    try:
        if given["kind"] == "function":
            run = called(named(given["place"], given["name"]), given["columns"])
        else:
            run = on_demand(given)
        first: dict[str, Any] = {"ready": True}
    except Unusable as error:
        first = {"unusable": str(error)}
    answers.write(json.dumps(first) + "\n")
    answers.flush()
    for line in sys.stdin:
        try:
            answer = {"result": encode(run(decode(json.loads(line))))}
        except Exception as error:  # noqa: BLE001 - an exception is an answer too
            answer = {"raised": type(error).__name__, "message": str(error)[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
