"""What all tests of monitors share."""

from __future__ import annotations

import pytest

from sickbay.monitor.store import Store


@pytest.fixture(autouse=True)
def stores_are_closed(monkeypatch):
    """Close every store that a test opened: newer Pythons warn of those that are left to the collector."""
    opened, begin = [], Store.__init__

    def kept(self, path):
        begin(self, path)
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", kept)
    yield
    for store in opened:
        store.close()
