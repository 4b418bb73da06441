"""Compression: the codecs, and what holds for all of them.

Strategy: a codec only turns bytes into fewer bytes and back; the flags beside a value say which one
did it (``dialects.py``). Whoever reads a compressed value does not trust it: what it may become is
bounded while it is read, not afterwards, and what ends too early or goes on is refused.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from cenote.errors import ConfigurationError, NotSerializable, UnreadableValue

if TYPE_CHECKING:
    from types import ModuleType


@runtime_checkable
class Codec(Protocol):
    """A compression of one's own: give one to ``Client(compress=...)``.

    Called from every thread of the client at once.
    """

    def compress(self, data: bytes, /) -> bytes:
        """Return ``data`` compressed; it is stored if that is shorter."""
        ...

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """Return what ``compress`` was given.

        Args:
            data: What is stored, by whomever.
            limit: How many bytes may come of it; stop there.

        Raises:
            Exception: Whatever it is, it is taken to mean that ``data`` is broken: the client
                counts it, warns, and reads a miss.
        """
        ...


CodecName: TypeAlias = Literal["zlib", "zstd"]


class Zlib:
    """zlib's format, as every Python client writes it.

    Args:
        level: 1, the fastest, to 9; -1 is zlib's default, 6.
    """

    def __init__(self, level: int = -1) -> None:
        self._level = level

    def compress(self, data: bytes, /) -> bytes:
        """Return ``data`` compressed."""
        return zlib.compress(data, self._level)

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """Return what was compressed; a byte more than ``limit`` at most."""
        return _whole(zlib.decompressobj(), data, limit)


class Zstd:
    """Zstandard, one frame a value.

    Args:
        level: As the library has it, 1 to 22 and below 0; None is its default, 3.
        magic: Whether frames begin with the format's magic number. meta-memcache leaves it out; a
            frame that has it is read all the same.
    """

    def __init__(self, level: int | None = None, *, magic: bool = True) -> None:
        self._level = level
        self._magic = magic

    def compress(self, data: bytes, /) -> bytes:
        """Return ``data`` compressed."""
        frame: bytes = zstd().compress(data, self._level)
        return frame if self._magic else frame[len(_ZSTD_MAGIC) :]

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """Return what was compressed; a byte more than ``limit`` at most."""
        if not self._magic and not data.startswith(_ZSTD_MAGIC):
            data = _ZSTD_MAGIC + data
        return _whole(zstd().ZstdDecompressor(), data, limit)


# As the first bytes of a frame without it they would set a bit that the format reserves.
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


@cache
def zstd() -> ModuleType:
    """Return the standard library's module of Python 3.14, or its backport.

    Raises:
        ConfigurationError: There is neither.
    """
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"zstd needs {name}, which is not installed: pip install 'cenote[zstd]'"
        ) from error


def check_level(name: CodecName, level: int) -> None:
    """Refuse a level that the codec of that name does not have.

    Raises:
        ConfigurationError: It is out of range; or the codec is not installed.
    """
    if name == "zlib":
        lowest, highest = 1, 9
    else:
        lowest, highest = zstd().CompressionParameter.compression_level.bounds()
    if type(level) is not int or not lowest <= level <= highest:
        raise ConfigurationError(
            f"compress_level={level!r} is out of range: {name} has {lowest} to {highest}"
        )


def packed(codec: Codec, data: bytes) -> bytes:
    """Return ``data`` compressed.

    Raises:
        NotSerializable: The codec returned something else than bytes.
    """
    result: object = codec.compress(data)
    if not isinstance(result, bytes):
        raise NotSerializable(f"compress returns bytes, not {type(result).__name__}")
    return result


def unpacked(codec: Codec, data: bytes, flags: int, limit: int) -> bytes:
    """Return what was compressed.

    Raises:
        UnreadableValue: It is broken, or more than ``limit`` bytes.
    """
    try:
        plain: object = codec.decompress(data, limit)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableValue(
            f"the compressed value (flags {flags}) can not be read: {error}"
        ) from error
    if not isinstance(plain, bytes):
        raise UnreadableValue(f"decompress returns bytes, not {type(plain).__name__}")
    if len(plain) > limit:
        raise UnreadableValue(
            f"the compressed value (flags {flags}, {len(data)} bytes) becomes more than "
            f"{limit} bytes: raise max_decompressed if that is meant to be"
        )
    return plain


def _whole(stream: Any, data: bytes, limit: int) -> bytes:
    """Read one compressed stream, which must end where ``data`` does."""
    plain: bytes = stream.decompress(data, limit + 1)
    if len(plain) <= limit:
        if not stream.eof:
            raise ValueError("it is cut short")
        if stream.unused_data:
            raise ValueError(f"{len(stream.unused_data)} bytes follow its end")
    return plain
