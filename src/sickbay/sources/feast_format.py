"""Feast's formats read without Feast: the registry's messages, stored values, and keys of the online stores.

Facts are those of Feast 0.67 (``protos/feast/core``, ``protos/feast/types``, ``infra/key_encoding_utils``): protobuf
wire format, entity keys of serialization version 3, hash fields named by murmur3 of ``view:feature``.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sickbay.errors import SourceGarbled

T = TypeVar("T")
KNOWN_VERSION = "1"
TYPES = {
    1: "bytes", 2: "string", 3: "int32", 4: "int64", 5: "double", 6: "float", 7: "bool", 8: "timestamp",
}  # fmt: skip
STATES = ("unspecified", "created", "generated", "materializing", "available online")


@dataclass(frozen=True, slots=True)
class View:
    """A feature view: its features with their types, keys, source and what was loaded from it when."""

    name: str
    project: str
    entities: tuple[str, ...]
    features: Mapping[str, str]
    ttl_seconds: float
    source: str
    time_field: str
    online: bool
    state: str
    created: datetime | None
    updated: datetime | None
    loaded: tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class OnDemand:
    """A view computed on request. ``text``: its function's source; ``body``: Feast's pickle of it (dill).

    ``mode``: ``pandas`` or ``python``; ``singleton``: it is given one row, and not columns.
    """

    name: str
    project: str
    mode: str
    singleton: bool
    features: Mapping[str, str]
    text: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Registry:
    """What a registry holds; ``join_keys``: entity → column."""

    updated: datetime | None
    views: tuple[View, ...]
    join_keys: Mapping[str, str]
    on_demand: tuple[OnDemand, ...] = ()


def _guarded(read: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Return the reader, for which fields of another kind than the format's are garbled bytes."""

    @functools.wraps(read)
    def reading(data: bytes) -> T:
        try:
            return read(data)
        except (TypeError, ValueError, OverflowError, struct.error):
            raise SourceGarbled("the bytes are no message of Feast's") from None

    return reading


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, raw value) of a message; SourceGarbled when it is none."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == 2:
            size, place = _varint(data, place)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if number == 0 or size < 0 or place + size > len(data):
            raise SourceGarbled("the bytes are no message of Feast's")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise SourceGarbled("the bytes are no message of Feast's")
        byte = data[place]
        place += 1
        result |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return result, place


def _only(data: bytes, number: int) -> Any:
    """Return the last value of a field, or None."""
    found = None
    for n, value in fields(data):
        if n == number:
            found = value
    return found


def _all(data: bytes, number: int) -> list[Any]:
    return [value for n, value in fields(data) if n == number]


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        return ""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise SourceGarbled("a name in the registry is no text") from None


def moment(data: Any) -> datetime | None:
    """Return a Timestamp message as a time in UTC; None for none."""
    if not isinstance(data, bytes):
        return None
    parts = dict(fields(data))
    seconds = int(parts.get(1, 0))
    if not 0 <= seconds < 2**35:
        return None
    return datetime.fromtimestamp(seconds + int(parts.get(2, 0)) / 1e9, UTC)


@_guarded
def registry(data: bytes) -> Registry:
    """Return what a registry file holds; SourceGarbled for another version, or for bytes that are no registry."""
    version = _text(_only(data, 3))
    if version != KNOWN_VERSION:
        told = f"version {version[:20]!r}" if version else "no version"
        raise SourceGarbled(f"the registry states {told}; this release reads version {KNOWN_VERSION}")
    views = [view(one) for number in (6, 14) for one in _all(data, number)]
    keys = dict(entity(one) for one in _all(data, 1))
    return Registry(moment(_only(data, 5)), tuple(views), keys, tuple(on_demand(one) for one in _all(data, 8)))


@_guarded
def entity(data: bytes) -> tuple[str, str]:
    """Return name and join key of an Entity message."""
    spec = _only(data, 1) or b""
    name = _text(_only(spec, 1))
    return name, _text(_only(spec, 4)) or name


@_guarded
def on_demand(data: bytes) -> OnDemand:
    """Return an OnDemandFeatureView message."""
    spec = _only(data, 1) or b""
    function = _only(_only(spec, 10) or b"", 1) or _only(spec, 5) or b""
    features = {_text(_only(one, 1)): TYPES.get(_only(one, 2) or 0, "") for one in _all(spec, 3)}
    return OnDemand(
        _text(_only(spec, 1)), _text(_only(spec, 2)), _text(_only(spec, 11)) or _text(_only(function, 4)) or "pandas",
        bool(_only(spec, 15)), features, _text(_only(function, 3)), _only(function, 2) or b"",
    )  # fmt: skip


@_guarded
def view(data: bytes) -> View:
    """Return a FeatureView message."""
    spec, meta = _only(data, 1) or b"", _only(data, 2) or b""
    features = {}
    for one in _all(spec, 4):
        features[_text(_only(one, 1))] = TYPES.get(_only(one, 2) or 0, f"type {_only(one, 2)}")
    ttl = dict(fields(_only(spec, 6) or b""))
    source = _only(spec, 7) or b""
    options = _only(source, 11)
    where = _text(_only(options, 2)) if isinstance(options, bytes) else _text(_only(source, 20))
    loaded = []
    for one in _all(meta, 3):
        begin, end = moment(_only(one, 1)), moment(_only(one, 2))
        if begin is not None and end is not None:
            loaded.append((begin, end))
    state = int(_only(meta, 6) or 0)
    return View(
        _text(_only(spec, 1)), _text(_only(spec, 2)), tuple(_text(n) for n in _all(spec, 3)), features,
        float(ttl.get(1, 0)) + float(ttl.get(2, 0)) / 1e9, where, _text(_only(source, 3)), bool(_only(spec, 8)),
        STATES[state] if state < len(STATES) else f"state {state}", moment(_only(meta, 1)), moment(_only(meta, 2)),
        tuple(loaded),
    )  # fmt: skip


@_guarded
def value(data: bytes) -> Any:
    """Return a stored Value as a Python value; None where it holds none, or a list."""
    for number, raw in fields(data):
        if number in (3, 4, 8):
            return raw - (1 << 64) if raw >> 63 else raw
        if number == 2:
            return _text(raw)
        if number == 5:
            return struct.unpack("<d", raw)[0]
        if number == 6:
            return struct.unpack("<f", raw)[0]
        if number == 7:
            return bool(raw)
    return None


def entity_key(names: Mapping[str, int | str]) -> bytes:
    """Return the bytes of an entity key (serialization version 3): join key → value, whole number or text."""
    ordered = sorted(names)
    made = struct.pack("<I", len(ordered))
    for name in ordered:
        made += struct.pack("<II", 2, len(name.encode())) + name.encode()
    for name in ordered:
        given = names[name]
        body = given.encode() if isinstance(given, str) else struct.pack("<q", given)
        made += struct.pack("<II", 2 if isinstance(given, str) else 4, len(body)) + body
    return made


@_guarded
def read_entity_key(data: bytes) -> tuple[dict[str, int | str], bytes]:
    """Return the join keys and values of an entity key and what follows it; SourceGarbled when it is none."""
    try:
        (count,) = struct.unpack_from("<I", data, 0)
        if count > 20:
            raise SourceGarbled("the bytes are no entity key of Feast's")
        place, names, found = 4, [], []
        for turn in range(2 * count):
            kind, size = struct.unpack_from("<II", data, place)
            raw = data[place + 8 : place + 8 + size]
            if len(raw) != size:
                raise SourceGarbled("the bytes are no entity key of Feast's")
            place += 8 + size
            if turn < count:
                names.append(_text(raw))
            else:
                found.append(_text(raw) if kind == 2 else int.from_bytes(raw, "little", signed=True))
    except struct.error:
        raise SourceGarbled("the bytes are no entity key of Feast's") from None
    return dict(zip(names, found, strict=True)), data[place:]


def field_name(of: str, feature: str) -> bytes:
    """Return the hash field under which Redis holds a feature of a view."""
    return struct.pack("<I", murmur3(f"{of}:{feature}".encode()))


def murmur3(data: bytes) -> int:
    """Return the 32-bit MurmurHash3 (x86, seed 0).

    >>> hex(murmur3(b"hello"))
    '0x248bfa47'
    """
    h, whole = 0, len(data) // 4 * 4
    for i in range(0, whole, 4):
        h ^= _mixed(int.from_bytes(data[i : i + 4], "little"))
        h = ((h << 13 | h >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
    if whole < len(data):
        h ^= _mixed(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = ((h ^ h >> shift) * factor) & 0xFFFFFFFF
    return h


def _mixed(k: int) -> int:
    k = k * 0xCC9E2D51 & 0xFFFFFFFF
    return ((k << 15 | k >> 17) & 0xFFFFFFFF) * 0x1B873593 & 0xFFFFFFFF
