"""What several probes of one investigation look at is looked at once: the first that asks looks, the others wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from sickbay.errors import SickbayError

T = TypeVar("T")


class Once:
    """Keeps what was made under a key, or the error that making it raised, for as long as its source is open."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._made: dict[Hashable, object] = {}
        self._failed: dict[Hashable, SickbayError] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under the key, made now if nothing is; raises the SickbayError that making it raised."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key in self._failed:
                raise self._failed[key]
            if key not in self._made:
                try:
                    self._made[key] = make()
                except SickbayError as error:
                    self._failed[key] = error
                    raise
            return cast("T", self._made[key])
