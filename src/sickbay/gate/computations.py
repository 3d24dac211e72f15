"""A computation of a feature by what the user wrote: a callable, SQL, ``module:function``, a Feast on-demand view."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

from sickbay.errors import SickbayError, UserError
from sickbay.gate import replay_worker
from sickbay.gate.answers import Raised, gone
from sickbay.gate.replay_inputs import Row, fetched

SECONDS = 30.0
"""Time that one call of a computation may take, SQL or a function named by text, and a function's import."""
SQL = re.compile(r"\s*(select|with|from|values)\b", re.IGNORECASE)
FUNCTION = re.compile(r"(?P<place>[\w./\\~ -]+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_][\w.]*)")
FORMS = 'file.py:function, package.module:function, SQL over "rows" (or a .sql file), or feast:REPOSITORY#VIEW'


@dataclass(slots=True)
class Computation:
    """What runs: rows in, an answer or ``Raised`` out. ``ordered``: whether the order of its rows means anything."""

    says: str
    run: Callable[[list[Row]], Any]
    ordered: bool = True
    close: Callable[[], None] = field(default=lambda: None)


def computation(
    given: Any, columns: Sequence[str], *, base: Path | None = None, python: str = "", allow_code: bool = False
) -> Computation:
    """Return what ``given`` computes; UserError when it is no computation or cannot be run.

    ``columns``: names of the input's columns. ``python``: an interpreter for functions named by text and for Feast's
    (left out: this one). ``allow_code``: whether code that a Feast registry holds may be run.
    """
    if isinstance(given, str):
        return _by_text(given, columns, base or Path.cwd(), python or sys.executable, allow_code=allow_code)
    udf = getattr(getattr(given, "feature_transformation", None), "udf", None)
    if udf is not None:
        return Computation(getattr(given, "name", "the view"), _guarded(_frames(udf)))
    if not callable(given):
        raise UserError(f"{type(given).__name__} is no computation", hint="give a callable, SQL, or an on-demand view")
    return Computation(getattr(given, "__name__", repr(given)), _guarded(given))


def _by_text(text: str, columns: Sequence[str], base: Path, python: str, *, allow_code: bool) -> Computation:
    if text.endswith(".sql"):
        try:
            text = (base / text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{base / text} cannot be read: {error}", hint="a file of one SELECT over rows") from None
        return _sql(text)
    if SQL.match(text):
        return _sql(text)
    if text.startswith("feast:"):
        return _feast(text, base, python, allow_code=allow_code)
    found = FUNCTION.fullmatch(text)
    if found is None:
        raise UserError(f"{text[:200]!r} is no computation", hint=f"write {FORMS}")
    asked = {"kind": "function", "place": found["place"], "name": found["name"], "columns": list(columns)}
    return _worker(text, asked, base, python)


def _guarded(function: Callable[[list[Row]], Any]) -> Callable[[list[Row]], Any]:
    """Return the function with what it raises as an answer; it gets rows of its own."""

    def run(rows: list[Row]) -> Any:
        try:
            return function([dict(row) for row in rows])
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as e:
            return Raised(type(e).__name__, str(e)[:300])

    return run


def _frames(udf: Callable[[Any], Any]) -> Callable[[list[Row]], Any]:
    def run(rows: list[Row]) -> Any:
        import pandas

        return udf(pandas.DataFrame([dict(r) for r in rows])).to_dict("records")

    return run


def _sql(text: str) -> Computation:
    """Return one SELECT over ``rows`` as a computation; UserError with DuckDB's words when it cannot be run at all."""
    import duckdb

    from sickbay.sources.tables import connection, quote, tidy

    short = " ".join(text.split())[:120]
    con = connection(threads=1)
    con.execute("SET max_temp_directory_size = '1GB'")  # a query without an end is not to fill the disk
    wrong = (
        duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.SyntaxException,
        duckdb.NotImplementedException, duckdb.PermissionException, duckdb.IOException, duckdb.HTTPException,
    )  # fmt: skip

    def refused(error: Exception) -> UserError:
        return UserError(f"this SQL cannot be run: {short!r}: {tidy(error)}", hint="DuckDB's SQL over a table rows")

    try:
        statements = con.extract_statements(text)
    except duckdb.Error as error:
        raise refused(error) from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UserError(f"{short!r} is not one SELECT", hint="a computation reads from the table rows, and no more")

    def run(rows: list[Row]) -> Any:
        names = list(rows[0]) if rows else []
        columns = ", ".join(f"{quote(n)} {_type([r.get(n) for r in rows])}" for n in names)
        con.execute(f"CREATE OR REPLACE TABLE rows ({columns})")
        marks = ", ".join("?" * len(names))
        con.executemany(f"INSERT INTO rows VALUES ({marks})", [[r.get(n) for n in names] for r in rows])
        try:
            with _ended(con.interrupt):
                return fetched(con.execute(text))
        except duckdb.InterruptException:
            raise _silent(short, replay_worker.encode(rows)) from None
        except wrong as error:
            raise refused(error) from None
        except duckdb.Error as error:
            return Raised(type(error).__name__, tidy(error))

    return Computation(short, run, ordered=bool(re.search(r"\border\s+by\b", text, re.IGNORECASE)), close=con.close)


@contextlib.contextmanager
def _ended(end: Callable[[], None]) -> Iterator[None]:
    """Call ``end`` when what is inside takes longer than ``SECONDS``."""
    timer = threading.Timer(SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _silent(says: str, asked: Any) -> UserError:
    return UserError(f"{says} did not answer in {SECONDS:g} s; asked {json.dumps(asked)[:300]}", hint="does it wait?")


def _type(values: Sequence[Any]) -> str:
    """Return the SQL type of a column of Python values."""
    one = next((v for v in values if not gone(v)), None)
    if isinstance(one, datetime):
        return "TIMESTAMPTZ" if one.tzinfo else "TIMESTAMP"
    if isinstance(one, int) and not isinstance(one, bool) and any(isinstance(v, float) for v in values):
        return "DOUBLE"
    kinds = ((bool, "BOOLEAN"), (int, "BIGINT"), (float, "DOUBLE"), (date, "DATE"), (str, "VARCHAR"))
    return next((name for kind, name in kinds if isinstance(one, kind)), "DOUBLE")


def _feast(text: str, base: Path, python: str, *, allow_code: bool) -> Computation:
    from sickbay.sources.feast_registry import open_registry

    place, _, name = text.removeprefix("feast:").partition("#")
    if not place or not name:
        raise UserError(f"{text!r} names no view", hint="feast:REPOSITORY#VIEW, or feast:registry.db#VIEW")
    try:
        known = open_registry(base / place).on_demand
    except UserError:
        raise
    except SickbayError as error:
        raise UserError(f"{text}: {error}", hint="the directory of feature_store.yaml, or a registry file") from None
    view = next((v for v in known if v.name == name), None)
    if view is None:
        there = ", ".join(v.name for v in known) or "none"
        raise UserError(f"{place} has no on-demand view {name!r}", hint=f"on-demand views there: {there}")
    if not (view.text or view.body):
        raise UserError(f"the view {name!r} holds no Python function", hint="Substrait plans cannot be run")
    if not allow_code:
        raise UserError(
            f"{text} is code out of a registry, and would be run as you",
            hint=f"read it, then add --run-registry-code. It says: {view.text.strip()[:600]}",
        )
    asked = {
        "kind": "feast", "text": view.text, "body": base64.b64encode(view.body).decode(), "mode": view.mode,
        "singleton": view.singleton,
    }  # fmt: skip
    return _worker(text, asked, base, python)


class _Process:
    """A worker in an interpreter of the user's choice, asked by lines of JSON."""

    def __init__(self, says: str, asked: Mapping[str, Any], base: Path, python: str) -> None:
        self.says = says
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            self.process = subprocess.Popen(
                [python, replay_worker.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                cwd=base, env=environ,
            )  # fmt: skip
        except OSError as error:
            self.errors.close()
            raise UserError(f"{python} cannot be started: {error.strerror}", hint="name a Python interpreter") from None
        ready = self.ask(asked)
        if "unusable" in ready:
            self.close()
            why = ready["unusable"]
            raise UserError(why if asked["kind"] == "function" else f"{says}: {why}", hint=f"write {FORMS}")

    def ask(self, what: Any) -> dict[str, Any]:
        """Send a line and return the answer; UserError when the process ends, or takes too long."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(what).encode() + b"\n")
            self.process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            if not waiting.select(SECONDS):
                self.process.kill()
                raise _silent(self.says, what)
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip()[-300:]
            code = self.process.wait()
            raise UserError(
                f"{self.says} ended its process with {code}: {said or 'without a word'}", hint="it must not exit"
            )
        return json.loads(line)  # type: ignore[no-any-return]

    def run(self, rows: list[Row]) -> Any:
        """Return the answer to some rows."""
        answer = self.ask(replay_worker.encode([dict(row) for row in rows]))
        if "raised" in answer:
            return Raised(answer["raised"], answer["message"])
        return replay_worker.decode(answer["result"])

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _worker(says: str, asked: Mapping[str, Any], base: Path, python: str) -> Computation:
    process = _Process(says, asked, base, python)
    return Computation(says, process.run, close=process.close)
