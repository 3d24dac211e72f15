"""Feature contracts in the Open Data Contract Standard (ODCS 3): written from a table, read, and compared.

What is used of the standard: ``schema[].properties[]`` with ``logicalType``, ``physicalType``, ``required``,
``logicalTypeOptions`` (``minimum``, ``maximum``), ``quality`` (``nullValues``, ``validValues``), ``slaProperties``
(``freshness``), and ``customProperties`` (``tolerance``: how far serving may be from training, relative).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.errors import UserError

VERSION = "v3.0.2"
LOGICAL = ("string", "number", "integer", "boolean", "date", "object", "array")
FAMILIES = (
    ("boolean", ("bool",)), ("date", ("date", "time")), ("array", ("[]", "list", "array")),
    ("object", ("struct", "map")),
    ("number", ("double", "float", "real", "decimal", "numeric")), ("integer", ("int", "long", "short", "serial")),
    ("string", ("char", "text", "string", "uuid", "enum")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """What one feature has to be. ``null_share``: at most; ``tolerance``: relative, between the sides."""

    name: str
    type: str
    physical: str = ""
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    null_share: float | None = None
    values: tuple[str, ...] = ()
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract of one table. ``fresh_hours``: age at most of the newest value of ``time``."""

    table: str
    fields: Mapping[str, Field]
    version: str = "1.0.0"
    time: str = ""
    fresh_hours: float | None = None
    keys: tuple[str, ...] = field(default=())


def logical(engine_type: str) -> str:
    """Return the standard's logical type of an engine's type."""
    plain = engine_type.lower()
    return next((name for name, words in FAMILIES if any(word in plain for word in words)), "string")


def read(file: Path) -> Contract:
    """Return the contract of a file; UserError that names the file and what is wrong."""
    document = _document(file)
    if document.get("kind") != "DataContract" or not str(document.get("apiVersion", "")).startswith("v3"):
        raise UserError(
            f"{file} is no data contract of ODCS 3", hint="it needs apiVersion: v3.0.2 and kind: DataContract"
        )
    tables = document.get("schema")
    if not isinstance(tables, list) or len(tables) != 1 or not isinstance(tables[0], dict):
        raise UserError(f"{file}: schema has to list one table", hint="one contract per table of features")
    listed = tables[0].get("properties")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{file}: schema[0].properties lists no feature", hint="`--write` makes them from a table")
    fields = {}
    for number, one in enumerate(listed):
        made = _field(one, f"{file}: schema[0].properties[{number}]")
        fields[made.name] = made
    time, hours = "", None
    for sla in document.get("slaProperties") or []:
        if isinstance(sla, dict) and sla.get("property") in ("freshness", "latency"):
            hours = _number(sla.get("value"), f"{file}: slaProperties freshness") * _hours(sla.get("unit"), file)
            time = str(sla.get("element", "")).rpartition(".")[2]
    return Contract(str(tables[0].get("name", "")), fields, str(document.get("version", "")), time, hours)


def _document(file: Path) -> dict[str, Any]:
    yaml = _yaml()
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no contract at {file}", hint="`--write` makes one from a table") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the contract {file} cannot be read: {error}", hint="it has to be a YAML file") from None
    except yaml.YAMLError as error:
        raise UserError(f"the contract {file} is not YAML: {str(error)[:200]}", hint="mend it at that line") from None
    if not isinstance(found, dict):
        raise UserError(f"the contract {file} holds no settings", hint="`--write` makes one from a table")
    return found


def _field(one: Any, where: str) -> Field:
    if not isinstance(one, dict) or not one.get("name"):
        raise UserError(f"{where} has no name", hint="each property is a feature with a name")
    kind = str(one.get("logicalType", ""))
    if kind not in LOGICAL:
        raise UserError(f"{where}: logicalType {kind!r} is none of ODCS", hint=f"one of: {', '.join(LOGICAL)}")
    options = one.get("logicalTypeOptions") or {}
    nulls: float | None = None
    values: tuple[str, ...] = ()
    for rule in one.get("quality") or []:
        if rule.get("rule") == "nullValues":
            nulls = _number(rule.get("mustBeLessOrEqualTo"), f"{where}: nullValues") / 100
        elif rule.get("rule") == "validValues":
            values = tuple(str(v) for v in rule.get("validValues") or ())
    custom = {str(c.get("property")): c.get("value") for c in one.get("customProperties") or []}
    limits = [None if options.get(k) is None else _number(options[k], f"{where}: {k}") for k in ("minimum", "maximum")]
    width = None if custom.get("tolerance") is None else _number(custom["tolerance"], f"{where}: tolerance")
    return Field(
        str(one["name"]), kind, str(one.get("physicalType", "")), bool(one.get("required")), limits[0], limits[1],
        nulls, values, width,
    )  # fmt: skip


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where} is {value!r}, not a number", hint="write a plain number")
    return float(value)


def _hours(unit: Any, file: Path) -> float:
    units = {"h": 1.0, "hour": 1.0, "hours": 1.0, "d": 24.0, "day": 24.0, "days": 24.0, "m": 1 / 60, "minutes": 1 / 60}
    if unit not in units:
        raise UserError(f"{file}: slaProperties unit {unit!r} is not known", hint=f"one of: {', '.join(units)}")
    return units[str(unit)]


def text(contract: Contract) -> str:
    """Return the contract as YAML of the standard."""
    document: dict[str, Any] = {
        "apiVersion": VERSION, "kind": "DataContract", "id": contract.table, "version": contract.version,
        "status": "active",
        "schema": [{
            "name": contract.table, "logicalType": "object", "physicalType": "table",
            "properties": [_property(one) for one in contract.fields.values()],
        }],
    }  # fmt: skip
    if contract.fresh_hours is not None:
        document["slaProperties"] = [{
            "property": "freshness", "value": contract.fresh_hours, "unit": "h",
            "element": f"{contract.table}.{contract.time}",
        }]  # fmt: skip
    written: str = _yaml().safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return written


def _property(one: Field) -> dict[str, Any]:
    made: dict[str, Any] = {"name": one.name, "logicalType": one.type}
    if one.physical:
        made["physicalType"] = one.physical
    made["required"] = one.required
    limits = {k: v for k, v in (("minimum", one.minimum), ("maximum", one.maximum)) if v is not None}
    if limits:
        made["logicalTypeOptions"] = limits
    quality: list[dict[str, Any]] = []
    if one.null_share is not None:
        percent = round(100 * one.null_share, 4)
        quality.append({"type": "library", "rule": "nullValues", "mustBeLessOrEqualTo": percent, "unit": "percent"})
    if one.values:
        quality.append({"type": "library", "rule": "validValues", "validValues": list(one.values)})
    if quality:
        made["quality"] = quality
    if one.tolerance is not None:
        made["customProperties"] = [{"property": "tolerance", "value": one.tolerance}]
    return made


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise UserError("feature contracts need PyYAML", hint='pip install "sickbay[feast]"') from None
    return yaml
