"""No option is accepted and then ignored: what can have no effect is refused, and says why."""

from __future__ import annotations

from typing import Any

import pytest

from cenote import DNS, TLS, Client, Credentials, ElastiCache, Replicas, Server
from cenote.client.aio import AsyncClient
from cenote.errors import ConfigurationError

BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient])
LOGIN: dict[str, Any] = {"username": "ann", "password": "s3cret"}
SECURED = "serves you only, and speaks no TLS"


class Found:
    """A discovery that is never asked."""

    interval = timeout = 1.0

    def find(self, servers, timeout):
        raise NotImplementedError


@BOTH
@pytest.mark.parametrize(
    ("servers", "options", "says"),
    [
        ("local://", LOGIN, "asks for no password: leave username"),
        ("local://", {**LOGIN, "protocol": "binary"}, "asks for no password"),
        ("local://", {"credentials": Credentials("ann", "s3cret")}, "asks for no password"),
        ("local://", {"credentials": lambda: Credentials("ann", "s3cret")}, "asks for no password"),
        (["local://", "memcached://ann:s3cret@a"], {}, "asks for no password"),
        ("local://", {"tls": True}, SECURED),
        ("local://", {"tls": TLS(ca="/ca.pem")}, SECURED),
        ("local://?ca=/ca.pem", {}, SECURED),
        (["memcacheds://a", "local://"], {}, SECURED),
        (["a", "b"], {"tls": True, "failover": "gutter", "gutter": "local://"}, SECURED),
        ("local://", {"discovery": "elasticache"}, "is no configuration endpoint"),
        ("local://", {"discovery": "dns"}, "looks up names"),
        ([Replicas(["a", "b"])], {"protocol": "meta"}, "the classic commands only"),
        (
            [Server.at("a", weight=2)],
            {"discovery": "elasticache"},
            "weight of a configuration endpoint",
        ),
        (["a"], {"compress_min": 10}, "compress_min is for compress="),
        (["a"], {"serde": "raw", "max_decompressed": 10}, "max_decompressed is for"),
        (["a", "b"], {"gutter_ttl": 20}, 'gutter_ttl is for failover="gutter"'),
    ],
)  # fmt: skip
def test_what_can_have_no_effect_is_refused(kind, servers, options, says):
    with pytest.raises(ConfigurationError, match=says) as refused:
        kind(servers, **options)
    assert "s3cret" not in str(refused.value)


@BOTH
@pytest.mark.parametrize(
    ("servers", "options"),
    [
        ("local://", {"protocol": "binary"}),
        ("local://", {"tls": False}),
        ("local://", {"discovery": Found()}),
        ([Replicas(["a", "b"])], {"protocol": "binary"}),
        ([Server.at("a", weight=2)], {"discovery": DNS()}),
        (["a"], {"discovery": ElastiCache()}),
        (["a"], {"compress": "zlib", "compress_min": 10, "max_decompressed": 10}),
        (["a"], {"max_decompressed": 10}),
        (["a"], {"failover": "gutter", "gutter": "b", "gutter_ttl": 20}),
    ],
)
def test_what_has_one_is_taken(kind, servers, options):
    kind(servers, **options)


def test_what_a_change_of_servers_would_ignore_is_refused_too():
    """The changes of `AsyncClient` are the same source."""
    with Client("127.0.0.1:1", on_error="miss", timeout=0.1, **LOGIN) as client:
        with pytest.raises(ConfigurationError, match="asks for no password"):
            client.add_node("local://")
        assert list(client.nodes()) == ["127.0.0.1:1"]
