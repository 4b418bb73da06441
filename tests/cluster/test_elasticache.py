"""The list of a configuration endpoint: read completely, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote import ConfigurationError, ElastiCache, ProtocolError
from cenote.cluster.elasticache import read_config
from cenote.connection import TCPAddress

AWS = (
    "12\n"
    "a.0001.use1.cache.amazonaws.com|10.82.235.120|11211 "
    "a.0002.use1.cache.amazonaws.com|10.80.249.27|11211\n"
)
GCP = "1\n10.0.0.4|10.0.0.4|11211 10.0.0.3|10.0.0.3|11211\n"


def test_hosts_of_amazon_are_connected_to_by_name_and_keep_that_name():
    found = read_config(AWS, "host")
    assert found.version == 12
    first, second = found.servers
    assert first.address == TCPAddress("a.0001.use1.cache.amazonaws.com", 11211)
    assert second.name == "a.0002.use1.cache.amazonaws.com:11211"


def test_by_ip_the_names_stay_so_that_keys_stay():
    found = read_config(AWS, "ip")
    assert [str(server.address) for server in found.servers] == [
        "10.82.235.120:11211",
        "10.80.249.27:11211",
    ]
    assert [server.name for server in found.servers] == [
        server.name for server in read_config(AWS, "host").servers
    ]


def test_lists_of_google_are_read_alike():
    found = read_config(GCP, "host")
    assert (found.version, [server.name for server in found.servers]) == (
        1,
        ["10.0.0.4:11211", "10.0.0.3:11211"],
    )


def test_an_unknown_ip_falls_back_to_the_host():
    (server,) = read_config("3\na.cache||11211\n", "ip").servers
    assert server.address == TCPAddress("a.cache", 11211)


def test_ipv6_addresses_are_addresses():
    (server,) = read_config("3\na.cache|2001:db8::1|11211\n", "ip").servers
    assert server.name == "a.cache:11211"
    assert str(server.address) == "[2001:db8::1]:11211"


def test_ends_of_lines_may_be_of_either_kind():
    assert read_config("1\r\na|1.2.3.4|1\r\n", "host") == read_config("1\na|1.2.3.4|1", "host")


def test_an_empty_list_is_a_list():
    assert read_config("7\n\n", "host").servers == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a|1.2.3.4|11211\n",
        "-1\na|1.2.3.4|11211\n",
        "1\na|1.2.3.4\n",
        "1\na|1.2.3.4|11211|x\n",
        "1\na|1.2.3.4|0\n",
        "1\na|1.2.3.4|65536\n",
        "1\na|1.2.3.4|port\n",
        "1\n||11211\n",
        "1\na|1.2.3|11211\n",
        "1\na b|1.2.3.4|11211\n",
        "1\na;b|1.2.3.4|11211\n",
        "1\na|1.2.3.4|11211\nb|1.2.3.4|11211\n",
        "1\na|1.2.3.4|11211 a|1.2.3.5|11211\n",
    ],
)
def test_what_is_no_list_is_an_error(text):
    with pytest.raises(ProtocolError, match="can not be read"):
        read_config(text, "host")


@given(st.text(alphabet="0123456789.|ab: \n\r\x00é"))
def test_nothing_but_a_list_or_an_error_comes_of_any_text(text):
    try:
        found = read_config(text, "ip")
    except ProtocolError:
        return
    assert len({server.name for server in found.servers}) == len(found.servers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval=0"),
        ({"timeout": -1.0}, "timeout=-1.0"),
        ({"interval": "60"}, "interval='60'"),
        ({"prefer": "name"}, "'host', 'ip'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        ElastiCache(**options)
