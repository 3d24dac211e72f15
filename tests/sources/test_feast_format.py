"""Feast's formats without Feast: against published test vectors, and against bytes that are nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sickbay.errors import SourceGarbled
from sickbay.sources import feast_format


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"", 0), (b"hello", 0x248BFA47), (b"hello, world", 0x149BBB7F),
     (b"The quick brown fox jumps over the lazy dog", 0x2E4FF723)],
)  # fmt: skip
def test_the_hash_is_murmur3(text, expected):
    assert feast_format.murmur3(text) == expected


@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9), max_size=5)
)
def test_an_entity_key_is_read_as_it_was_written(key):
    assert feast_format.read_entity_key(feast_format.entity_key(key) + b"shop") == (key, b"shop")


@given(st.binary(max_size=300))
def test_bytes_that_are_no_registry_are_garbled_and_nothing_else(data):
    for read in (feast_format.registry, feast_format.read_entity_key, feast_format.value):
        try:
            read(data)
        except SourceGarbled:
            continue


def test_an_unknown_version_is_named():
    with pytest.raises(SourceGarbled, match="version '2'"):
        feast_format.registry(b"\x1a\x012")
