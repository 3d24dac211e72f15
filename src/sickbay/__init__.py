"""sickbay finds out why a production machine-learning system is sick, and proves it with numbers.

    import sickbay
    diagnosis = sickbay.investigate("sickbay.toml", scenario="model-degradation")
    diagnosis.leader

    sickbay.drift("accepted.parquet", "yesterday.parquet").columns
    sickbay.validate("candidate.parquet", "champion.parquet", "labelled.parquet").passed
    sickbay.skew("training.parquet", "serving.parquet", keys=["user_id"]).skewed

Names are loaded when they are first used: ``import sickbay`` itself reads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sickbay.config import Site as Site
    from sickbay.config import load_site as load_site
    from sickbay.errors import PluginError as PluginError
    from sickbay.errors import RemedyError as RemedyError
    from sickbay.errors import SickbayError as SickbayError
    from sickbay.errors import SourceError as SourceError
    from sickbay.errors import UserError as UserError
    from sickbay.gate.operation import validate as validate
    from sickbay.gate.pairs import Named as Named
    from sickbay.gate.replay import replay as replay
    from sickbay.monitor.comparing import drift as drift
    from sickbay.monitor.comparing import profile as profile
    from sickbay.stats.skew.report import SkewReport as SkewReport
    from sickbay.terms.diagnosis import Diagnosis as Diagnosis

__version__ = "0.1.0"

_HOME = {
    "Diagnosis": "sickbay.terms.diagnosis",
    "Named": "sickbay.gate.pairs",
    "PluginError": "sickbay.errors",
    "RemedyError": "sickbay.errors",
    "SickbayError": "sickbay.errors",
    "Site": "sickbay.config",
    "SkewReport": "sickbay.stats.skew.report",
    "SourceError": "sickbay.errors",
    "UserError": "sickbay.errors",
    "drift": "sickbay.monitor.comparing",
    "replay": "sickbay.gate.replay",
    "load_site": "sickbay.config",
    "profile": "sickbay.monitor.comparing",
    "validate": "sickbay.gate.operation",
}

__all__ = ["__version__", "investigate", "skew", *_HOME]


def investigate(site: Any = None, scenario: str | None = None, **asked: Any) -> Diagnosis:
    """Return the diagnosis of a site: causes with probabilities, the reasons, and what was not measured.

    ``site``: path, dict, ``Site``, or None for ``sickbay.toml`` here; a dict may hold pandas, Polars or Arrow tables.
    ``scenario``: the symptom, or None to start from the symptoms. Keywords: ``model``, ``since`` (``"7d"``, ISO time,
    datetime, timedelta), ``until``, ``budget`` in seconds, ``mode`` (``gentle``, ``balanced``, ``fast``), ``workers``,
    ``on_event``. Raises UserError when the site cannot be used; a system that cannot be read is an unknown finding.
    """
    from sickbay import investigation
    from sickbay.report import notebook

    notebook.attach()  # gives the diagnosis its notebook view

    return investigation.investigate(site, scenario, **asked)


def skew(offline: Any, online: Any, *, keys: Any, **asked: Any) -> SkewReport:
    """Return how the offline (training) and online (serving) values of features differ, and which rule explains it.

    Both are a file, glob, directory, address, or a pandas, Polars, Arrow or Spark table; ``keys`` identify an entity.
    Keywords: ``time``, ``online_time``, ``history``, ``events``, ``features``, ``tolerance``, ``tolerances``,
    ``segments``. Raises TableError when a table cannot be used, SourceError when it cannot be read.
    """
    from sickbay.monitor import skewing
    from sickbay.report import skew as skew_report

    skew_report.attach()  # gives the report its notebook view

    return skewing.skew(offline, online, keys=keys, **asked)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sickbay' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
