"""Values: what a caller stores, turned into bytes and flags, and back.

Strategy: the flags stored beside a value say what its bytes mean. Our own dialect writes what
pymemcache writes for ``bytes`` (0), ``str`` (16) and ``int`` (2); what memcached clients have no
common sign for takes a flag above the low 16 bits, where no peer reads a meaning. What would come
back as something else (a tuple as a list, a key 1 as "1") is refused, not stored. Flags this client
does not know are never guessed at: ``loads`` raises `UnreadableValue` and the client reads a miss.

A named serialisation is an object of the `Serde` protocol in ``_NAMED``; users bring their own.
"""

from __future__ import annotations

import json
import pickle
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, cast, runtime_checkable

from cenote.errors import ConfigurationError, NotSerializable, UnreadableValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BYTES: Final = 0
PICKLE: Final = 1
INT: Final = 2
STR: Final = 16
JSON: Final = 1 << 16
BOOL: Final = 1 << 17
LEASE: Final = 1 << 18
"""Not a value: on a classic server, somebody's claim to compute the value of this key."""


@runtime_checkable
class Serde(Protocol):
    """How values become bytes and flags, and back: give one to ``Client(serde=...)``.

    Called from every thread and task of the client at once. The flags ``1 << 18`` are the client's
    own. What these raise beside the errors named here reaches the caller of the command as it is.
    """

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags (0 to 2**32 - 1).

        Raises:
            NotSerializable: The value can not be stored.
        """
        ...

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value that ``dumps`` was given.

        Raises:
            UnreadableValue: The flags are not known, or the bytes are not what the flags say: the
                client counts it, warns, and reads a miss.
        """
        ...


SerdeName: TypeAlias = Literal["json", "pickle", "raw"]


class JsonSerde:
    """Our own dialect: bytes, str, int and bool natively; dict, list, float and None as JSON."""

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags."""
        if type(value) is bytes:
            return value, BYTES
        if type(value) is str:
            try:
                return value.encode(), STR
            except UnicodeEncodeError as error:
                raise NotSerializable(f"the str can not be stored as UTF-8: {error}") from error
        return self._dumps_other(value)

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value stored as ``data`` with ``flags``."""
        if flags == BYTES:
            return data
        try:
            return data.decode() if flags == STR else _READERS[flags](data)
        except KeyError:
            raise UnreadableValue(unknown_flags(flags)) from None
        except (ValueError, RecursionError) as error:
            raise UnreadableValue(f"the value is not what its flags ({flags}) say") from error

    def _dumps_other(self, value: object) -> tuple[bytes, int]:
        if isinstance(value, bool):
            return (b"1" if value else b"0"), BOOL
        if isinstance(value, int):
            return _digits(value), INT
        if isinstance(value, str):
            return self.dumps(str.__str__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value), BYTES
        return self._dumps_rest(value)

    def _dumps_rest(self, value: object) -> tuple[bytes, int]:
        return _json(value), JSON


class PickleSerde(JsonSerde):
    """Our own dialect with pickle (flag 1, as pymemcache's) in the place of JSON.

    Unpickling runs whatever code the stored bytes name: use it only where every writer of the
    cache is trusted. JSON values are still read.
    """

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value stored as ``data`` with ``flags``."""
        if flags != PICKLE:
            return super().loads(data, flags)
        try:
            return pickle.loads(data)  # noqa: S301 - asked for by name
        except Exception as error:
            raise UnreadableValue(f"the pickled value can not be read: {error}") from error

    def _dumps_rest(self, value: object) -> tuple[bytes, int]:
        try:
            return pickle.dumps(value), PICKLE
        except Exception as error:
            raise NotSerializable(f"{_a(value)} can not be pickled: {error}") from error


class RawSerde:
    """Bytes as they are: nothing else is taken, flags are written as 0 and never read."""

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value), BYTES
        raise NotSerializable(f"{_a(value)} can not be stored with serde='raw': pass bytes")

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return ``data``, whatever the flags."""
        if flags == LEASE:
            raise UnreadableValue(_NO_VALUE_YET)
        return data


_NO_VALUE_YET = "a lease, not a value"

_NAMED: Mapping[str, Callable[[], Serde]] = MappingProxyType(
    {"json": JsonSerde, "pickle": PickleSerde, "raw": RawSerde}
)
SERDE_NAMES: tuple[str, ...] = tuple(_NAMED)


def serde_for(choice: SerdeName | Serde) -> Serde:
    """Return the serialisation of that name, or the caller's own.

    Raises:
        ConfigurationError: No such name, the object lacks ``dumps`` or ``loads``, or is a module,
            whose ``dumps`` knows no flags.
    """
    if isinstance(choice, str):
        if choice not in _NAMED:
            raise ConfigurationError(f"serde {choice!r} is not known: {', '.join(_NAMED)}")
        return _NAMED[choice]()
    if isinstance(choice, ModuleType):
        name = choice.__name__ if choice.__name__ in _NAMED else "json"
        raise ConfigurationError(f"serde is the module {choice.__name__}: write serde={name!r}")
    if isinstance(choice, type) or not isinstance(choice, Serde):
        raise ConfigurationError(
            f"serde is one of {', '.join(_NAMED)}, or an object with dumps and loads, "
            f"not {choice!r}"
        )
    return _Checked(choice)


class _Checked:
    """A user's serialisation: it is never shown a lease, and writes nothing that looks like one."""

    def __init__(self, serde: Serde) -> None:
        self._dumps = serde.dumps
        self._loads = serde.loads

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        dumped: object = self._dumps(value)
        if not isinstance(dumped, tuple) or len(dumped) != 2:
            raise NotSerializable(f"serde.dumps returns (bytes, flags), not {_a(dumped)}")
        data, flags = dumped
        if not isinstance(data, bytes):
            raise NotSerializable(f"serde.dumps returns (bytes, flags), not {_a(data)} as bytes")
        if type(flags) is not int or not 0 <= flags < 2**32 or flags == LEASE:
            raise NotSerializable(
                f"serde.dumps returns (bytes, flags), not the flags {flags!r}: use an int from 0 "
                "to 2**32 - 1, except for 1 << 18, which is the client's own"
            )
        return data, flags

    def loads(self, data: bytes, flags: int, /) -> object:
        if flags == LEASE:
            raise UnreadableValue(_NO_VALUE_YET)
        return self._loads(data, flags)


def verbatim_flags(serde: Serde) -> int:
    """Return the flags with which values are their bytes, so that ``loads`` need not be called.

    There are none, -1, for a user's own serialisation.
    """
    return BYTES if isinstance(serde, (JsonSerde, RawSerde)) else -1


def dumps_all(serde: Serde, values: Sequence[object]) -> tuple[Sequence[bytes], Sequence[int]]:
    """Return the bytes and the flags of many values: two sequences, in the values' order.

    Raises:
        NotSerializable: One of the values can not be stored.
    """
    if verbatim_flags(serde) == BYTES and set(map(type, values)) == {bytes}:
        return cast("Sequence[bytes]", values), [BYTES] * len(values)
    dumped = [serde.dumps(value) for value in values]
    return [data for data, _ in dumped], [flags for _, flags in dumped]


def counter(serde: Serde, number: int) -> tuple[bytes, int]:
    """Return what to store so that the server can count on it and ``serde`` reads it, if it can."""
    digits = b"%d" % number
    try:
        data, flags = serde.dumps(number)
    except NotSerializable:
        return digits, BYTES
    return digits, flags if data == digits else BYTES


def unknown_flags(flags: int) -> str:
    """Return the text for a value whose flags this client does not know."""
    return f"flags {flags} are not known to this serialisation: another client's value"


def _digits(number: int) -> bytes:
    try:
        return b"%d" % number
    except ValueError as error:  # sys.set_int_max_str_digits
        raise NotSerializable(f"the int has too many digits to store: {error}") from error


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
            f"{_a(value)} can not be stored as JSON: {error}; convert it, or pass serde='pickle'"
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


def _bool(data: bytes) -> bool:
    if data not in (b"0", b"1"):
        raise ValueError(data)
    return data == b"1"


# ``int`` strips the blank that the server leaves when ``decr`` shortens a number.
_READERS: Mapping[int, Callable[[bytes], object]] = MappingProxyType(
    {INT: int, JSON: json.loads, BOOL: _bool}
)


def _a(value: object) -> str:
    return f"a value of type {type(value).__name__}"
