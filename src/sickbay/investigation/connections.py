"""The sources of one investigation: connected when first needed, remembered with their error, closed at the end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from sickbay.errors import SourceError, UserError
from sickbay.registry import SOURCES
from sickbay.sources.context import Context
from sickbay.terms.probe import Probe


class Connections:
    """Connects each configured source once, whichever probe asks first; the others wait, and share its error."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.kinds = SOURCES.load()
        self._clients: dict[str, Any] = {}
        self._errors: dict[str, SourceError | UserError] = {}
        self._locks = {name: threading.Lock() for name in self.kinds}

    def configured(self, name: str) -> bool:
        """Return whether the site names this system."""
        return name in self.kinds and bool(self.kinds[name].cls.configured(self.context))

    def get(self, name: str) -> Any:
        """Return the client; raises the SourceError or UserError that connecting raised, each time it is asked."""
        with self._locks[name]:
            if name in self._errors:
                raise self._errors[name]
            if name not in self._clients:
                try:
                    self._clients[name] = self.kinds[name].cls.connect(self.context)
                except (SourceError, UserError) as error:
                    self._errors[name] = error
                    raise
            return self._clients[name]

    def arguments(self, probe: Probe) -> Mapping[str, Any]:
        """Return the clients that a probe's parameters ask for."""
        return {
            parameter: self._maybe(kind) if parameter in probe.optional else self.get(kind)
            for parameter, kind in self.chosen(probe).items()
        }

    def chosen(self, probe: Probe) -> dict[str, str]:
        """Return parameter → kind of source that is read for it: the first of its kinds that the site names."""
        return {
            parameter: next((k for k in (kind, *probe.instead.get(parameter, ())) if self.configured(k)), kind)
            for parameter, kind in probe.sources.items()
        }

    def _maybe(self, name: str) -> Any:
        """Return the client; None where the site names none, or it cannot be connected."""
        if not self.configured(name):
            return None
        try:
            return self.get(name)
        except SourceError:
            return None

    def lacking(self, probe: Probe) -> list[str]:
        """Return the kinds of source a probe needs that the site does not name."""
        needed = {kind for parameter, kind in self.chosen(probe).items() if parameter not in probe.optional}
        return sorted(kind for kind in needed if not self.configured(kind))

    def close(self) -> None:
        """Close every client; one that cannot be closed does not keep the others open."""
        for client in self._clients.values():
            try:
                client.close()
            except (SourceError, UserError, OSError):
                continue
        self._clients.clear()
