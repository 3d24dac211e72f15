"""What every source must keep: the four methods, nothing that writes, and no client for what cannot be read."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from sickbay.registry import SourceKind
from sickbay.sources.context import Context

WRITING = ("write", "insert", "update", "delete", "drop", "put", "post", "create", "truncate", "patch")


def check_source(kind: SourceKind) -> None:
    """A source class has ``configured``, ``connect``, ``check``, ``close``, a docstring, and no method that writes."""
    for method in ("configured", "connect", "check", "close"):
        assert callable(getattr(kind.cls, method, None)), f"source {kind.name} has no {method}()"
    assert kind.says, f"source {kind.name} has no docstring"
    public = [name for name, _ in inspect.getmembers(kind.cls, callable) if not name.startswith("_")]
    writing = [name for name in public if name.lower().startswith(WRITING)]
    assert not writing, f"source {kind.name} has methods that look as if they write: {', '.join(writing)}"


def check_nonsense(kind: SourceKind, contexts: Iterable[Context]) -> None:
    """Connecting to what is not there raises an error of sickbay, and never returns a client that reads as empty."""
    from sickbay.errors import SickbayError

    for context in contexts:
        try:
            client = kind.cls.connect(context)
        except SickbayError as error:
            if not str(error):
                raise AssertionError(f"source {kind.name} refuses without a word") from error
            continue
        client.close()
        raise AssertionError(f"source {kind.name} connects to nonsense: {context.site.model or context.site.source}")
