"""Every option of a client, as one immutable, validated value: from keywords and URLs alike.

Strategy: the fields of `ClientOptions` and of `PoolOptions` are the one table of names, types and
defaults. Keywords build the value; options in a URL are read by the type of their field and replace
what the keywords said, so that a deployment can tune a client without a change of code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, get_type_hints

from cenote._spelling import did_you_mean
from cenote.client.compression import Codec, CodecName
from cenote.client.keys import KeyEncoder, LongKeys
from cenote.client.login import check_credentials
from cenote.client.serdes import NOT_COMPRESSED, Compression, SerdeName, serde_for
from cenote.client.url import Location
from cenote.client.values import Serde, Serialisation
from cenote.cluster import finding
from cenote.cluster.failover import NO_FAILOVER, FailoverOptions
from cenote.cluster.finding import TOLD_NAMES, AnyDiscovery, check_discovery
from cenote.cluster.router import Hashing, check_hashing
from cenote.cluster.server import Server, parse_address
from cenote.connection import TLS, Access, AnyCredentials, AnyTLS, ProtocolChoice, securing
from cenote.errors import ConfigurationError
from cenote.node.sharing import Sharing
from cenote.pool import PoolOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

OnError: TypeAlias = Literal["raise", "miss"]

PRESET = PoolOptions(
    min_size=1,
    max_size=16,
    connect_timeout=0.5,
    on_down="fail",
    max_idle=300.0,
    max_lifetime=3600.0,
)
"""How a client's pool differs from a pool on its own: it serves short requests of one service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The options of a client.

    Attributes:
        timeout: Seconds an operation may take, everything included; above 0. It is also the
            ``timeout`` of the pools.
        protocol: ``"auto"`` asks each server whether it knows the meta commands, ``"meta"`` insists
            on them, ``"classic"`` does without; ``"binary"`` speaks the binary protocol.
        hashing: Which of several servers has a key: the name of a scheme, or a callable that is
            given the servers and returns a `Router`.
        discovery: Finds the servers, by those that are given: ``"elasticache"``, ``"dns"``, their
            options, or an object; None: the servers are those given.
        serde: ``"json"``, ``"pickle"``, ``"raw"``, the name of another client whose values are read
            and written, or an object with ``dumps`` and ``loads``.
        compress: What compresses long values: ``"zlib"``, ``"zstd"``, a `Codec`, or None.
        compress_min: From how many bytes on a value is compressed.
        compress_level: The level of ``"zlib"`` or ``"zstd"``; None for its default.
        max_decompressed: How many bytes a compressed value may become when it is read.
        key_prefix: Put before every key; at most 179 bytes.
        hash_prefix: Whether the prefix takes part in placing keys under every hashing; otherwise as
            the client does it that the hashing comes from.
        long_keys: ``"raise"`` refuses a key over 250 bytes, ``"hash"`` sends its SHA-256.
        on_error: ``"raise"``, or ``"miss"`` to answer an outage as if nothing were stored.
        retry_budget: Second tries (after a lost connection, elsewhere while a server fails, hedged)
            as a share of all requests, beside ten a second; None for no limit.
        credentials: The user and password to log in with, or what is asked for them at every
            connect; None: do not log in.
        tls: Whether, and how, connections are secured by TLS.
        failing: What to do when a server fails.
        pool: The options of each server's pool.
    """

    timeout: float = 1.0
    protocol: ProtocolChoice = "auto"
    hashing: Hashing = "rendezvous"
    discovery: AnyDiscovery | None = None
    serde: SerdeName | Serde = "json"
    compress: CodecName | Codec | None = NOT_COMPRESSED.codec
    compress_min: int = NOT_COMPRESSED.minimum
    compress_level: int | None = NOT_COMPRESSED.level
    max_decompressed: int = NOT_COMPRESSED.limit
    key_prefix: str | bytes = ""
    hash_prefix: bool = False
    long_keys: LongKeys = "raise"
    on_error: OnError = "raise"
    retry_budget: float | None = 0.1
    credentials: AnyCredentials | None = None
    tls: AnyTLS | bool | None = None
    failing: FailoverOptions = NO_FAILOVER
    pool: PoolOptions = PRESET

    def __post_init__(self) -> None:
        _check_timeout(self.timeout)
        _check_choice("protocol", self.protocol, ProtocolChoice)
        check_hashing(self.hashing)
        if self.discovery is not None:
            check_discovery(self.discovery)
        _check_choice("long_keys", self.long_keys, LongKeys)
        _check_choice("on_error", self.on_error, OnError)
        _check_budget(self.retry_budget)
        check_credentials(self.credentials, self.protocol)
        securing(self.tls)
        KeyEncoder(self.key_prefix)
        _check_bool("hash_prefix", self.hash_prefix)
        self.serialisation()
        object.__setattr__(self, "pool", replace(self.pool, timeout=self.timeout))

    @property
    def access(self) -> Access:
        """What it takes to be let in by the servers."""
        tls = securing(self.tls)
        return Access(protocol=self.protocol, credentials=self.credentials, tls=tls)

    def serialisation(self) -> Serialisation:
        """Return what turns values into bytes and back."""
        compression = Compression(
            self.compress, self.compress_min, self.compress_level, self.max_decompressed
        )
        return serde_for(self.serde, compression)


def with_url_options(options: ClientOptions, texts: Mapping[str, str]) -> ClientOptions:
    """Return ``options`` with those of a URL in their place.

    Raises:
        ConfigurationError: An option is not known (the legal ones are listed), or out of range.
    """
    told = {name: text for name, text in texts.items() if name in TOLD_NAMES}
    given = {name: _parsed(name, text) for name, text in texts.items() if name not in told}
    if told:
        given["discovery"] = finding.told(given.get("discovery", options.discovery), told)
    pool = {name: given.pop(name) for name in texts if name in _POOL_TYPES}
    failing = {name: given.pop(name) for name in texts if name in _FAILOVER_TYPES}
    secured = {name: given.pop(name) for name in texts if name in _TLS_TYPES}
    if "compress" in given and given["compress"] is None:  # and how it would be is no matter
        given = {"compress_min": DEFAULTS.compress_min, "compress_level": None, **given}
    return replace(
        options,
        tls=_with_tls(options.tls, secured) if secured else options.tls,
        pool=replace(options.pool, **pool),
        failing=replace(options.failing, **failing),
        **given,
    )


def _with_tls(tls: AnyTLS | bool | None, given: dict[str, Any]) -> TLS:
    """Return ``tls`` with what a URL says of it; that it says something asks for TLS."""
    if isinstance(tls, TLS):
        return replace(tls, **given)
    if tls is None or tls is True:
        return TLS(**given)
    raise ConfigurationError(
        f"the URL says {', '.join(given)} of TLS, and tls={tls!r} leaves nothing to say"
    )


def with_url_access(options: ClientOptions, location: Location) -> ClientOptions:
    """Return ``options`` with what a URL says of access to its servers in their place.

    Raises:
        ConfigurationError: The credentials can not be said in the protocol, or TLS is asked for and
            forbidden.
    """
    tls = options.tls
    if location.tls and tls is None:
        tls = True
    elif location.tls and tls is False:
        raise ConfigurationError("memcacheds:// asks for TLS and tls=False forbids it")
    return replace(options, credentials=location.credentials or options.credentials, tls=tls)


def with_url_sharing(sharing: Sharing, texts: Mapping[str, str]) -> tuple[Sharing, dict[str, str]]:
    """Return ``sharing`` with what a URL says of it, and the other options of the URL.

    Raises:
        ConfigurationError: A number is none, or out of range.
    """
    given = {name: _shared(name, text) for name, text in texts.items() if name in SHARING_NAMES}
    others = {name: text for name, text in texts.items() if name not in given}
    return replace(sharing, **given), others


def _types(options: type, *left_out: str) -> dict[str, Any]:
    hints = get_type_hints(options)
    return {
        field.name: hints[field.name] for field in fields(options) if field.name not in left_out
    }


# What is about callers who wait for a connection of their own is not for clients: theirs share.
_OF_LEASES = ("burst", "burst_after", "nested", "autosize", "target_wait")
_POOL_TYPES = _types(PoolOptions, "timeout", *_OF_LEASES)
_FAILOVER_TYPES = _types(FailoverOptions, "on_node_down", "on_node_up")
OPTION_TYPES = (
    _types(ClientOptions, "pool", "credentials", "tls", "failing") | _POOL_TYPES | _FAILOVER_TYPES
)
"""What each option may be that a client has and a URL may say."""
_TLS_TYPES = _types(TLS)
SHARING_NAMES = tuple(_types(Sharing))


def _shared(name: str, text: str) -> Any:
    if name != "hedge_after":
        return _converted(name, text, int, "an integer")
    if text.lower() in {"none", "p95"}:
        return None if text.lower() == "none" else "p95"
    return _converted(name, text, float, "a number")


_LOGIN = "user and password stand before the host: memcached://user:password@host"
_KEYWORD = "it can not be written: give it as a keyword"
_NOT_SHARED = "callers share a client's connections: it is for a pool of your own"
_SAID_OTHERWISE = {
    **dict.fromkeys(("username", "user", "password", "credentials"), _LOGIN),
    **dict.fromkeys(("tls", "ssl"), "memcacheds:// asks for TLS, and ca, cert, ... say how"),
    **dict.fromkeys(("observer", "on_node_down", "on_node_up"), _KEYWORD),
    **dict.fromkeys(("interval", "prefer", "nameservers"), "it begins with discovery_"),
    **dict.fromkeys(_OF_LEASES, _NOT_SHARED),
}
"""Names that one might look for in a URL, and how it is said there."""

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _parsed(name: str, text: str) -> Any:
    if name in SHARING_NAMES:
        raise ConfigurationError(
            f"{name} is an option of AsyncClient: in threads every request has a connection to "
            "itself, so there is none to share, and the loser of two tries would cost one. Leave "
            "it out, or use AsyncClient; against a slow server Replicas and a short timeout help"
        )
    types = OPTION_TYPES | _TLS_TYPES
    if name not in types:
        known = [*types, *TOLD_NAMES]
        said = _SAID_OTHERWISE.get(name)
        advice = f" (in a URL, {said})" if said else did_you_mean(name, known)
        raise ConfigurationError(f"option {name!r} is not known{advice}: {', '.join(known)}")
    if name == "gutter":
        return tuple(Server(parse_address(host.strip())) for host in text.split(","))
    kinds = get_args(types[name]) or (types[name],)
    if NoneType in kinds and text.lower() == "none":
        return None
    for kind, noun in ((bool, "true or false"), (int, "an integer"), (float, "a number")):
        if kind in kinds:
            return _converted(name, text, kind, noun)
    return text


def _converted(name: str, text: str, kind: type, noun: str) -> Any:
    try:
        return _WORDS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise ConfigurationError(f"{name}={text!r} is not {noun}") from None


def _check_timeout(seconds: object) -> None:
    if not isinstance(seconds, (int, float)) or seconds is True or not 0 < seconds < math.inf:
        wrong = "is a str" if isinstance(seconds, str) else "is out of range"
        raise ConfigurationError(f"timeout={seconds!r} {wrong}: use seconds above 0")


def _check_bool(name: str, value: object) -> None:
    if type(value) is not bool:
        raise ConfigurationError(f"{name}={value!r} is not True or False")


def _check_budget(share: float | None) -> None:
    if share is not None and (type(share) not in (int, float) or not 0 <= share < math.inf):
        raise ConfigurationError(
            f"retry_budget={share!r} is out of range: use a share of 0 or more, or None"
        )


def _check_choice(name: str, value: str, legal: Any) -> None:
    if value not in get_args(legal):
        names = ", ".join(map(repr, get_args(legal)))
        raise ConfigurationError(
            f"{name}={value!r} is not known{did_you_mean(str(value), get_args(legal))}: {names}"
        )


DEFAULTS = ClientOptions()
