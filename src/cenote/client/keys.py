"""Keys: what a caller names a value by, turned into the bytes that go on the wire.

Strategy: ``str`` and ``bytes`` spell the same key (UTF-8). A key that memcached can not carry is
refused here, before a byte is sent: a space or a control byte in a key lets the rest of the line,
and then the value, be read as commands. The common case is one scan in C, ``str.isprintable``: it
is False for every control character and for lone surrogates, and leaves only the space to look for.
Everything else takes the careful road, which also finds the words for the error. The encoder has a
compiled twin, ``_keys_c.pyx``, which deals with plain ASCII and leaves the rest to this one.

Many keys are checked as one joined string, so that a key of a batch costs less than a single one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from cenote.client.routed import Key
from cenote.errors import ConfigurationError, InvalidArgument, InvalidKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AnyKey: TypeAlias = str | bytes | Key
K = TypeVar("K", bound=AnyKey)
LongKeys: TypeAlias = Literal["raise", "hash"]

MAX_KEY_BYTES = 250
_DIGEST_MARK = b"sha256:"
MAX_PREFIX_BYTES = MAX_KEY_BYTES - len(_DIGEST_MARK) - 2 * sha256().digest_size
"""A prefix leaves room for the digest of a long key: 179 bytes."""

_CONTROLS = bytes([*range(32), 127])
_find_illegal = re.compile(rb"[\x00-\x20\x7f]").search


class KeyEncoder:
    """Turns keys into wire keys, with the prefix in front.

    Args:
        prefix: Put before every key, as it is; at most 179 bytes. Answers never show it.
        long_keys: What becomes of a key over 250 bytes, its prefix included: ``"raise"`` refuses
            it, ``"hash"`` sends ``sha256:`` and the hexadecimal SHA-256 of the key (the prefix
            stays in front of it).

    Raises:
        ConfigurationError: The prefix can not be part of a key.
    """

    __slots__ = ("_hash_long", "_prefix", "_room")

    @property
    def prefix(self) -> bytes:
        """What is put before every key."""
        return self._prefix

    def __init__(self, prefix: str | bytes = "", long_keys: LongKeys = "raise") -> None:
        self._prefix = _checked_prefix(prefix)
        self._room = MAX_KEY_BYTES - len(self._prefix)
        self._hash_long = long_keys == "hash"

    def wire(self, key: AnyKey) -> bytes:
        """Return the wire key.

        Raises:
            InvalidKey: memcached can not carry this key; the message says why.
        """
        if type(key) is not str:
            return self._carefully(key)
        text = key
        if text.isprintable() and " " not in text:
            encoded = text.encode()
            if 0 < len(encoded) <= self._room:
                return self._prefix + encoded if self._prefix else encoded
        return self._carefully(key)

    def wires(self, keys: Sequence[AnyKey]) -> list[bytes]:
        """Return the wire keys of ``keys``, in the same order.

        Raises:
            InvalidKey: memcached can not carry one of them; the message shows which.
        """
        try:
            joined = " ".join(keys).encode()  # type: ignore[arg-type]  # bytes: TypeError
        except (TypeError, UnicodeEncodeError):
            return [self.wire(key) for key in keys]
        wires = joined.split(b" ")
        legal = (
            len(wires) == len(keys)
            and b"" not in wires
            and len(joined) == len(joined.translate(None, _CONTROLS))
            and max(map(len, wires)) <= self._room
        )
        if not legal:
            return [self.wire(key) for key in keys]
        prefix = self._prefix
        return [prefix + wire for wire in wires] if prefix else wires

    def route(self, key: Key) -> bytes:
        """Return what places a key that has a route: what a plain key of that text would be."""
        return self._prefix + key.path

    def _carefully(self, key: AnyKey) -> bytes:
        encoded = _utf8(key)
        if not encoded:
            raise InvalidKey("the key is empty: memcached carries keys of 1 to 250 bytes")
        illegal = _find_illegal(encoded)
        if illegal:
            raise InvalidKey(
                f"the key {_shown(key)} holds {_named(illegal[0])} at byte {illegal.start()}, "
                "which memcached can not carry: replace it, as urllib.parse.quote() does"
            )
        if len(encoded) <= self._room:
            return self._prefix + encoded
        if self._hash_long:
            return self._prefix + _DIGEST_MARK + sha256(encoded).hexdigest().encode()
        raise InvalidKey(self._too_long(key, len(encoded)))

    def _too_long(self, key: AnyKey, size: int) -> str:
        prefix = f" and its prefix {len(self._prefix)}" if self._prefix else ""
        return (
            f"the key {_shown(key)} is {size} bytes{prefix}, memcached carries {MAX_KEY_BYTES}: "
            "shorten it, or pass long_keys='hash' to the client"
        )


def mapped(values: Mapping[K, object]) -> list[K]:
    """Return the keys of a mapping from keys to values as a list.

    Raises:
        InvalidArgument: It is no mapping.
    """
    if not isinstance(values, Mapping):
        raise InvalidArgument(
            f"set_many takes a mapping, as in {{'key': value}}, not {_shown(values)}"
        )
    return list(values)


def listed(keys: Iterable[K]) -> list[K]:
    """Return the keys of a multi-key command as a list.

    Raises:
        InvalidArgument: It is a single key, or nothing that holds keys.
    """
    if isinstance(keys, (str, bytes, Key)):
        raise InvalidArgument(f"{_shown(keys)} is one key, not several: pass [{_shown(keys)}]")
    try:
        return list(keys)
    except TypeError:
        raise InvalidArgument(
            f"keys are an iterable of str, bytes or Key, not {type(keys).__name__}"
        ) from None


def _utf8(key: AnyKey) -> bytes:
    if isinstance(key, Key):
        key = key.value
    if isinstance(key, bytes):
        return bytes(key)
    if not isinstance(key, str):
        raise InvalidKey(f"a key is str, bytes or a Key, not {type(key).__name__}: {_shown(key)}")
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise InvalidKey(f"the key {_shown(key)} holds a lone surrogate, not UTF-8") from None


def _checked_prefix(prefix: str | bytes) -> bytes:
    try:
        encoded = _utf8(prefix)
    except InvalidKey as error:
        raise ConfigurationError(f"key_prefix: {error}") from None
    illegal = _find_illegal(encoded)
    if illegal:
        raise ConfigurationError(
            f"key_prefix {_shown(prefix)} holds {_named(illegal[0])}, which memcached can not carry"
        )
    if len(encoded) > MAX_PREFIX_BYTES:
        raise ConfigurationError(
            f"key_prefix is {len(encoded)} bytes: at most {MAX_PREFIX_BYTES} leave room for a key"
        )
    return encoded


def _named(byte: bytes) -> str:
    return "a space" if byte == b" " else f"the control byte 0x{byte[0]:02x}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
