"""The client: memcached over a pool of connections.

Strategy: the constructor spells every option, so that editors, type checkers and readers see them;
the commands come from one class for each idea, and are one source with those of the blocking client
(``sync.py``), which lacks the options of sharing.
"""

from __future__ import annotations

from functools import partial

from cenote.client.administration_aio import AsyncAdministration
from cenote.client.compression import Codec, CodecName
from cenote.client.compute_aio import AsyncComputing
from cenote.client.counting_aio import AsyncCounting
from cenote.client.keys import LongKeys
from cenote.client.login import chosen
from cenote.client.options import (
    DEFAULTS,
    ClientOptions,
    OnError,
    with_url_access,
    with_url_options,
    with_url_sharing,
)
from cenote.client.retrieval_aio import AsyncRetrieval
from cenote.client.serdes import SerdeName
from cenote.client.storage_aio import AsyncStorage
from cenote.client.topology_aio import AsyncTopology
from cenote.client.url import DEFAULT_URL, Servers, read_servers, read_spares
from cenote.client.values import Serde
from cenote.cluster.failover import Failover, FailoverOptions, OnNodeDown, OnNodeUp, OnReturn
from cenote.cluster.finding import AnyDiscovery
from cenote.cluster.router import Hashing
from cenote.connection import AnyCredentials, AnyTLS, ProtocolChoice
from cenote.node.aio import AsyncNode
from cenote.node.hedging import HedgeAfter
from cenote.node.sharing import DEFAULTS as SHARED
from cenote.node.sharing import Sharing
from cenote.pool import Observer, PoolOptions
from cenote.pool.options import Fairness, OnDown, Order

_POOL = DEFAULTS.pool
_FAILING = DEFAULTS.failing


class AsyncClient(
    AsyncRetrieval,
    AsyncStorage,
    AsyncCounting,
    AsyncComputing,
    AsyncAdministration,
    AsyncTopology,
):
    """A memcached client over a pool of connections to each server.

    One client serves all threads of a process, or all tasks of one event loop. It opens on first
    use, or in ``async with``; once closed it stays closed. Every operation ends within ``timeout``.
    One that is interrupted or cancelled leaves nothing behind; whether the server has carried it
    out is then not known.

    Args:
        servers: A URL (``memcached://host:port?timeout=0.5``, ``unix:///path.sock``, ``local://``),
            ``"host:port"``, ``"/path.sock"``, a `Server` (which may have a weight), `Replicas` or
            an address; or several: ``memcached://host1,host2:port``, or a sequence of those.
            Options in a URL take precedence over those given here.
        timeout: Seconds for an operation: waiting for a connection, connecting, sending, receiving
            and the one retry, together.
        connect_timeout: Seconds for one attempt to connect.
        protocol: ``"auto"`` asks the server whether it knows the meta commands, ``"meta"`` insists
            on them, ``"classic"`` does without; ``"binary"`` speaks the binary protocol, which is
            all that a server with SASL (``memcached -S``) takes.
        hashing: Which of several servers has a key. ``"rendezvous"`` spreads well and moves as few
            keys as possible when servers come and go. As other clients do it: ``"modula"``,
            ``"modula-md5"``, ``"ketama"``, ``"ketama-libmemcached"``, ``"ketama-spy"``
            (libmemcached and pylibmc), ``"modula-crc"`` (python-memcached), ``"pymemcache"``,
            ``"emcache"``, ``"uhashring"`` (bmemcached, meta-memcache), ``"dalli"``. Or a callable
            that is given the servers and returns a `Router`. With one server nothing is hashed.
        discovery: Finds the servers, and looks for them again from time to time; ``servers`` then
            says where to ask. ``"elasticache"``: configuration endpoints of Amazon ElastiCache or
            Google Memorystore; ``"dns"``: names with several addresses, or SRV names; or with
            options, `ElastiCache` and `DNS`; or an object of yours, a `AsyncDiscovery`.
        serde: ``"json"`` stores bytes, str, int and bool natively and dict, list, float and None as
            JSON; ``"pickle"`` pickles these and anything else; ``"raw"`` takes bytes only. As other
            clients do it: ``"pymemcache"``, ``"python-memcached"``, ``"pylibmc"``,
            ``"bmemcached"``, ``"meta-memcache"``, ``"django"``, all of which unpickle what is
            stored. Or an object with ``dumps`` and ``loads``.
        compress: What compresses long values: ``"zlib"``, ``"zstd"``, or a `Codec`. Compressed
            values are read in any case.
        compress_min: From how many bytes on a value is compressed.
        compress_level: The level of ``"zlib"`` (1 to 9) or ``"zstd"`` (up to 22); None for its
            default.
        max_decompressed: How many bytes a compressed value may become when it is read.
        key_prefix: Put before every key.
        hash_prefix: Whether the prefix takes part in placing keys whatever the ``hashing``, as
            Django's does; otherwise as it does with the client that the ``hashing`` comes from.
        long_keys: ``"raise"`` refuses a key over 250 bytes, ``"hash"`` sends its SHA-256.
        on_error: ``"raise"``, or ``"miss"`` to answer an outage as if nothing were stored, and
            count it (`client_stats`).
        failover: Who serves the keys of one of several servers while it is down. ``"fail"``:
            nobody, requests raise `NodeDown` at once; ``"rehash"``: the other servers;
            ``"gutter"``: those of ``gutter``; ``"miss"``: nobody, requests miss.
        gutter: Servers that step in, with ``failover="gutter"``.
        gutter_ttl: Seconds that a value lives there at most.
        max_ejected: Share of the servers that may be treated as down at a time.
        on_return: What becomes of a server's old values when it comes back: ``"keep"``,
            ``"flush"`` all, or ``"delete"`` those whose keys were written or deleted meanwhile.
        on_node_down: Called with the name of a server that is not asked any more, and why. It
            must not block.
        on_node_up: Called with the name of a server that is back in service; likewise.
        retry_budget: Second tries as a share of all requests, beside ten a second; None for no
            limit.
        username: Log in as this user; ``memcached://user:password@host`` does the same.
        password: The user's password.
        credentials: A `Credentials` in place of both; or a callable that returns one, asked at
            every connect, for secrets that rotate (a plain function is called in a thread).
        tls: True, a `TLS` (which names files), or an ``ssl.SSLContext``: secure connections. True
            is what ``memcacheds://`` means.
        min_size: Connections kept open once in use.
        max_size: Connections open at most.
        max_waiting: Callers that may wait for a connection at a time; None for no limit.
        fairness: Who gets a connection that becomes free: ``"eventual"``, ``"strict"``,
            ``"barging"``.
        fair_after: Seconds after which the caller that has waited longest is served first.
        order: Which idle connection is used: ``"lifo"`` the newest, ``"fifo"`` the oldest.
        max_connecting: Connections being opened at a time.
        backoff_base: Upper bound in seconds of the first delay after a failed connect.
        backoff_cap: Upper bound in seconds that the delays grow to.
        on_down: While the server can not be connected to: ``"fail"`` at once, or ``"wait"``.
        down_after: Failed connects in a row after which that is so.
        max_idle: Seconds after which connections that were not needed are closed; None for never.
        max_lifetime: Seconds that a connection lives at most; None for ever.
        lifetime_jitter: Share of ``max_lifetime`` by which a life may be shorter.
        max_uses: Leases after which a connection is replaced; None for no limit. A busy connection
            is leased once for many operations.
        check_after: Idle seconds after which a connection is checked before use.
        keepalive: Seconds between pings of idle connections; None for none.
        leak_after: Seconds after which a connection that is still held is reported; None for never.
        histograms: Keep histograms of waiting, use and connecting times.
        max_in_flight: Requests under way on every connection from which one more is opened, up to
            ``max_size``.
        long_value: Bytes from which a value travels on a connection apart from the others, where
            ``max_size`` is above 1.
        hedge_after: Seconds after which a read whose reply has not come is sent a second time, on
            another connection, and the first answer counts; ``"p95"``: what 95 of a hundred reads
            do not take longer than. None: off. ``retry_budget`` bounds it.
        observer: Listens to the pools.

    Raises:
        ConfigurationError: An option or a server is not valid; the message says what would be.
    """

    def __init__(
        self,
        servers: Servers = DEFAULT_URL,
        *,
        timeout: float = DEFAULTS.timeout,
        connect_timeout: float = _POOL.connect_timeout,
        protocol: ProtocolChoice = DEFAULTS.protocol,
        hashing: Hashing = DEFAULTS.hashing,
        discovery: AnyDiscovery | None = DEFAULTS.discovery,
        serde: SerdeName | Serde = DEFAULTS.serde,
        compress: CodecName | Codec | None = DEFAULTS.compress,
        compress_min: int = DEFAULTS.compress_min,
        compress_level: int | None = DEFAULTS.compress_level,
        max_decompressed: int = DEFAULTS.max_decompressed,
        key_prefix: str | bytes = DEFAULTS.key_prefix,
        hash_prefix: bool = DEFAULTS.hash_prefix,
        long_keys: LongKeys = DEFAULTS.long_keys,
        on_error: OnError = DEFAULTS.on_error,
        failover: Failover = _FAILING.failover,
        gutter: Servers = (),
        gutter_ttl: float = _FAILING.gutter_ttl,
        max_ejected: float = _FAILING.max_ejected,
        on_return: OnReturn = _FAILING.on_return,
        on_node_down: OnNodeDown | None = None,
        on_node_up: OnNodeUp | None = None,
        retry_budget: float | None = DEFAULTS.retry_budget,
        username: str | None = None,
        password: str | None = None,
        credentials: AnyCredentials | None = None,
        tls: AnyTLS | bool | None = DEFAULTS.tls,
        min_size: int = _POOL.min_size,
        max_size: int = _POOL.max_size,
        max_waiting: int | None = _POOL.max_waiting,
        fairness: Fairness = _POOL.fairness,
        fair_after: float = _POOL.fair_after,
        order: Order = _POOL.order,
        max_connecting: int = _POOL.max_connecting,
        backoff_base: float = _POOL.backoff_base,
        backoff_cap: float = _POOL.backoff_cap,
        on_down: OnDown = _POOL.on_down,
        down_after: int = _POOL.down_after,
        max_idle: float | None = _POOL.max_idle,
        max_lifetime: float | None = _POOL.max_lifetime,
        lifetime_jitter: float = _POOL.lifetime_jitter,
        max_uses: int | None = _POOL.max_uses,
        check_after: float = _POOL.check_after,
        keepalive: float | None = _POOL.keepalive,
        leak_after: float | None = _POOL.leak_after,
        histograms: bool = _POOL.histograms,
        max_in_flight: int = SHARED.max_in_flight,
        long_value: int = SHARED.long_value,
        hedge_after: HedgeAfter | None = SHARED.hedge_after,
        observer: Observer | None = None,
    ) -> None:
        options = ClientOptions(
            timeout=timeout,
            protocol=protocol,
            hashing=hashing,
            discovery=discovery,
            serde=serde,
            compress=compress,
            compress_min=compress_min,
            compress_level=compress_level,
            max_decompressed=max_decompressed,
            key_prefix=key_prefix,
            hash_prefix=hash_prefix,
            long_keys=long_keys,
            on_error=on_error,
            retry_budget=retry_budget,
            failing=FailoverOptions(
                failover=failover,
                gutter=read_spares(gutter),
                gutter_ttl=gutter_ttl,
                max_ejected=max_ejected,
                on_return=on_return,
                on_node_down=on_node_down,
                on_node_up=on_node_up,
            ),
            credentials=chosen(username, password, credentials),
            tls=tls,
            pool=PoolOptions(
                connect_timeout=connect_timeout,
                min_size=min_size,
                max_size=max_size,
                max_waiting=max_waiting,
                fairness=fairness,
                fair_after=fair_after,
                order=order,
                max_connecting=max_connecting,
                backoff_base=backoff_base,
                backoff_cap=backoff_cap,
                on_down=on_down,
                down_after=down_after,
                max_idle=max_idle,
                max_lifetime=max_lifetime,
                lifetime_jitter=lifetime_jitter,
                max_uses=max_uses,
                check_after=check_after,
                keepalive=keepalive,
                leak_after=leak_after,
                histograms=histograms,
            ),
        )
        location = read_servers(servers)
        sharing, others = with_url_sharing(
            Sharing(max_in_flight=max_in_flight, long_value=long_value, hedge_after=hedge_after),
            location.options,
        )
        options = with_url_access(with_url_options(options, others), location)
        sharing.check(options.pool.max_size)
        super().__init__(
            location.servers,
            options,
            observer,
            partial(AsyncNode, sharing=sharing),
        )
