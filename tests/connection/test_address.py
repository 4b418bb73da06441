"""Addresses are values that print as they are written in a URL."""

from __future__ import annotations

import pytest

from cenote.connection import TCPAddress, UnixAddress


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TCPAddress("cache.example", 11211), "cache.example:11211"),
        (TCPAddress("127.0.0.1", 1), "127.0.0.1:1"),
        (TCPAddress("::1", 11211), "[::1]:11211"),
        (UnixAddress("/run/memcached.sock"), "/run/memcached.sock"),
    ],
)
def test_an_address_prints_as_in_a_url(address: TCPAddress | UnixAddress, text: str) -> None:
    assert str(address) == text


def test_equal_addresses_are_the_same_key() -> None:
    assert {TCPAddress("a", 1): "x"}[TCPAddress("a", 1)] == "x"
    assert TCPAddress("a", 1) != TCPAddress("a", 2)
