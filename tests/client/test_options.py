"""Options: from keywords and from URLs, validated alike."""

from __future__ import annotations

import inspect
import math
from dataclasses import fields

import pytest

from cenote.client.aio import AsyncClient
from cenote.client.options import (
    DEFAULTS,
    OPTION_TYPES,
    SHARING_NAMES,
    ClientOptions,
    with_url_options,
)
from cenote.client.sync import Client
from cenote.cluster.dns import DNS
from cenote.cluster.elasticache import ElastiCache
from cenote.cluster.finding import TOLD_NAMES
from cenote.cluster.server import Server
from cenote.connection import TLS, TCPAddress
from cenote.errors import ConfigurationError
from cenote.node import sharing
from cenote.pool import PoolOptions


def from_url(**texts):
    return with_url_options(ClientOptions(), texts)


def test_options_of_a_url_are_read_by_their_type():
    options = from_url(
        timeout="0.25",
        protocol="classic",
        serde="pickle",
        key_prefix="app:",
        long_keys="hash",
        on_error="miss",
        max_size="32",
        max_waiting="None",
        max_lifetime="none",
        backoff_cap="0.5",
        fairness="strict",
        histograms="true",
    )
    assert options == ClientOptions(
        timeout=0.25,
        protocol="classic",
        serde="pickle",
        key_prefix="app:",
        long_keys="hash",
        on_error="miss",
        pool=PoolOptions(
            min_size=1,
            max_size=32,
            timeout=0.25,
            max_waiting=None,
            max_lifetime=None,
            backoff_cap=0.5,
            fairness="strict",
            histograms=True,
            connect_timeout=0.5,
            on_down="fail",
            max_idle=300,
        ),
    )


def test_a_url_may_name_the_files_of_tls():
    options = from_url(ca="/ca.pem", server_hostname="cache", check_hostname="no")
    assert options.tls == TLS(ca="/ca.pem", server_hostname="cache", check_hostname=False)
    given = ClientOptions(tls=TLS(ca="/old.pem", cert="/cert.pem"))
    assert with_url_options(given, {"ca": "/new.pem"}).tls == TLS(ca="/new.pem", cert="/cert.pem")
    with pytest.raises(ConfigurationError, match="leaves nothing to say"):
        with_url_options(ClientOptions(tls=False), {"ca": "/ca.pem"})


@pytest.mark.parametrize(
    ("texts", "discovery"),
    [
        (
            {"discovery": "elasticache", "discovery_interval": "5", "discovery_prefer": "ip"},
            ElastiCache(interval=5.0, prefer="ip"),
        ),
        (
            {"discovery": "dns", "discovery_nameservers": "10.0.0.2, 10.0.0.3:5353"},
            DNS(nameservers=("10.0.0.2", "10.0.0.3:5353")),
        ),
        ({"discovery": "dns", "discovery_timeout": "0.5", "timeout": "2"}, DNS(timeout=0.5)),
    ],
)
def test_a_url_may_say_how_servers_are_found(texts, discovery):
    assert from_url(**texts).discovery == discovery
    if "timeout" in texts:
        assert from_url(**texts).timeout == 2.0


def test_what_a_url_says_of_a_discovery_replaces_what_the_keyword_said():
    given = ClientOptions(discovery=ElastiCache(interval=5, timeout=1))
    options = with_url_options(given, {"discovery_interval": "7"})
    assert options.discovery == ElastiCache(interval=7.0, timeout=1)
    with pytest.raises(ConfigurationError, match="no option of ElastiCache, which has discovery_i"):
        with_url_options(given, {"discovery_nameservers": "10.0.0.2"})
    for text in ("soon", "0", "nan"):
        with pytest.raises(ConfigurationError, match=r"interval=.* is out of range"):
            with_url_options(given, {"discovery_interval": text})
    with pytest.raises(ConfigurationError, match="'name' is not known: 'host', 'ip'"):
        with_url_options(given, {"discovery_prefer": "name"})
    with pytest.raises(ConfigurationError, match="is no name server"):
        from_url(discovery="dns", discovery_nameservers="")


def test_every_option_of_a_discovery_can_be_said_in_a_url():
    names = {field.name for kind in (DNS, ElastiCache) for field in fields(kind)}
    assert {f"discovery_{name}" for name in names} == set(TOLD_NAMES)


def test_the_pool_of_a_client_has_its_own_presets():
    pool = DEFAULTS.pool
    assert (pool.min_size, pool.max_size, pool.timeout, pool.connect_timeout) == (1, 16, 1.0, 0.5)
    assert (pool.on_down, pool.max_idle, pool.max_lifetime) == ("fail", 300, 3600)


def test_the_timeout_of_a_client_is_the_timeout_of_its_pool():
    assert ClientOptions(timeout=3.0).pool.timeout == 3.0


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("max_sise", "3", "did you mean 'max_size'"),
        ("colour", "red", "option 'colour' is not known: timeout, protocol"),
        ("pool", "x", "not known"),
        ("observer", "x", "not known"),
        ("password", "x", r"not known \(in a URL, user and password stand before the host: mem"),
        ("username", "ann", "memcached://user:password@host"),
        ("credentials", "x", "memcached://user:password@host"),
        ("tls", "true", "memcacheds:// asks for TLS"),
        ("on_node_down", "print", "give it as a keyword"),
        ("interval", "5", "begins with discovery_"),
        ("discovery_intervall", "5", "did you mean 'discovery_interval'"),
        ("discovery_interval", "5", "goes with discovery=elasticache or discovery=dns"),
        ("burst", "5", "for a pool of your own"),
        ("max_size", "many", "not an integer"),
        ("max_size", "0", "integer >= 1"),
        ("max_size", "1.5", "not an integer"),
        ("timeout", "soon", "not a number"),
        ("timeout", "0", "above 0"),
        ("timeout", "-1", "above 0"),
        ("timeout", "nan", "above 0"),
        ("timeout", "inf", "above 0"),
        ("timeout", "none", "not a number"),
        ("histograms", "perhaps", "true or false"),
        ("protocol", "ascii", "'auto', 'meta', 'classic', 'binary'"),
        ("on_error", "mis", "did you mean 'miss'"),
        ("long_keys", "x", "'raise', 'hash'"),
        ("serde", "yaml", "json, pickle, raw"),
        ("key_prefix", "a b", "key_prefix"),
        ("fairness", "fair", "eventual"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(name, text, says):
    with pytest.raises(ConfigurationError, match=says):
        from_url(**{name: text})


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": math.nan},
        {"timeout": math.inf},
        {"timeout": True},
        {"timeout": None},
        {"timeout": "1"},
        {"max_size": 0},
        {"min_size": 20},
        {"min_size": -1},
        {"connect_timeout": 0},
        {"protocol": "ascii"},
        {"serde": "yaml"},
        {"serde": None},
        {"on_error": "ignore"},
        {"long_keys": "truncate"},
        {"key_prefix": "a b"},
        {"key_prefix": None},
        {"order": "random"},
        {"max_idle": 0},
        {"lifetime_jitter": 1.0},
        {"observer": 5},
        {"observer": PoolOptions},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_constructor_refuses_what_a_url_would(kind, wrong):
    with pytest.raises(ConfigurationError):
        kind("127.0.0.1:1", **wrong)


SECRETS = ("username", "password", "credentials", "tls")  # no options of a URL: it has other ways


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_constructors_spell_every_option_with_its_default(kind):
    """The table of options is the options' own; a constructor may not drift from it."""
    parameters = inspect.signature(kind.__init__).parameters
    keywords = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    names = [*OPTION_TYPES, *(SHARING_NAMES if kind is AsyncClient else ())]
    callables = {"observer", "on_node_down", "on_node_up"}
    assert set(keywords) - {*callables, *SECRETS} == set(names)
    assert not any(keywords[name] for name in SECRETS)
    for name in names:
        holders = (DEFAULTS, DEFAULTS.pool, DEFAULTS.failing, sharing.DEFAULTS)
        holder = next(each for each in holders if hasattr(each, name))
        assert keywords[name] == getattr(holder, name), name
        assert f"        {name}: " in (inspect.getdoc(kind) or "").replace("\n    ", "\n        ")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_a_url_says_takes_precedence(kind):
    client = kind("memcached://127.0.0.1:1?max_size=3", max_size=5, min_size=2)
    assert client.pools()["127.0.0.1:1"].max_size == 3
    assert client.pools()["127.0.0.1:1"].min_size == 2


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "servers",
    [
        "memcached://a,b:11212",
        ["a", "b:11212"],
        [Server.at("a"), "memcached://b:11212?max_size=2"],
        (TCPAddress("a", 11211), TCPAddress("b", 11212)),
    ],
)
def test_several_servers_are_named_in_any_way(kind, servers):
    assert list(kind(servers).nodes()) == ["a:11211", "b:11212"]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("servers", ["memcached://a,b,a", ["a", "a:11211"], ["local://"] * 2])
def test_a_server_is_named_once(kind, servers):
    with pytest.raises(ConfigurationError, match=r"two servers are named '(a:11211|local)'"):
        kind(servers)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_unknown_hashing_lists_the_legal_ones(kind):
    for servers in ("memcached://a,b?hashing=consistent", "memcached://a?hashing=consistent"):
        with pytest.raises(
            ConfigurationError, match="'consistent' is not known: 'rendezvous', 'mod"
        ):
            kind(servers)
    with pytest.raises(ConfigurationError, match="7 is not known"):
        kind("a", hashing=7)
    with pytest.raises(ConfigurationError, match=r"not known \(did you mean 'rendezvous'\?\): "):
        kind("a", hashing="rendez-vous")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_weights_that_a_hashing_can_not_count_with_are_refused(kind):
    servers = [Server.at("a", 1), Server.at("b", 1.5)]
    with pytest.raises(ConfigurationError, match="whole numbers"):
        kind(servers, hashing="ketama")
    with pytest.raises(ConfigurationError, match="no weights"):
        kind(servers, hashing="pymemcache")
    assert len(kind(servers).nodes()) == 2


def test_how_requests_share_connections_can_be_said_in_a_url():
    client = AsyncClient("memcached://127.0.0.1:1?max_in_flight=7&max_size=3", long_value=9)
    node = client._cluster.topology.members[0].node
    assert (node._lanes.max_in_flight, node.pool.stats().max_size) == (7, 3)


@pytest.mark.parametrize("text", ["max_in_flight=0", "long_value=none", "long_value=-1"])
def test_how_requests_share_connections_is_a_number_above_0(text):
    with pytest.raises(ConfigurationError, match=text.partition("=")[0]):
        AsyncClient(f"memcached://127.0.0.1:1?{text}")


@pytest.mark.parametrize("number", ["5", 2.5, None])
def test_how_requests_share_connections_is_a_whole_number(number):
    with pytest.raises(
        ConfigurationError, match=r"max_in_flight=.* is not an integer of 1 or more"
    ):
        AsyncClient("h", max_in_flight=number)


def test_threads_do_not_share_connections():
    with pytest.raises(ConfigurationError, match="max_in_flight"):
        Client("memcached://127.0.0.1:1?max_in_flight=7")
