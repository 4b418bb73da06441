"""Where the servers are: every spelling that is read, and what is said of the others."""

from __future__ import annotations

import pytest

from cenote.client.url import read_servers, without_password
from cenote.cluster.server import LOCAL, Server
from cenote.connection import Address, Credentials, TCPAddress, UnixAddress
from cenote.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("memcached://10.0.0.1:11212", TCPAddress("10.0.0.1", 11212)),
        ("memcached://10.0.0.1", TCPAddress("10.0.0.1", 11211)),
        ("memcached://cache.example/", TCPAddress("cache.example", 11211)),
        ("MEMCACHED://cache", TCPAddress("cache", 11211)),
        ("memcached://[::1]:11213", TCPAddress("::1", 11213)),
        ("memcached://[::1]", TCPAddress("::1", 11211)),
        ("unix:///run/memcached.sock", UnixAddress("/run/memcached.sock")),
        ("unix:///run/with%20space.sock", UnixAddress("/run/with space.sock")),
        ("10.0.0.1:11212", TCPAddress("10.0.0.1", 11212)),
        ("cache", TCPAddress("cache", 11211)),
        ("[::1]:11211", TCPAddress("::1", 11211)),
        ("[::1]", TCPAddress("::1", 11211)),
        (" cache:1 ", TCPAddress("cache", 1)),
        ("local:11212", TCPAddress("local", 11212)),
        ("unix", TCPAddress("unix", 11211)),
        ("/run/memcached.sock", UnixAddress("/run/memcached.sock")),
        ("./memcached.sock", UnixAddress("./memcached.sock")),
    ],
)
def test_a_server_is_read_from_text(text, address):
    location = read_servers(text)
    assert [server.address for server in location.servers] == [address]
    assert location.options == {}


def test_several_servers_are_read_in_their_order():
    servers = read_servers("memcached://a,b:2,[::1]:3?timeout=2").servers
    assert [server.name for server in servers] == ["a:11211", "b:2", "[::1]:3"]
    servers = read_servers(["a", "memcached://b", Server.at("/c.sock"), "unix:///d.sock"]).servers
    assert [server.name for server in servers] == ["a:11211", "b:11211", "/c.sock", "/d.sock"]


def test_an_address_is_a_server_too():
    addresses: list[Address] = [TCPAddress("a", 1), UnixAddress("/b.sock")]
    for address in addresses:
        assert read_servers(address).servers == (Server(address),)
    assert read_servers(addresses).servers == tuple(Server(address) for address in addresses)


def test_a_local_server_is_named_without_being_started():
    assert read_servers("local://").servers == (LOCAL,)
    assert LOCAL.name == "local"
    assert str(LOCAL.address) == "local"
    assert "local" in repr(LOCAL).lower()


def test_options_are_returned_as_text():
    assert read_servers("memcached://a?max_size=32&timeout=0.5").options == {
        "max_size": "32",
        "timeout": "0.5",
    }
    assert read_servers("local://?key_prefix=").options == {"key_prefix": ""}
    assert read_servers(["memcached://a?timeout=1", "memcached://b?timeout=1"]).options == {
        "timeout": "1"
    }


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        (
            "memcache://a",
            "did you mean 'memcached'.*memcached://, memcacheds://, unix://, local://",
        ),
        ("redis://a", "scheme 'redis' is not known: memcached://"),
        ("http://a", "is not known"),
        (["memcached://a", "memcacheds://b"], "are mixed"),
        ("memcached://user@a", "without a password"),
        ("memcached://user:@a", "password is empty"),
        ("memcached://:secret@a", "user name is empty"),
        ("memcached://user:secret@a@b", "percent-encode"),
        ("memcached://user:secret@a,user:secret@b", "percent-encode"),
        ("memcached://user:50%@a", "'%' as %25"),
        ("memcached://user:%ff@a", "UTF-8"),
        ("memcached://user:%00@a", "NUL"),
        ("local://user:secret@", "asks for no password"),
        ("memcached://a:0", "1 to 65535"),
        ("memcached://a:65536", "1 to 65535"),
        ("memcached://a:abc", "port 'abc'"),
        ("memcached://a:-1", "port '-1'"),
        ("memcached://a:1:2", "brackets"),
        ("memcached://a:", "port ''"),
        ("memcached://a:\u0661", "1 to 65535"),
        ("memcached://", "names no host"),
        ("memcached://a,,b", "names no host"),
        ("memcached://:11211", "names no host"),
        ("memcached://a/path", "unix:///path"),
        ("memcached://a#b", "fragment"),
        ("memcached://a?timeout", "name=value"),
        ("memcached://a?timeout=1&timeout=2", "twice"),
        ("unix://run.sock", "three slashes"),
        ("unix:///", "three slashes"),
        ("local://somewhere", "leave it out"),
        ("::1", "brackets"),
        ("[::1", "not an address"),
        ("", "names no host"),
        ("a b", "names no host"),
        ("user@host", "read from URLs only: write memcached://user:password@host"),
        ("h:11211,h2:11211", "memcached://host:port,host:port, or a list"),
        ("localhost:11211?timeout=1", "memcached://host:port.timeout"),
        ("unix:/tmp/x", "unix:///path.sock"),
        ("memcached:/h", "memcached://host:port"),
        ("local:", "local://"),
        (TCPAddress("h", 0), "1 to 65535"),
        ([UnixAddress("")], "path"),
        ([], "empty"),
        ((), "empty"),
        (None, "not NoneType"),
        (b"a", "not bytes"),
        (7, "not int"),
        ({"a": 1}, "not dict"),
        ({"a", "b"}, "not set"),
        ([7], "not int"),
        ([("h", 11211)], "not tuple: write 'host:port', one str for each"),
        ([None], "not NoneType"),
        (["memcached://a?timeout=1", "memcached://b?timeout=2"], "differ in timeout"),
        (["memcached://u:secret@a", "memcached://u:other@b"], "differ in user or password"),
    ],
)
def test_what_is_not_understood_says_what_would_be(servers, says):
    with pytest.raises(ConfigurationError, match=says):
        read_servers(servers)


def test_no_message_repeats_a_password():
    for url in (
        "memcached://user:secret@a#b",
        "memcached://user:secret@a/path",
        "memcached://user:secret@a:port",
        "memcached://user:secret@",
        "memcached://user:se@cret@a",
        "memcached://user:secret%@a",
        "memcached://user:secret%ff@a",
        "memcached://user:sec?ret@a",
        "memcached://user:secret?=@a",
        "memcached://user:secret?a=b@a",
        "memcached://user:secret,@a",
        "memcached://:secret@a,b?max_size=0",
        "unix://user:secret@run.sock",
        "unix://user:secret@",
        "local://user:secret@",
        ["memcached://user:secret@a", "memcached://user:secret2@a"],
        "memcached://us/er:secret@a",
        "redis://user:secret@a",
        "user:secret@a",
        "a?password=secret",
    ):
        with pytest.raises(ConfigurationError) as caught:
            read_servers(url)
        assert "secret" not in str(caught.value), url


@pytest.mark.parametrize(
    ("url", "user", "password", "name"),
    [
        ("memcached://user:secret@a", "user", "secret", "a:11211"),
        ("memcached://user:secret@a,b:2?timeout=2", "user", "secret", "a:11211"),
        ("memcached://us%40er:p%3Aa%2Fs%3Fs%25%20w@[::1]:3", "us@er", "p:a/s?s% w", "[::1]:3"),
        ("memcached://user:a:b+c@a", "user", "a:b+c", "a:11211"),
        ("memcached://%C3%BCser:%E2%82%AC@a", "\u00fcser", "\u20ac", "a:11211"),
        ("unix://user:secret@/run/a@b.sock", "user", "secret", "/run/a@b.sock"),
    ],
)
def test_a_user_and_password_stand_before_the_hosts(url, user, password, name):
    location = read_servers(url)
    assert location.credentials == Credentials(user, password)
    assert location.servers[0].name == name


@pytest.mark.parametrize(
    ("servers", "tls"),
    [
        ("memcacheds://a,b:1?timeout=2", True),
        (["memcacheds://u:p@a", "b", Server.at("c")], True),
        ("memcached://a", False),
        (["a", "unix:///b.sock"], None),
    ],
)
def test_the_scheme_says_whether_connections_are_secure(servers, tls):
    assert read_servers(servers).tls is tls


def test_several_urls_may_name_the_same_user():
    location = read_servers(["memcached://u:p@a", "memcached://u:p@b", "c"])
    assert location.credentials == Credentials("u", "p")
    assert read_servers(["a", "memcached://b"]).credentials is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memcached://user:secret@a,b?timeout=1", "memcached://user:***@a,b?timeout=1"),
        ("memcached://user:se/cr?et@a", "memcached://user:***@a"),
        ("unix://user:secret@/a.sock", "unix://user:***@/a.sock"),
        ("unix:///a@b.sock", "unix:///a@b.sock"),
        ("memcached://a:1?max_size=1", "memcached://a:1?max_size=1"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown
