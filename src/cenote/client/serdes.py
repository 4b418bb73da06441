"""Which serialisation a client uses: a dialect by its name, or one of the user's own; compression.

Strategy: what does not fit together is refused when the client is made, not when a value is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from cenote._spelling import did_you_mean
from cenote.client.compression import Codec, CodecName, Zlib, Zstd, check_level
from cenote.client.dialects import DIALECTS, PackingSerde, TypedSerde
from cenote.client.values import CheckedSerde, RawSerde, Serde
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from cenote.client.dialects import Dialect
    from cenote.client.values import Serialisation

SerdeName: TypeAlias = Literal[
    "json",
    "pickle",
    "raw",
    "pymemcache",
    "python-memcached",
    "pylibmc",
    "bmemcached",
    "meta-memcache",
    "django",
]
SERDE_NAMES: Final[tuple[str, ...]] = get_args(SerdeName)


_MINIMUM: Final = 1024
_LIMIT: Final = 64 * 2**20


def _check_bytes(name: str, number: object, least: int) -> None:
    if type(number) is not int or number < least:
        raise ConfigurationError(f"{name}={number!r} is not a number of bytes, {least} or more")


def _check_codec(codec: Any) -> None:
    if isinstance(codec, (str, type, ModuleType)) or not isinstance(codec, Codec):
        near = did_you_mean(codec, get_args(CodecName)) if isinstance(codec, str) else ""
        raise ConfigurationError(
            f"compress={codec!r} is not known{near}: 'zlib', 'zstd', None, or an object with "
            "compress(data) and decompress(data, limit)"
        )


@dataclass(frozen=True, slots=True)
class Compression:
    """How values are compressed, and what compressed ones may become.

    Attributes:
        codec: ``"zlib"``, ``"zstd"``, a `Codec`, or None to compress nothing.
        minimum: From how many bytes on a value is compressed.
        level: The level of a codec that is named; None for its default.
        limit: How many bytes a compressed value may become when it is read.
    """

    codec: CodecName | Codec | None = None
    minimum: int = _MINIMUM
    level: int | None = None
    limit: int = _LIMIT

    def __post_init__(self) -> None:
        _check_bytes("compress_min", self.minimum, 0)
        _check_bytes("max_decompressed", self.limit, 1)
        if self.codec is not None and self.codec not in get_args(CodecName):
            _check_codec(self.codec)
        if self.codec is None and self.minimum != _MINIMUM:
            raise ConfigurationError(
                f"compress_min is for compress=: with None, {self.minimum!r} would be ignored"
            )
        if self.level is not None:
            if not isinstance(self.codec, str):
                raise ConfigurationError(
                    "compress_level is for compress='zlib' or 'zstd': leave it out, or name one"
                )
            check_level(self.codec, self.level)


NOT_COMPRESSED: Final = Compression()


def serde_for(
    choice: SerdeName | Serde, compression: Compression = NOT_COMPRESSED
) -> Serialisation:
    """Return the serialisation of that name, or the caller's own.

    Raises:
        ConfigurationError: No such name, the object lacks ``dumps`` or ``loads``, or is a module,
            whose ``dumps`` knows no flags; or it has no flags for the compression.
    """
    if isinstance(choice, str):
        if choice not in SERDE_NAMES:
            raise ConfigurationError(
                f"serde {choice!r} is not known{did_you_mean(choice, SERDE_NAMES)}: "
                f"{', '.join(SERDE_NAMES)}"
            )
        if choice in DIALECTS:
            return _typed(DIALECTS[choice], compression)
    elif isinstance(choice, ModuleType):
        name = choice.__name__ if choice.__name__ in SERDE_NAMES else "json"
        raise ConfigurationError(f"serde is the module {choice.__name__}: write serde={name!r}")
    elif isinstance(choice, type) or not isinstance(choice, Serde):
        raise ConfigurationError(
            f"serde is one of {', '.join(SERDE_NAMES)}, or an object with dumps and loads, "
            f"not {choice!r}"
        )
    if compression.codec is not None:
        raise ConfigurationError(
            f"compress={compression.codec!r} needs a serde with flags for it, and {choice!r} has "
            f"none: {', '.join(DIALECTS)}; or compress in its dumps"
        )
    if compression.limit != _LIMIT:
        raise ConfigurationError(
            f"max_decompressed is for a serde that decompresses, and {choice!r} does not: "
            f"{', '.join(DIALECTS)}"
        )
    return RawSerde() if isinstance(choice, str) else CheckedSerde(choice)


def _typed(dialect: Dialect, compression: Compression) -> TypedSerde:
    codecs: dict[int, Codec] = {dialect.zlib: Zlib()}
    if dialect.zstd is not None:
        codecs[dialect.zstd] = Zstd(magic=dialect.zstd_magic)
    bit, codec = _writer(dialect, compression)
    if codec is None:
        return TypedSerde(dialect, codecs, compression.limit)
    codecs[bit] = codec
    return PackingSerde(dialect, codecs, compression.limit, bit, compression.minimum)


def _writer(dialect: Dialect, compression: Compression) -> tuple[int, Codec | None]:
    """Return what compresses, and the bit that says so."""
    codec, level = compression.codec, compression.level
    if codec == "zlib":
        return dialect.zlib, Zlib(-1 if level is None else level)
    if codec != "zstd":
        assert not isinstance(codec, str)
        return dialect.custom, codec
    if dialect.zstd is None:
        know = ", ".join(repr(name) for name in DIALECTS if DIALECTS[name].zstd is not None)
        raise ConfigurationError(
            f"compress='zstd' is not known to the clients of serde={dialect.name!r}: use "
            f"compress='zlib', or serde={know}"
        )
    writer = Zstd(level, magic=dialect.zstd_magic)
    writer.compress(b"")  # what is not installed is missed now
    return dialect.zstd, writer
