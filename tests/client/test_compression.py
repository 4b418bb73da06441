"""Compression: what is compressed and what is not, and what is refused when it is read."""

from __future__ import annotations

import bz2
import random
import sys
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.client import compression
from cenote.client.dialects import CUSTOM, DIALECTS, ZLIB, ZSTD
from cenote.client.options import ClientOptions, with_url_options
from cenote.client.serdes import Compression, SerdeName, serde_for
from cenote.client.values import dumps_all
from cenote.errors import ConfigurationError, NotSerializable, UnreadableValue

LONG = "word " * 1000
NOISE = random.Random(1).randbytes(5000)
MB = 2**20


class Bz2:
    def compress(self, data, /):
        return bz2.compress(data)

    def decompress(self, data, limit, /):
        stream = bz2.BZ2Decompressor()
        plain = stream.decompress(data, limit + 1)
        if len(plain) <= limit and not stream.eof:
            raise EOFError("cut short")
        return plain


ALL: list[tuple[SerdeName, Any, int]] = [
    ("json", "zlib", ZLIB),
    ("json", "zstd", ZSTD),
    ("json", Bz2(), CUSTOM),
    ("pickle", "zstd", ZSTD),
    ("pymemcache", "zlib", ZLIB),
    ("pymemcache", Bz2(), ZLIB),
    ("python-memcached", "zlib", ZLIB),
    ("django", "zlib", ZLIB),
    ("pylibmc", "zlib", ZLIB),
    ("bmemcached", "zlib", ZLIB),
    ("meta-memcache", "zlib", ZLIB),
    ("meta-memcache", "zstd", 32),
]
every_one = pytest.mark.parametrize(
    ("name", "codec", "bit"),
    ALL,
    ids=[f"{name}-{codec if isinstance(codec, str) else 'bz2'}" for name, codec, _ in ALL],
)


@every_one
def test_what_is_long_is_compressed_and_read_again(name, codec, bit):
    serde, plain = serde_for(name, Compression(codec)), serde_for(name)
    for value in (LONG, LONG.encode(), [LONG]):
        data, flags = serde.dumps(value)
        assert len(data) < 500
        assert flags == plain.dumps(value)[1] | bit
        assert serde.loads(data, flags) == value
        assert dumps_all(serde, [value, b"short"], ["long", "short"]) == (
            [data, b"short"],
            [flags, plain.dumps(b"")[1]],
        )


@pytest.mark.parametrize("codec", ["zlib", "zstd"])
@pytest.mark.parametrize("name", ["json", "pickle", "meta-memcache"])
def test_a_client_that_does_not_compress_reads_what_one_that_does_has_stored(name, codec):
    data, flags = serde_for(name, Compression(codec)).dumps(LONG)
    assert serde_for(name).loads(data, flags) == LONG


@every_one
def test_what_would_not_be_shorter_is_stored_as_it_is(name, codec, bit):
    serde, plain = serde_for(name, Compression(codec, 0)), serde_for(name)
    for value in (NOISE, b"", "", "a", None, b"ab"):
        assert serde.dumps(value) == plain.dumps(value)


@every_one
def test_numbers_are_not_compressed(name, codec, bit):
    """The server counts with them."""
    serde, plain = serde_for(name, Compression(codec, 0)), serde_for(name)
    for number in (10**100, True, int("1" * 20)):
        assert serde.dumps(number) == plain.dumps(number)


def test_values_are_compressed_from_the_threshold_on():
    serde = serde_for("json", Compression("zlib", 100))
    assert serde.dumps("a" * 99) == (b"a" * 99, 16)
    assert serde.dumps("a" * 100)[1] == 16 | ZLIB
    assert serde.dumps("ö" * 50)[1] == 16 | ZLIB, "bytes count, not characters"


@settings(max_examples=25)
@given(st.binary(max_size=300))
@every_one
def test_any_bytes_come_back(name, codec, bit, value):
    serde = serde_for(name, Compression(codec, 0))
    assert serde.loads(*serde.dumps(value)) == value
    assert serde.loads(*serde.dumps([value.hex()])) == [value.hex()]


@pytest.mark.parametrize("codec", ["zlib", "zstd"])
def test_a_level_is_the_codecs(codec):
    rng = random.Random(2)
    text = " ".join(f"word {rng.randrange(300)}" for _ in range(5000))
    sizes = [
        len(serde_for("json", Compression(codec, level=level)).dumps(text)[0]) for level in (1, 9)
    ]
    assert sizes[1] < sizes[0]


@every_one
def test_what_is_broken_is_unreadable_and_names_its_flags(name, codec, bit):
    serde = serde_for(name, Compression(codec))
    data, flags = serde.dumps(LONG)
    breaks = [b"", b"x", data[:-1], data[: len(data) // 2], NOISE, data[1:]]
    if isinstance(codec, str):
        breaks.append(data + b"x")
    for broken in breaks:
        with pytest.raises(UnreadableValue, match=rf"\(flags {flags}\)"):
            serde.loads(broken, flags)


def test_what_is_compressed_and_yet_not_what_its_flags_say_is_unreadable():
    with pytest.raises(UnreadableValue, match=r"compressed \(flags 24\): .*flags \(16\)"):
        serde_for("json").loads(zlib.compress(b"\xff"), 24)


@every_one
def test_a_bomb_is_refused(name, codec, bit):
    bomb, flags = serde_for(name, Compression(codec)).dumps(bytes(MB))
    careful = serde_for(name, Compression(codec, limit=1000))
    with pytest.raises(UnreadableValue, match="more than 1000 bytes: raise max_decompressed"):
        careful.loads(bomb, flags)


@pytest.mark.parametrize("codec", ["zlib", "zstd"])
def test_a_bomb_does_not_explode(codec):
    """Reading stops at the limit: it does not look afterwards how much there was."""
    bomb, flags = serde_for("json", Compression(codec)).dumps(bytes(16 * MB))
    careful = serde_for("json", Compression(codec, limit=100_000))
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableValue):
            careful.loads(bomb, flags)
        assert tracemalloc.get_traced_memory()[1] < MB
    finally:
        tracemalloc.stop()


@every_one
def test_the_limit_itself_is_allowed_and_nothing_is_stored_that_is_over_it(name, codec, bit):
    serde = serde_for(name, Compression(codec, limit=5000))
    data, flags = serde.dumps(bytes(5000))
    assert flags & bit
    assert serde.loads(data, flags) == bytes(5000)
    assert serde.dumps(bytes(5001)) == serde_for(name).dumps(bytes(5001))


def test_a_frame_of_zstd_may_have_its_magic_number_or_not_for_meta_memcache():
    serde = serde_for("meta-memcache", Compression("zstd"))
    data, flags = serde.dumps(LONG)
    assert serde.loads(b"\x28\xb5\x2f\xfd" + data, flags) == LONG


class Odd:
    def __init__(self, result):
        self.result = result

    def compress(self, data, /):
        return self.result

    def decompress(self, data, limit, /):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_a_codec_that_does_not_return_bytes_stores_and_reads_nothing():
    serde = serde_for("json", Compression(Odd("text")))
    with pytest.raises(NotSerializable, match="compress returns bytes, not str"):
        serde.dumps(LONG)
    with pytest.raises(UnreadableValue, match="decompress returns bytes, not str"):
        serde.loads(b"x", 16 | CUSTOM)


def test_a_codec_that_fails_makes_a_value_unreadable_unless_memory_is_short():
    with pytest.raises(UnreadableValue, match="no such thing"):
        serde_for("json", Compression(Odd(KeyError("no such thing")))).loads(b"x", CUSTOM)
    with pytest.raises(MemoryError):
        serde_for("json", Compression(Odd(MemoryError()))).loads(b"x", CUSTOM)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compress": "zlip"}, "did you mean 'zlib'"),
        ({"compress": "gzip"}, "'zlib', 'zstd', None"),
        ({"compress": zlib}, "an object with"),
        ({"compress": Bz2}, "an object with"),
        ({"compress": 6}, "an object with"),
        ({"compress": "zlib", "compress_min": -1}, "compress_min=-1"),
        ({"compress": "zlib", "compress_min": 1.5}, "compress_min=1.5"),
        ({"compress": "zlib", "max_decompressed": 0}, "max_decompressed=0"),
        ({"compress": "zlib", "compress_level": 10}, "zlib has 1 to 9"),
        ({"compress": "zlib", "compress_level": True}, "zlib has 1 to 9"),
        ({"compress": "zstd", "compress_level": 23}, "zstd has .* to 22"),
        ({"compress_level": 3}, "compress_level is for"),
        ({"compress": Bz2(), "compress_level": 3}, "compress_level is for"),
        ({"compress": "zlib", "serde": "raw"}, "'raw' has none"),
        ({"compress": "zlib", "serde": serde_for("json")}, "or compress in its dumps"),
        ({"compress": "zstd", "serde": "pymemcache"}, "not known to the clients"),
        ({"compress": "zstd", "serde": "django"}, "serde='json', 'pickle', 'meta-memcache'"),
    ],
)
def test_what_does_not_fit_together_is_refused_at_once(options, says):
    with pytest.raises(ConfigurationError, match=says):
        ClientOptions(**options)


def test_compression_can_be_said_in_a_url():
    options = with_url_options(
        ClientOptions(),
        {
            "serde": "pymemcache",
            "compress": "zlib",
            "compress_min": "10",
            "compress_level": "9",
            "max_decompressed": "100",
        },
    )
    serde = options.serialisation()
    assert serde.dumps("a" * 100)[1] == 24
    assert serde.dumps("a" * 101)[1] == 16
    assert with_url_options(options, {"compress": "none"}) == (
        ClientOptions(serde="pymemcache", max_decompressed=100)
    )


@pytest.fixture
def without_zstd(monkeypatch):
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    compression.zstd.cache_clear()
    yield
    compression.zstd.cache_clear()


def test_zstd_is_missed_when_a_client_is_made(without_zstd):
    with pytest.raises(ConfigurationError, match=r"pip install 'cenote\[zstd\]'"):
        ClientOptions(compress="zstd")
    with pytest.raises(ConfigurationError, match=r"pip install 'cenote\[zstd\]'"):
        ClientOptions(compress="zstd", compress_level=3)


def test_what_zstd_has_compressed_is_unreadable_without_it(without_zstd):
    with pytest.raises(UnreadableValue, match=r"pip install 'cenote\[zstd\]'"):
        serde_for("json").loads(b"x", ZSTD)


@pytest.mark.parametrize("name", DIALECTS)
def test_nothing_else_needs_zstd(without_zstd, name):
    serde = serde_for(name, Compression("zlib"))
    assert serde.loads(*serde.dumps(LONG)) == LONG
