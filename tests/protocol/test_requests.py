"""Encoders: each command's bytes, what its request says about itself, and what is refused."""

from __future__ import annotations

import pytest

from cenote.errors import InvalidArgument

REQUESTS = [
    (lambda p: p.get(b"k"), b"get k\r\n"),
    (lambda p: p.gets(b"k"), b"gets k\r\n"),
    (lambda p: p.gat(b"k", 60), b"gat 60 k\r\n"),
    (lambda p: p.gat(b"k", -1), b"gat -1 k\r\n"),
    (lambda p: p.gats(b"k", 0), b"gats 0 k\r\n"),
    (lambda p: p.get_many([b"a", b"b"]), b"get a b\r\n"),
    (lambda p: p.gets_many((b"a",)), b"gets a\r\n"),
    (lambda p: p.gat_many([b"a", b"b"], 9), b"gat 9 a b\r\n"),
    (lambda p: p.gats_many([b"a", b"b"], -9), b"gats -9 a b\r\n"),
    (lambda p: p.store("set", b"k", b"abc", 7, 60), b"set k 7 60 3\r\nabc\r\n"),
    (lambda p: p.store("add", b"k", b"", 0, 0), b"add k 0 0 0\r\n\r\n"),
    (lambda p: p.store("replace", b"k", b"\r\n", 0, -1), b"replace k 0 -1 2\r\n\r\n\r\n"),
    (lambda p: p.store("append", b"k", b"x", 0, 0), b"append k 0 0 1\r\nx\r\n"),
    (lambda p: p.store("prepend", b"k", b"x", 0, 0), b"prepend k 0 0 1\r\nx\r\n"),
    (
        lambda p: p.store("set", b"k", b"x" * 1000, 2**32 - 1, 2**31 - 1),
        b"set k 4294967295 2147483647 1000\r\n" + b"x" * 1000 + b"\r\n",
    ),
    (
        lambda p: p.cas(b"k", b"abc", 1, -(2**31), 2**64 - 1),
        b"cas k 1 -2147483648 3 18446744073709551615\r\nabc\r\n",
    ),
    (lambda p: p.delete(b"k"), b"delete k\r\n"),
    (lambda p: p.touch(b"k", 10), b"touch k 10\r\n"),
    (lambda p: p.incr(b"k", 2**64 - 1), b"incr k 18446744073709551615\r\n"),
    (lambda p: p.decr(b"k", 0), b"decr k 0\r\n"),
    (lambda p: p.flush_all(), b"flush_all\r\n"),
    (lambda p: p.flush_all(30), b"flush_all 30\r\n"),
    (lambda p: p.version(), b"version\r\n"),
    (lambda p: p.stats(), b"stats\r\n"),
    (lambda p: p.stats("detail", "on"), b"stats detail on\r\n"),
    (lambda p: p.verbosity(1), b"verbosity 1\r\n"),
    (lambda p: p.cache_memlimit(64), b"cache_memlimit 64\r\n"),
    (lambda p: p.config_get("cluster"), b"config get cluster\r\n"),
    (lambda p: p.command("lru_crawler crawl all"), b"lru_crawler crawl all\r\n"),
    (lambda p: p.meta_get(b"k"), b"mg k\r\n"),
    (lambda p: p.meta_get(b"k", b"v f c t"), b"mg k v f c t\r\n"),
    (lambda p: p.meta_set(b"k", b"abc"), b"ms k 3\r\nabc\r\n"),
    (lambda p: p.meta_set(b"k", b"abc", b"T60 F2"), b"ms k 3 T60 F2\r\nabc\r\n"),
    (lambda p: p.meta_delete(b"k", b"I T30"), b"md k I T30\r\n"),
    (lambda p: p.meta_delete(b"k"), b"md k\r\n"),
    (lambda p: p.meta_arithmetic(b"k", b"N0 J5 v"), b"ma k N0 J5 v\r\n"),
    (lambda p: p.meta_debug(b"k"), b"me k\r\n"),
    (lambda p: p.meta_noop(), b"mn\r\n"),
    (
        lambda p: p.set_many([(b"a", b"1", 0), (b"b", b"22", 16)], 0, meta=True),
        b"ms a 1 q O0\r\n1\r\nms b 2 F16 q O1\r\n22\r\nmn\r\n",
    ),
    (
        lambda p: p.set_many([(b"a", b"1", 0), (b"b", b"", 3)], -60, meta=True),
        b"ms a 1 T-60 q O0\r\n1\r\nms b 0 F3 T-60 q O1\r\n\r\nmn\r\n",
    ),
    (
        lambda p: p.set_many([(b"a", b"1", 0), (b"b", b"22", 16)], 60, meta=False),
        b"set a 0 60 1\r\n1\r\nset b 16 60 2\r\n22\r\n",
    ),
    (
        lambda p: p.set_many([(b"a", b"1", 0)], 0, meta=True, quiet=False),
        b"set a 0 0 1\r\n1\r\n",
    ),
    (
        lambda p: p.delete_many([b"a", b"b"], meta=True),
        b"md a q O0\r\nmd b q O1\r\nmn\r\n",
    ),
    (lambda p: p.delete_many([b"a", b"b"], meta=False), b"delete a\r\ndelete b\r\n"),
    (
        lambda p: p.quiet(p.meta_set(b"k", b"a\r\nb", b"T60")),
        b"ms k 4 T60 q O0\r\na\r\nb\r\nmn\r\n",
    ),
    (lambda p: p.quiet(p.meta_delete(b"k")), b"md k q O0\r\nmn\r\n"),
    (lambda p: p.quiet(p.meta_arithmetic(b"k", b"D5")), b"ma k D5 q O0\r\nmn\r\n"),
]


@pytest.mark.parametrize(("encode", "payload"), REQUESTS, ids=[repr(p)[:40] for _, p in REQUESTS])
def test_each_command_is_these_bytes(codec, encode, payload):
    assert encode(codec).payload == payload


@pytest.mark.parametrize("number", [0, 9, 10, 99, 100, 9999, 10000, 99999, 10**9, 2**32 - 1])
def test_numbers_of_every_width_are_written_in_full(codec, number):
    assert codec.store("set", b"k", b"", number, 0).payload == b"set k %d 0 0\r\n\r\n" % number
    assert codec.incr(b"k", number * 2**32).payload == b"incr k %d\r\n" % (number * 2**32)


def test_a_request_tells_what_it_is_about(codec):
    request = codec.get(b"k")
    assert (request.key, request.keys, request.count) == (b"k", None, 1)
    assert request.verb == "get"
    assert "get" in repr(request)
    many = codec.get_many(iter([b"a", b"b", b"a"]))
    assert (many.key, many.keys, many.count) == (None, (b"a", b"b", b"a"), 1)
    assert codec.set_many([(b"a", b"1", 0)] * 3, 0, meta=True).count == 3


@pytest.mark.parametrize(
    ("encode", "idempotent"),
    [
        (lambda p: p.get(b"k"), True),
        (lambda p: p.gat(b"k", 1), True),
        (lambda p: p.get_many([b"k"]), True),
        (lambda p: p.store("set", b"k", b"", 0, 0), True),
        (lambda p: p.store("add", b"k", b"", 0, 0), False),
        (lambda p: p.store("replace", b"k", b"", 0, 0), False),
        (lambda p: p.store("append", b"k", b"", 0, 0), False),
        (lambda p: p.store("prepend", b"k", b"", 0, 0), False),
        (lambda p: p.cas(b"k", b"", 0, 0, 1), False),
        (lambda p: p.delete(b"k"), True),
        (lambda p: p.touch(b"k", 1), True),
        (lambda p: p.incr(b"k", 1), False),
        (lambda p: p.decr(b"k", 1), False),
        (lambda p: p.version(), True),
        (lambda p: p.command("lru_crawler crawl all"), False),
        (lambda p: p.meta_get(b"k", b"v t"), True),
        (lambda p: p.meta_get(b"k", b"v N30"), False),
        (lambda p: p.meta_get(b"k", b"v R30"), False),
        (lambda p: p.meta_set(b"k", b"", b"T1"), True),
        (lambda p: p.meta_set(b"k", b"", b"MS"), True),
        (lambda p: p.meta_set(b"k", b"", b"Mset"), True),
        (lambda p: p.meta_set(b"k", b"", b"ME"), False),
        (lambda p: p.meta_set(b"k", b"", b"Madd"), False),
        (lambda p: p.meta_set(b"k", b"", b"C12"), False),
        (lambda p: p.meta_set(b"k", b"", b"I"), False),
        (lambda p: p.meta_delete(b"k"), True),
        (lambda p: p.meta_delete(b"k", b"C12"), False),
        (lambda p: p.meta_arithmetic(b"k"), False),
        (lambda p: p.set_many([(b"a", b"", 0)], 0, meta=True), True),
        (lambda p: p.delete_many([b"a"], meta=False), True),
        (lambda p: p.quiet(p.meta_set(b"k", b"")), True),
        (lambda p: p.quiet(p.meta_arithmetic(b"k")), False),
    ],
)
def test_only_what_may_be_sent_twice_is_idempotent(codec, encode, idempotent):
    assert encode(codec).idempotent is idempotent


@pytest.mark.parametrize(
    "encode",
    [
        lambda p: p.store("set", b"k", b"", -1, 0),
        lambda p: p.store("set", b"k", b"", 2**32, 0),
        lambda p: p.store("set", b"k", b"", 2**70, 0),
        lambda p: p.store("set", b"k", b"", 0, 2**31),
        lambda p: p.store("set", b"k", b"", 0, -(2**31) - 1),
        lambda p: p.store("set", b"k", b"", 0, -(2**70)),
        lambda p: p.store("incr", b"k", b"", 0, 0),
        lambda p: p.cas(b"k", b"", 0, 0, -1),
        lambda p: p.cas(b"k", b"", 0, 0, 2**64),
        lambda p: p.cas(b"k", b"", -1, 0, 1),
        lambda p: p.gat(b"k", 2**31),
        lambda p: p.gat_many([b"k"], 2**31),
        lambda p: p.touch(b"k", 2**31),
        lambda p: p.incr(b"k", -1),
        lambda p: p.decr(b"k", 2**64),
        lambda p: p.flush_all(-1),
        lambda p: p.flush_all(2**31),
        lambda p: p.verbosity(-1),
        lambda p: p.cache_memlimit(2**32),
        lambda p: p.get_many([]),
        lambda p: p.gat_many([], 0),
        lambda p: p.set_many([], 0, meta=True),
        lambda p: p.set_many([(b"k", b"", -1)], 0, meta=True),
        lambda p: p.set_many([(b"k", b"", 2**32)], 0, meta=False),
        lambda p: p.set_many([(b"k", b"", 0)], 2**31, meta=True),
        lambda p: p.delete_many([], meta=True),
        lambda p: p.stats("a\r\nflush_all"),
        lambda p: p.config_get("cluster\r\n"),
        lambda p: p.command(""),
        lambda p: p.command("flush_all\n"),
        lambda p: p.command("caché"),
        lambda p: p.meta_get(b"k", b"v\r\nflush_all"),
        lambda p: p.meta_get(b"k", b" v"),
        lambda p: p.meta_get(b"k", b"v "),
        lambda p: p.meta_get(b"k", b"v  f"),
        lambda p: p.meta_get(b"k", b"v\tf"),
        lambda p: p.meta_get(b"k", b"\xffv"),
        lambda p: p.meta_get(b"k", b"O\x7f"),
        lambda p: p.meta_set(b"k", b"", b"F1\r\n"),
        lambda p: p.meta_get(b"k", b"v q"),
        lambda p: p.meta_delete(b"k", b"q"),
        lambda p: p.quiet(p.meta_get(b"k")),
        lambda p: p.quiet(p.get(b"k")),
        lambda p: p.quiet(p.meta_arithmetic(b"k", b"v")),
        lambda p: p.quiet(p.meta_set(b"k", b"", b"O1")),
    ],
)
def test_an_argument_that_would_break_the_line_is_refused(codec, encode):
    with pytest.raises(InvalidArgument):
        encode(codec)


@pytest.mark.parametrize(
    "encode",
    [
        lambda p: p.get("k"),
        lambda p: p.get(None),
        lambda p: p.get_many(["k"]),
        lambda p: p.get_many([b"k", None]),
        lambda p: p.delete_many([1], meta=True),
        lambda p: p.store("set", b"k", "text", 0, 0),
        lambda p: p.store("set", b"k", b"", 1.5, 0),
        lambda p: p.store("set", b"k", b"", 0, 1.5),
        lambda p: p.cas(b"k", b"", 0, 0, "1"),
        lambda p: p.incr(b"k", 1.0),
        lambda p: p.set_many([(b"k", b"", 1.5)], 0, meta=True),
        lambda p: p.set_many([(b"k", "text", 0)], 0, meta=True),
        lambda p: p.set_many([(b"k", None, 0)], 0, meta=False),
        lambda p: p.meta_get(b"k", "v"),
    ],
)
def test_an_argument_of_the_wrong_type_is_a_type_error(codec, encode):
    with pytest.raises(TypeError):
        encode(codec)


def test_long_lists_of_keys_are_cut_into_lines_that_every_server_takes(codec):
    """A get line stays within 8 KB; any other within 1,000 bytes, as old servers close at 1,024."""
    keys = [b"key:%d" % index + b"x" * (index % 200) for index in range(500)]
    for request, opening, limit in [
        (codec.get_many(keys), b"get ", 8192),
        (codec.gets_many(keys), b"gets ", 8192),
        (codec.gat_many(keys, 300), b"gat 300 ", 1000),
        (codec.gats_many(keys, 300), b"gats 300 ", 1000),
    ]:
        lines = request.payload.split(b"\r\n")
        assert lines.pop() == b""
        assert len(lines) == request.count > 1
        assert all(line.startswith(opening) and len(line) + 2 <= limit for line in lines)
        assert [key for line in lines for key in line[len(opening) :].split(b" ")] == keys


def test_a_key_as_long_as_keys_get_has_a_line_of_its_own_if_need_be(codec):
    keys = [b"k" * 250] * 9
    assert codec.gat_many(keys, 0).count == 3
    assert codec.gat_many(keys[:3], 0).count == 1


def test_a_retrieval_that_just_fits_is_one_line(codec):
    fits = [b"k" * 250] * 32 + [b"k" * (8192 - 6 - 32 * 251)]
    assert len(codec.get_many(fits).payload) == 8192
    assert codec.get_many(fits).count == 1
    assert codec.get_many([*fits[:-1], fits[-1] + b"k"]).count == 2
