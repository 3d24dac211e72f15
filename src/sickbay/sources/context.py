"""What every source is connected with: the site, the model in question, the window asked for, and the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, Self

from sickbay.config import Site

TOO_HEAVY = "not done: it loads what it looks at, and the mode is gentle"


@dataclass(frozen=True, slots=True)
class Context:
    """Passed to ``connect``. ``since`` and ``until`` are UTC; None means: let the data decide.

    ``since`` may be a length of time, counted back from ``until`` or from the newest row. ``gentle``: what loads the
    system that is looked at is left out.
    """

    site: Site
    now: datetime
    model: str | None = None
    since: datetime | timedelta | None = None
    until: datetime | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    gentle: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``sickbay doctor``: what was tried, whether it worked, and what was seen or the next step."""

    what: str
    ok: bool
    detail: str = ""


class Source(Protocol):
    """What a registered source class offers besides its own reading methods."""

    @classmethod
    def configured(cls, context: Context) -> bool:
        """Return whether the site names this system at all; touches nothing."""
        ...

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Return a client; raises SourceError (cannot be read) or UserError (site or table to be fixed)."""
        ...

    def check(self) -> list[Check]:
        """Return what is reachable and readable, for ``sickbay doctor``."""
        ...

    def close(self) -> None:
        """Give back connections; may be called twice."""
        ...
