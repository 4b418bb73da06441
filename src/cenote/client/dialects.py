"""Dialects: the signs by which a client knows what it has stored, ours and those of the peers.

Strategy: a dialect is a row of a table: which flags it gives to each type, what becomes of the
other types, which bit says that a value is compressed. One class reads and writes them all. Flags
mean different things to different clients, so a dialect reads its own, and refuses all others.

Our own writes what pymemcache writes for ``bytes`` (0), ``str`` (16) and ``int`` (2); what clients
have no common sign for takes a flag above the low 16 bits, where no peer reads a meaning. What
would come back as something else (a tuple as a list, a key 1 as "1") is refused, not stored.

Compressed values are read whether or not the client compresses.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from cenote.client.compression import Codec, packed, unpacked
from cenote.client.values import BYTES, Serialisation, a
from cenote.errors import NotSerializable, UnreadableValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PICKLE: Final = 1
INT: Final = 2
LONG: Final = 4
ZLIB: Final = 8
STR: Final = 16
JSON: Final = 1 << 16
BOOL: Final = 1 << 17
ZSTD: Final = 1 << 19
CUSTOM: Final = 1 << 20

_NO_FLAGS: Final[Mapping[int, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one client marks what it stores.

    Attributes:
        name: What users call it.
        flags: The flags of each type that is stored as text or as it is.
        rest: The flags of everything else: `JSON` or `PICKLE`.
        reads: What reads other flags than these, or reads them otherwise than they are written.
        exact: An instance of a subclass (a ``StrEnum``) is not stored as one of its base class.
        zlib: The bit of what zlib has compressed.
        zstd: The bit of what zstd has compressed; None if the dialect does not know it.
        zstd_magic: Whether its zstd frames begin with the magic number.
        custom: The bit of what a codec of the user's has compressed.
    """

    name: str
    flags: Mapping[type, int]
    rest: int = PICKLE
    reads: Mapping[int, Callable[[bytes], object]] = field(default_factory=lambda: _NO_FLAGS)
    exact: bool = False
    zlib: int = ZLIB
    zstd: int | None = None
    zstd_magic: bool = True
    custom: int = ZLIB


class TypedSerde(Serialisation):
    """Reads and writes a dialect.

    Args:
        dialect: The dialect.
        codecs: What reads compressed values, by the bit that they carry.
        limit: How many bytes a compressed value may become.
    """

    def __init__(self, dialect: Dialect, codecs: Mapping[int, Codec], limit: int) -> None:
        flags = dialect.flags
        self.verbatim = flags[bytes]
        self.takes_bytes = self.verbatim == BYTES
        self._name = dialect.name
        self._flags = flags
        self._text = flags[str]
        self._rest = dialect.rest
        self._exact = dialect.exact
        self._codecs = codecs
        self._limit = limit
        self._readers: dict[int, Callable[[bytes], object]] = {
            flags[kind]: read for kind, read in _READERS.items() if kind in flags
        }
        self._readers[dialect.rest] = _READERS_OF_THE_REST[dialect.rest]
        self._readers |= dialect.reads

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags."""
        if type(value) is bytes:
            return value, self.verbatim
        if type(value) is str:
            try:
                return value.encode(), self._text
            except UnicodeEncodeError as error:
                raise NotSerializable(_NO_TEXT.format(error)) from error
        return self._dumps_other(value)

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value stored as ``data`` with ``flags``."""
        if flags == self.verbatim:
            return data
        read = self._readers.get(flags)
        if read is None:
            return self._loads_packed(data, flags)
        try:
            return read(data)
        except (ValueError, RecursionError) as error:
            raise UnreadableValue(_broken(error, flags)) from error

    def _dumps_other(self, value: object) -> tuple[bytes, int]:
        kind = type(value)
        if kind not in self._flags and not self._exact:
            kind = _stored_as(value)
        if kind not in self._flags:
            return _WRITERS_OF_THE_REST[self._rest](value), self._rest
        return _WRITERS[kind](value), self._flags[kind]

    def _loads_packed(self, data: bytes, flags: int) -> object:
        for bit, codec in self._codecs.items():
            kind = flags & ~bit
            if kind != flags and (kind == self.verbatim or kind in self._readers):
                plain = unpacked(codec, data, flags, self._limit)
                try:
                    return self.loads(plain, kind)
                except UnreadableValue as error:
                    raise UnreadableValue(f"compressed (flags {flags}): {error}") from error
        raise UnreadableValue(
            f"flags {flags} are not known to serde={self._name!r}: another client's value"
        )


class PackingSerde(TypedSerde):
    """Reads and writes a dialect, and compresses what is long.

    Integers are not compressed: the server counts with them.

    Args:
        dialect: The dialect.
        codecs: What reads compressed values, by the bit that they carry.
        limit: How many bytes a compressed value may become; a longer one is stored as it is.
        codec: The bit of the codec that writes.
        minimum: From how many bytes on it is asked to.
    """

    def __init__(
        self, dialect: Dialect, codecs: Mapping[int, Codec], limit: int, codec: int, minimum: int
    ) -> None:
        super().__init__(dialect, codecs, limit)
        self.takes_bytes = False
        self._bit = codec
        self._minimum = minimum

    def plain(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes and flags of a value that is not compressed."""
        return super().dumps(value)

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags; compressed if that is shorter."""
        data, flags = super().dumps(value)
        if not self._minimum <= len(data) <= self._limit or isinstance(value, int):
            return data, flags
        shorter = packed(self._codecs[self._bit], data)
        return (shorter, flags | self._bit) if len(shorter) < len(data) else (data, flags)


def _stored_as(value: object) -> type:
    """Return the type whose flags a value is given, if its dialect has any for it."""
    for kind in _WRITERS:
        if isinstance(value, kind):
            return kind
    return type(value)


def _broken(error: Exception, flags: int) -> str:
    if flags == PICKLE:
        return f"the pickled value (flags {flags}) can not be read: {error}"
    return f"the value is not what its flags ({flags}) say"


# The types that have flags of their own.

_NO_TEXT: Final = "the str can not be stored as UTF-8: {}"


def _utf8(value: str) -> bytes:
    try:
        return str.encode(value)
    except UnicodeEncodeError as error:
        raise NotSerializable(_NO_TEXT.format(error)) from error


def _digits(number: int) -> bytes:
    try:
        return b"%d" % number
    except ValueError as error:  # sys.set_int_max_str_digits
        raise NotSerializable(f"the int has too many digits to store: {error}") from error


def _bool(data: bytes) -> bool:
    if data not in (b"0", b"1"):
        raise ValueError(data)
    return data == b"1"


# In the order in which a value is asked whether it is one: a bool is an int too.
_WRITERS: Mapping[type, Callable[[Any], bytes]] = MappingProxyType(
    {bool: _digits, int: _digits, str: _utf8, bytes: bytes, bytearray: bytes, memoryview: bytes}
)
# ``int`` strips the blank that the server leaves when ``decr`` shortens a number.
_READERS: Mapping[type, Callable[[bytes], object]] = MappingProxyType(
    {str: bytes.decode, int: int, bool: _bool}
)


# All others.

_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _json(value: object) -> bytes:
    try:
        text = _encode_json(value)
        _refuse_what_json_changes(value)
        return text.encode()
    except NotSerializable:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSerializable(
            f"{a(value)} can not be stored as JSON: {error}; convert it, or pass serde='pickle'"
        ) from error


def _refuse_what_json_changes(value: object) -> None:
    """Refuse what would come back as something else, wherever it stands in ``value``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise NotSerializable(
                    f"JSON would turn the dict key {key!r} into a str: use str keys, or "
                    "serde='pickle'"
                )
            _refuse_what_json_changes(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_what_json_changes(inner)
    elif isinstance(value, tuple):
        raise NotSerializable(
            "JSON would turn a tuple into a list: store list(value), or pass serde='pickle'"
        )


def _pickle(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise NotSerializable(f"{a(value)} can not be pickled: {error}") from error


def _unpickle(data: bytes) -> object:
    try:
        return pickle.loads(data)  # noqa: S301 - the user chose a dialect that has it
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


_WRITERS_OF_THE_REST: Mapping[int, Callable[[object], bytes]] = MappingProxyType(
    {JSON: _json, PICKLE: _pickle}
)
_READERS_OF_THE_REST: Mapping[int, Callable[[bytes], object]] = MappingProxyType(
    {JSON: json.loads, PICKLE: _unpickle}
)


# The table. All but the first unpickle.

_OURS = MappingProxyType(
    {bytes: BYTES, bytearray: BYTES, memoryview: BYTES, str: STR, int: INT, bool: BOOL}
)
_PYMEMCACHE = MappingProxyType({bytes: BYTES, str: STR, int: INT})
_PYLIBMC = MappingProxyType({bytes: BYTES, str: STR, int: LONG, bool: INT})
_BMEMCACHED = MappingProxyType({bytes: STR, str: BYTES, int: INT})
_LONG = MappingProxyType({LONG: int})  # what these wrote under Python 2

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect(name="json", flags=_OURS, rest=JSON, zstd=ZSTD, custom=CUSTOM),
            Dialect(
                name="pickle",
                flags=_OURS,
                reads=MappingProxyType({JSON: json.loads}),
                zstd=ZSTD,
                custom=CUSTOM,
            ),
            Dialect(name="pymemcache", flags=_PYMEMCACHE, reads=_LONG, exact=True),
            Dialect(name="python-memcached", flags=_PYMEMCACHE, reads=_LONG, exact=True),
            Dialect(name="django", flags=_PYMEMCACHE, reads=_LONG, exact=True),
            # It reads its bools back as ints, and so they are read here.
            Dialect(name="pylibmc", flags=_PYLIBMC, reads=MappingProxyType({INT: int})),
            Dialect(name="bmemcached", flags=_BMEMCACHED, reads=_LONG),
            Dialect(
                name="meta-memcache", flags=_BMEMCACHED, reads=_LONG, zstd=32, zstd_magic=False
            ),
        )
    }
)
