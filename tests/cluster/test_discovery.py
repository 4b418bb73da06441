"""What is made of the answers of a discovery, and when it is asked again; without I/O."""

from __future__ import annotations

from random import Random

import pytest

from cenote import DNS, ConfigurationError, Discovered, Server
from cenote.cluster.discovery import JITTER, Watch
from cenote.cluster.dns import is_service, servers_of
from cenote.cluster.finding import check_discovery
from cenote.connection.found import Found, Target

ONE, TWO = Server.at("one"), Server.at("two")


@pytest.fixture
def watch():
    return Watch(60.0, Random(1))


def take(watch, servers, version=None, now=0.0, ttl=None):
    found = watch.found(Discovered(servers, version, ttl), now)
    if found is not None:
        watch.adopted(found)
    return found


def test_the_first_list_is_used(watch):
    assert take(watch, [ONE], 3) == [ONE]
    assert watch.status(5.0).version == 3
    assert watch.status(5.0).age == 5.0
    assert watch.status(5.0).changes == 1


def test_the_same_list_changes_nothing(watch):
    take(watch, [ONE], 3)
    assert take(watch, [ONE], 3) is None
    assert take(watch, [ONE], 4) is None
    assert watch.status(0.0).version == 4
    assert watch.status(0.0).changes == 1


def test_an_older_version_is_ignored_and_told(watch, caplog):
    take(watch, [ONE, TWO], 3)
    assert take(watch, [ONE], 2) is None
    assert list(watch.servers) == [ONE, TWO]
    assert "version 2 is older than 3" in caplog.text
    assert watch.status(0.0).failures == 1


def test_an_empty_list_keeps_the_last_good_one(watch, caplog):
    take(watch, [ONE], 1)
    assert take(watch, [], 2) is None
    assert list(watch.servers) == [ONE]
    assert "empty" in caplog.text
    assert watch.status(0.0).version == 1


def test_failures_are_told_once_in_a_row(watch, caplog):
    take(watch, [ONE], 1)
    for _ in range(3):
        watch.failed("no answer", 10.0)
    assert caplog.text.count("no answer") == 1
    assert (watch.status(10.0).failures, watch.status(10.0).last_error) == (3, "no answer")
    assert take(watch, [TWO], 2, now=20.0) == [TWO]
    assert (watch.status(20.0).failures, watch.status(20.0).last_error) == (0, None)


NO_SERVER: list = ["one"]


@pytest.mark.parametrize("answer", [None, [ONE], Discovered(NO_SERVER)])
def test_what_is_no_list_of_servers_is_a_failure(watch, answer):
    assert watch.found(answer, 0.0) is None
    assert "no Discovered" in watch.status(0.0).last_error


def test_looks_are_apart_by_the_interval_and_its_jitter(watch):
    pauses = [watch.pause() for _ in range(200)]
    assert 60 * (1 - JITTER) <= min(pauses) < 60 < max(pauses) <= 60 * (1 + JITTER)


def test_a_shorter_ttl_counts_but_never_below_a_second(watch):
    take(watch, [ONE], ttl=7.0)
    assert watch.pause() == 7.0
    take(watch, [ONE], ttl=0.0)
    assert watch.pause() == 1.0


def test_placement_does_not_depend_on_the_order_of_an_answer():
    name = Server.at("cache:11311", weight=2)
    ips = ["10.0.0.10", "10.0.0.9", "fd00::1", "10.0.0.9"]
    answers = [Found([Target(ip, 11311) for ip in order]) for order in (ips, ips[::-1])]
    first, second = [servers_of(name, answer) for answer in answers]
    assert first == second
    assert [server.name for server in first] == [
        "10.0.0.9:11311",
        "10.0.0.10:11311",
        "[fd00::1]:11311",
    ]
    assert {server.weight for server in first} == {2}


def test_names_with_an_underscore_are_services():
    assert is_service(Server.at("_memcache._tcp.cache"))
    assert not is_service(Server.at("cache"))


@pytest.mark.parametrize("text", ["", "name", "1.2.3.4:0", "1.2.3.4:port", "[::1]:53"])
def test_a_name_server_is_an_ip_address(text):
    with pytest.raises(ConfigurationError, match="no name server"):
        DNS(nameservers=(text,))


def test_name_servers_are_read():
    assert DNS(nameservers=("1.2.3.4", "1.2.3.4:5353", "::1")).asked == [
        ("1.2.3.4", 53),
        ("1.2.3.4", 5353),
        ("::1", 53),
    ]


@pytest.mark.parametrize("discovery", ["consul", 1, object()])
def test_what_finds_no_servers_is_refused_with_what_does(discovery):
    with pytest.raises(ConfigurationError, match="'elasticache', 'dns', ElastiCache"):
        check_discovery(discovery)
