"""Every exception of sickbay, grouped by what the caller can do about it.

    SickbayError
    ├── UserError          fix the command, the site file or a knowledge file     (exit code 2)
    │   ├── SiteFileError      the site file: missing, not TOML, an unknown key, a wrong value
    │   ├── UnknownNameError   a name that nothing is registered under
    │   ├── KnowledgeError     a knowledge file contradicts itself or names what does not exist
    │   └── TableError         a table that cannot be used: missing, empty, unreadable, a column not in it
    ├── SourceError        a system cannot be read; becomes an unknown finding inside an investigation
    │   ├── SourceTimeout      it did not answer in time
    │   ├── SourceForbidden    it answered, and refused this login or right
    │   └── SourceGarbled      it answered with what is not its protocol
    ├── RemedyError        nothing changed, or what changed is in the journal
    └── PluginError        a registered thing breaks its contract: duplicate name, undeclared finding

The message says what happened, to which named thing, in which file and key; ``hint`` says the next step.
Nothing secret belongs in either.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SickbayError(Exception):
    """Base of all errors raised on purpose; ``hint`` is the next step to take, or empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UserError(SickbayError):
    """The command, the site file or a knowledge file has to be changed."""


class SiteFileError(UserError):
    """The site file cannot be used as it is."""


class UnknownNameError(UserError):
    """Nothing is registered under the name given."""


class KnowledgeError(UserError):
    """A knowledge file contradicts itself or names what does not exist."""


class TableError(UserError):
    """A table named by the user cannot be used: missing, empty, unreadable, or without a needed column."""


class SourceError(SickbayError):
    """A system cannot be read."""


class SourceTimeout(SourceError):
    """A system did not answer in time."""


class SourceForbidden(SourceError):
    """A system answered and refused this login or right."""


class SourceGarbled(SourceError):
    """A system answered with something that is not its protocol."""


class RemedyError(SickbayError):
    """A remedy could not be applied; nothing changed, or what changed is in the journal."""


class PluginError(SickbayError):
    """A registered thing breaks its contract."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known name closest to ``name``, or an empty string.

    >>> nearest("model-degredation", ["model-degradation", "serving-oom"])
    "did you mean 'model-degradation'?"
    """
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
