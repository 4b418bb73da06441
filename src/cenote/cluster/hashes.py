"""Hashes of keys, in pure Python: the twins of those in ``_hashes.pxi``.

Every number is an integer of a stated width, cut to it after each step as C would.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from hashlib import md5
from typing import Final

_M32 = 0xFFFFFFFF
_M64 = 0xFFFFFFFFFFFFFFFF
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_F1, _F2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53


# Hashes of a key, as numbers of 32 bits.


def one_at_a_time(key: bytes) -> int:
    """Bob Jenkins's one-at-a-time hash, over signed bytes as libmemcached has it on x86."""
    value = 0
    for byte in key:
        value += byte if byte < 128 else byte + 0xFFFFFF00
        value = (value + (value << 10)) & _M32
        value ^= value >> 6
    value = (value + (value << 3)) & _M32
    value ^= value >> 11
    return (value + (value << 15)) & _M32


def md5_low(key: bytes) -> int:
    """The first four bytes of the MD5, little-endian."""
    return int.from_bytes(md5(key, usedforsecurity=False).digest()[:4], "little")


def crc_middle(key: bytes) -> int:
    """Bits 16 to 30 of the CRC-32: python-memcached's hash, and libmemcached's ``crc``."""
    return (zlib.crc32(key) >> 16) & 0x7FFF


def crc32(key: bytes) -> int:
    """The CRC-32 of zlib."""
    return zlib.crc32(key)


KEY_HASHES: Final[dict[str, Callable[[bytes], int]]] = {
    "one-at-a-time": one_at_a_time,
    "md5": md5_low,
    "crc-middle": crc_middle,
    "crc32": crc32,
}


# MurmurHash3, by Austin Appleby.


def fmix64(number: int) -> int:
    """The 64-bit finaliser of MurmurHash3: every bit of the number moves every bit of this."""
    number = ((number ^ (number >> 33)) * _F1) & _M64
    number = ((number ^ (number >> 33)) * _F2) & _M64
    return number ^ (number >> 33)


def murmur64(data: bytes) -> int:
    """The first 64 bits of MurmurHash3_x64_128 with seed 0, as a little-endian number."""
    size = len(data)
    whole = size & ~15
    h1 = h2 = 0
    for start in range(0, whole, 16):
        k1 = int.from_bytes(data[start : start + 8], "little")
        k2 = int.from_bytes(data[start + 8 : start + 16], "little")
        h1 = _rotated(h1 ^ _first(k1), 27) + h2
        h1 = (h1 * 5 + 0x52DCE729) & _M64
        h2 = _rotated(h2 ^ _second(k2), 31) + h1
        h2 = (h2 * 5 + 0x38495AB5) & _M64
    if size - whole > 8:
        h2 ^= _second(int.from_bytes(data[whole + 8 :], "little"))
    if size > whole:
        h1 ^= _first(int.from_bytes(data[whole : whole + 8], "little"))
    h1 ^= size
    h2 ^= size
    h1 = (h1 + h2) & _M64
    h2 = (h2 + h1) & _M64
    return (fmix64(h1) + fmix64(h2)) & _M64


def _first(k1: int) -> int:
    return (_rotated((k1 * _C1) & _M64, 31) * _C2) & _M64


def _second(k2: int) -> int:
    return (_rotated((k2 * _C2) & _M64, 33) * _C1) & _M64


def _rotated(number: int, bits: int) -> int:
    return ((number << bits) | (number >> (64 - bits))) & _M64


def murmur32_begun(data: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0, as far as the whole words of ``data``."""
    return _words(0, data, len(data) & ~3)


def murmur32_on(begun: int, data: bytes, total: int) -> int:
    """End a MurmurHash3_x86_32 of ``total`` bytes with the last of them."""
    whole = len(data) & ~3
    h1 = _words(begun, data, whole)
    h1 ^= _scrambled(int.from_bytes(data[whole:], "little")) ^ total
    h1 = ((h1 ^ (h1 >> 16)) * 0x85EBCA6B) & _M32
    h1 = ((h1 ^ (h1 >> 13)) * 0xC2B2AE35) & _M32
    return h1 ^ (h1 >> 16)


def _words(h1: int, data: bytes, whole: int) -> int:
    for start in range(0, whole, 4):
        h1 ^= _scrambled(int.from_bytes(data[start : start + 4], "little"))
        h1 = ((h1 << 13) | (h1 >> 19)) & _M32
        h1 = (h1 * 5 + 0xE6546B64) & _M32
    return h1


def _scrambled(k1: int) -> int:
    k1 = (k1 * 0xCC9E2D51) & _M32
    k1 = ((k1 << 15) | (k1 >> 17)) & _M32
    return (k1 * 0x1B873593) & _M32


def emcache_score(data: bytes) -> int:
    """What emcache makes of the first four bytes of a murmur hash.

    It means to put four bytes together and writes ``out[3] & mask << 24`` for ``(out[3] & mask) <<
    24``: each byte, signed, only decides whether all bits from its own place upwards are set. Most
    scores of two servers are the same, and their names decide.
    """
    low = murmur64(data) & _M32
    score = low & 0x80 and 0xFFFFFF80
    score |= low & 0x7F
    for bit, filled in ((15, 0xFFFFFF00), (23, 0xFFFF0000), (31, 0xFF000000)):
        if low >> bit & 1:
            score |= filled
    return score


def low_bytes(key: bytes) -> bytes:
    """The low byte of each character of a key: what pymemcache hashes.

    Bytes that are no UTF-8 stand for themselves; pymemcache can not be given such a key.
    """
    if key.isascii():
        return key
    return bytes(ord(character) & 0xFF for character in key.decode("utf-8", "surrogateescape"))
