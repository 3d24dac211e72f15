"""Watching: profiles of tables and their drift, monitors on a schedule, detectors on a stream of predictions.

from sickbay.monitor import PredictionLogger, Stream, log_predictions
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.monitor.asgi import Middleware as Middleware
    from sickbay.monitor.sinks import JsonLines as JsonLines
    from sickbay.monitor.sinks import Parquet as Parquet
    from sickbay.monitor.stream import Stream as Stream
    from sickbay.monitor.tap import PredictionLogger as PredictionLogger
    from sickbay.monitor.tap import log_predictions as log_predictions
    from sickbay.stats.alarm import Rule as Rule

_HOME = {
    "JsonLines": "sickbay.monitor.sinks",
    "Middleware": "sickbay.monitor.asgi",
    "Parquet": "sickbay.monitor.sinks",
    "PredictionLogger": "sickbay.monitor.tap",
    "Rule": "sickbay.stats.alarm",
    "Stream": "sickbay.monitor.stream",
    "log_predictions": "sickbay.monitor.tap",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sickbay.monitor' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
