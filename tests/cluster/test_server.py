"""A server as a value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cenote.cluster.server import LOCAL, LocalAddress, Server
from cenote.connection import TCPAddress, UnixAddress
from cenote.errors import ConfigurationError


def test_a_server_is_named_by_its_address_or_as_told():
    assert Server.at("cache:1").name == "cache:1"
    assert Server.at("/run/m.sock").name == "/run/m.sock"
    assert Server.at("[::1]").name == "[::1]:11211"
    assert Server.at("cache", name="one").name == "one"
    assert Server(UnixAddress("/m.sock"), 2.5).weight == 2.5


def test_servers_are_equal_by_what_they_say():
    assert Server.at("cache") == Server(TCPAddress("cache", 11211))
    assert Server.at("cache") != Server.at("cache", 2)
    assert len({Server.at("cache"), Server.at("cache:11211")}) == 1


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, True, "2", None])
def test_a_weight_is_a_number_above_zero(weight):
    with pytest.raises(ConfigurationError, match="weight"):
        Server.at("cache", weight)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("h:1", r"Server\.at"),
        (None, r"Server\.at"),
        (TCPAddress("h", 65536), "1 to 65535"),
        (TCPAddress("h", True), "1 to 65535"),
        (TCPAddress("", 1), "host"),
        (UnixAddress(""), "path"),
        (UnixAddress("/a\0b"), "path"),
    ],
    ids=repr,
)
def test_an_address_that_leads_nowhere_is_refused(address, says):
    with pytest.raises(ConfigurationError, match=says):
        Server(address)


def test_text_that_is_no_address_is_refused():
    wrong: Any
    for wrong, says in ((5, "is a str"), ("memcached://h:1", "is a URL")):
        with pytest.raises(ConfigurationError, match=says):
            Server.at(wrong)
    with pytest.raises(ConfigurationError, match="name is a str"):
        Server.at("h", name=5)  # type: ignore[arg-type]


def test_the_local_server_is_one_and_is_not_started_to_be_compared():
    assert LocalAddress() == LOCAL.address
    assert hash(LocalAddress()) == hash(LOCAL.address)
    assert LOCAL.address != UnixAddress("local")
    assert repr(LOCAL.address) == "LocalAddress()"
