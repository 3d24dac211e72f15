"""The site file ``sickbay.toml``: what the user runs and where.

Secrets stand there only as ``env:NAME`` or ``file:PATH``. An unknown key is an error that names the file, the key and
the nearest known key. Relative paths are relative to the site file. The same structure may be given as a dict, with
in-memory tables (pandas, Polars, Arrow) in the place of addresses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sickbay.errors import SiteFileError, nearest

SITE_FILE = "sickbay.toml"
SOURCE_NAMES = (
    "airflow", "cgroups", "containers", "disk", "docker", "feast", "feature_store", "files", "host", "http",
    "kubernetes", "logs", "mlflow", "mysql", "network", "postgres", "process", "profile", "prometheus", "redis", "s3",
    "services", "serving", "traces",
)  # fmt: skip
"""Kinds of system the site file may name; which of them this release reads is what ``sickbay doctor`` says."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, protected_namespaces=())


class System(_Part):
    """``[system]``: the name that reports carry, and the file that holds what the system is like when it is well."""

    name: str = "unnamed system"
    baseline: str | None = None


class Columns(_Part):
    """``columns`` of a model: which column of the prediction log plays which role; all but the prediction optional."""

    timestamp: str | None = None
    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    version: str | None = None
    arm: str | None = None
    status: str | None = None
    latency: str | None = None
    id: str | None = None

    def named(self) -> dict[str, str]:
        """Return role → column for the roles that are set."""
        return {role: column for role, column in self.model_dump().items() if column is not None}


class Expected(_Part):
    """``[model.NAME.gate.contract.COLUMN]``: what a column of the gate's data has to be."""

    type: Literal["number", "text"] | None = None
    min: float | None = None
    max: float | None = None
    max_null_share: float | None = Field(default=None, ge=0, le=1)
    values: tuple[str, ...] | None = None
    unique: bool = False


class Gate(_Part):
    """``[model.NAME.gate]``: what a candidate has to show before it may replace the champion."""

    metric: str | None = None
    margin: float | None = Field(default=None, ge=0)
    better: bool = False
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_rows: int = Field(default=200, ge=2)
    segments: tuple[str, ...] | None = None
    segment_margin: float | None = Field(default=None, ge=0)
    segment_share: float = Field(default=0.1, ge=0, le=1)
    calibration_margin: float = Field(default=0.03, ge=0)
    stability_margin: float | None = Field(default=None, ge=0)
    latency_ratio: float | None = Field(default=None, gt=0)
    size_ratio: float | None = Field(default=None, gt=0)
    group: str | None = None
    allow_not_shown: tuple[str, ...] | None = None
    contract: dict[str, Expected] = Field(default_factory=dict)


class Model(_Part):
    """``[model.NAME]``: a model's prediction log, the reference it was accepted on, and the roles of the columns."""

    task: Literal["binary", "multiclass", "regression"] = "binary"
    predictions: Any
    reference: Any = None
    columns: Columns = Columns()
    segments: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    registry: dict[str, str] = Field(default_factory=dict)
    arms: dict[str, float] = Field(default_factory=dict)
    """Configured traffic split, arm → share; left out: the split seen before the symptom is taken as configured."""

    gate: Gate | None = None

    @field_validator("predictions", "reference")
    @classmethod
    def _not_blank(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty; give a file, a glob, a directory or an address")
        return value


class Monitor(_Part):
    """``[monitor.NAME]``: what is watched on a schedule, and how many false alarms a month are put up with."""

    model: str | None = None
    window: str = "1d"
    slide: str | None = None
    delay: str = "0s"
    false_alarms_per_month: float = Field(default=1.0, gt=0)
    raise_after: int = Field(default=1, ge=1)
    clear_after: int = Field(default=2, ge=1)
    practical_size: float = Field(default=0.1, gt=0, le=1)
    practical_loss: float | None = Field(default=None, gt=0)
    columns: tuple[str, ...] | None = None
    probes: tuple[str, ...] | None = None
    """Probes to run on a schedule instead of comparing windows; the keys below belong to them."""
    every: str = "5m"
    warn_before: str = "7d"
    history: str = "30d"
    scenario: str | None = None
    """What an alarm is investigated as; left out, the scenario whose causes show the finding."""
    label_horizon: str = "30d"
    investigate: bool = True


class Site(_Part):
    """The whole site file, checked; ``base`` is the directory that relative paths start from."""

    system: System = System()
    model: dict[str, Model] = Field(default_factory=dict)
    monitor: dict[str, Monitor] = Field(default_factory=dict)
    source: dict[str, dict[str, Any]] = Field(default_factory=dict)
    base: Path = Path()
    file: str = "the given site"


def load_site(site: Site | Mapping[str, Any] | str | Path | None, environ: Mapping[str, str], directory: Path) -> Site:
    """Return the checked site from a path, a dict, a Site, or (None) from ``sickbay.toml`` or ``SICKBAY_SITE``.

    Raises SiteFileError naming the file and key, with the nearest known key or the next step as hint.
    """
    if isinstance(site, Site):
        return site
    if isinstance(site, Mapping):
        return _check(dict(site), "the given site", directory)
    path = _find(site, environ, directory)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SiteFileError(
            f"there is no site file at {path}",
            hint="`sickbay init` writes one from what it finds; or name one with --site",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SiteFileError(
            f"the site file {path} cannot be read: {error}", hint="it has to be a TOML file in UTF-8"
        ) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SiteFileError(
            f"the site file {path} is not TOML: {error}", hint="`sickbay init` writes one that is"
        ) from None
    return _check(document, str(path), path.resolve().parent)


def choose_model(site: Site, name: str | None) -> tuple[str, Model]:
    """Return the model asked for, or the only one; several and none named is an error that lists them."""
    if name is not None:
        if name not in site.model:
            known = ", ".join(site.model) or "none"
            raise SiteFileError(
                f"{site.file} has no [model.{name}]",
                hint=nearest(name, site.model) or f"models there: {known}",
            )
        return name, site.model[name]
    if len(site.model) == 1:
        return next(iter(site.model.items()))
    if not site.model:
        raise SiteFileError(
            f"{site.file} names no model",
            hint='add [model.NAME] with predictions = "…"; `sickbay init` does it',
        )
    raise SiteFileError(
        f"{site.file} names several models: {', '.join(site.model)}", hint="choose one with --model NAME"
    )


def _find(site: str | Path | None, environ: Mapping[str, str], directory: Path) -> Path:
    if site is not None:
        return Path(site)
    here = directory / SITE_FILE
    if not here.exists() and environ.get("SICKBAY_SITE"):
        return Path(environ["SICKBAY_SITE"])
    return here


def _check(document: dict[str, Any], file: str, base: Path) -> Site:
    document = {"base": base, "file": file} | document
    try:
        site = Site.model_validate(document)
    except ValidationError as error:
        raise _explain(error, file) from None
    for name in site.source:
        if name not in SOURCE_NAMES:
            raise SiteFileError(
                f"{file}: [source.{name}] is not a kind of system sickbay knows",
                hint=nearest(name, SOURCE_NAMES) or f"known: {', '.join(SOURCE_NAMES)}",
            )
    return site


def _explain(error: ValidationError, file: str) -> SiteFileError:
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        hint = nearest(path[-1], known) or f"keys known there: {', '.join(known)}"
        return SiteFileError(f"{file}: unknown key {key!r}", hint=hint)
    if first["type"] == "missing":
        return SiteFileError(
            f"{file}: the key {key!r} is missing", hint=f"add {path[-1]} = … below [{key[: key.rfind('.')]}]"
        )
    more = len(error.errors()) - 1
    return SiteFileError(
        f"{file}: {key!r}: {first['msg']}" + (f" (and {more} more)" if more else ""), hint=f"change the value of {key}"
    )


def _known_keys(path: list[str]) -> list[str]:
    match path:
        case []:
            return ["system", "model", "monitor", "source"]
        case ["system"]:
            return list(System.model_fields)
        case ["model", _]:
            return list(Model.model_fields)
        case ["model", _, "columns"]:
            return list(Columns.model_fields)
        case ["monitor", _]:
            return list(Monitor.model_fields)
        case ["model", _, "gate"]:
            return list(Gate.model_fields)
        case ["model", _, "gate", "contract", _]:
            return list(Expected.model_fields)
    return []
