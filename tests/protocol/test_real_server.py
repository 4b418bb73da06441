"""Every command against a real memcached, and the replies that put a naive client out of step."""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, ServerError, UnknownCommand, ValueTooLarge
from cenote.protocol.replies import BatchReply, MetaReply, Status

TOO_LARGE = b"x" * 1_100_000


def store(codec, wire, key, value, flags=0):
    assert wire.ask(codec.store("set", key, value, flags, 0)) == [Status.STORED]


# The command set.


def test_items_are_stored_read_and_deleted(codec, wire):
    store(codec, wire, b"k", b"value", 7)
    assert wire.ask(codec.get(b"k"), codec.get(b"none")) == [(b"value", 7, 0), None]
    assert wire.ask(codec.gat(b"k", 60), codec.gat(b"none", 60)) == [(b"value", 7, 0), None]
    assert wire.ask(codec.touch(b"k", 60)) == [Status.TOUCHED]
    assert wire.ask(codec.delete(b"k")) == [Status.DELETED]
    assert wire.ask(codec.delete(b"k"), codec.touch(b"k", 60)) == [Status.NOT_FOUND] * 2


def test_storage_commands_depend_on_what_is_there(codec, wire):
    asked = [
        codec.store(verb, b"k", b"1", 0, 0) for verb in ("replace", "append", "prepend", "add")
    ]
    assert wire.ask(*asked) == [Status.NOT_STORED] * 3 + [Status.STORED]
    assert wire.ask(codec.store("add", b"k", b"1", 0, 0)) == [Status.NOT_STORED]
    wire.ask(codec.store("append", b"k", b"2", 0, 0), codec.store("prepend", b"k", b"0", 0, 0))
    assert wire.ask(codec.get(b"k")) == [(b"012", 0, 0)]


def test_cas_stores_only_what_nobody_changed(codec, wire):
    store(codec, wire, b"k", b"1")
    [(value, flags, token)] = wire.ask(codec.gets(b"k"))
    assert (value, flags) == (b"1", 0)
    assert wire.ask(codec.cas(b"k", b"2", 3, 0, token)) == [Status.STORED]
    assert wire.ask(codec.cas(b"k", b"3", 3, 0, token)) == [Status.EXISTS]
    assert wire.ask(codec.gats(b"k", 60))[0][:2] == (b"2", 3)


def test_cas_knows_a_missing_item_from_a_changed_one(codec, wire):
    """Token 0 is a token like any other in the text protocol."""
    assert wire.ask(codec.cas(b"none", b"1", 0, 0, 0)) == [Status.NOT_FOUND]
    store(codec, wire, b"k", b"1")
    assert wire.ask(codec.cas(b"k", b"1", 0, 0, 0)) == [Status.EXISTS]


def test_many_items_come_in_one_reply(codec, wire):
    keys = [b"key:%d" % index for index in range(1000)]
    wire.ask(codec.set_many([(key, key, 5) for key in keys[::2]], 0, meta=True))
    expected = {key: (key, 5, 0) for key in keys[::2]}
    assert wire.ask(codec.get_many(keys), codec.gat_many(keys, 60)) == [expected, expected]
    [with_cas] = wire.ask(codec.gets_many([*keys, keys[0]]))
    assert {key: item[:2] for key, item in with_cas.items()} == {key: (key, 5) for key in expected}
    assert all(item[2] > 0 for item in with_cas.values())
    assert wire.ask(codec.gats_many(keys[1::2], 60)) == [{}]


def test_the_longest_keys_fill_their_lines(codec, wire):
    keys = [b"%04d" % index + b"k" * 246 for index in range(100)]
    wire.ask(codec.set_many([(key, b"v", 0) for key in keys], 0, meta=False))
    for request in (codec.get_many(keys), codec.gat_many(keys, 60)):
        assert request.count > 1
        assert wire.ask(request) == [dict.fromkeys(keys, (b"v", 0, 0))]


def test_a_value_comes_back_bit_for_bit(codec, wire):
    for value in (b"", b"END\r\n", b"\r\n", bytes(range(256)) * 4000, b"x" * 4096):
        store(codec, wire, b"k", value)
        assert wire.ask(codec.get(b"k")) == [(value, 0, 0)]
        assert wire.ask(codec.get_many([b"k"])) == [{b"k": (value, 0, 0)}]
        assert wire.ask(codec.meta_get(b"k", b"v")) == [MetaReply("VA", value, {})]


def test_the_server_is_asked_about_itself(codec, wire):
    [version] = wire.ask(codec.version())
    assert version.split(".")[0] == "1"
    [stats, settings] = wire.ask(codec.stats(), codec.stats("settings"))
    assert stats["version"] == version
    assert int(stats["pid"]) > 0
    assert settings["num_threads"] == "1"
    for args in (["items"], ["slabs"], ["sizes"], ["conns"], ["reset"], ["detail", "on"]):
        assert isinstance(wire.ask(codec.stats(*args))[0], dict)
    wire.ask(codec.get(b"a:b"))
    assert list(wire.ask(codec.stats("detail", "dump"))[0]) == ["a"]
    assert wire.ask(codec.stats("detail", "off")) == [{}]
    assert type(wire.ask(codec.stats("nonsense"))[0]) is UnknownCommand
    assert wire.parser.clean


def test_the_server_is_told_how_to_run(codec, wire):
    assert wire.ask(codec.verbosity(0), codec.cache_memlimit(64)) == [Status.OK] * 2
    assert wire.ask(codec.flush_all(3600), codec.flush_all()) == [Status.OK] * 2
    assert wire.ask(codec.command("lru mode segmented")) == [["OK"]]
    store(codec, wire, b"k", b"1")
    [lines] = wire.ask(codec.command("lru_crawler metadump all", multiline=True))
    assert "key=k" in [line.split(" ")[0] for line in lines]


def test_a_refused_admin_command_is_an_error(codec, wire):
    assert type(wire.ask(codec.config_get("cluster"))[0]) is UnknownCommand
    assert wire.parser.clean
    [error] = wire.ask(codec.cache_memlimit(1))
    assert "MEMLIMIT_TOO_SMALL" in str(error)


# Counters.


def test_counters_wrap_at_64_bits_and_stop_at_zero(codec, wire):
    store(codec, wire, b"n", b"%d" % (2**64 - 1))
    assert wire.ask(codec.incr(b"n", 1), codec.decr(b"n", 1)) == [0, 0]
    assert wire.ask(codec.incr(b"none", 1), codec.decr(b"none", 1)) == [None, None]


def test_a_shorter_number_is_padded_in_the_item_and_not_in_the_reply(codec, wire):
    store(codec, wire, b"n", b"10")
    assert wire.ask(codec.decr(b"n", 1), codec.get(b"n")) == [9, (b"9 ", 0, 0)]


def test_what_is_no_number_can_not_be_counted_and_the_connection_stays(codec, wire):
    store(codec, wire, b"k", b"text")
    for request in (codec.incr(b"k", 1), codec.meta_arithmetic(b"k", b"v")):
        [error] = wire.ask(request)
        assert type(error) is ClientError
        assert "non-numeric" in str(error)
        assert wire.parser.clean


# Meta commands.


def test_meta_commands_cover_the_life_of_an_item(codec, wire):
    assert wire.ask(codec.meta_set(b"k", b"1", b"F7 T60 O1 k")) == [
        MetaReply("HD", None, {"O": b"1", "k": b"k"})
    ]
    [hit] = wire.ask(codec.meta_get(b"k", b"v f t s k O9"))
    assert hit.value == b"1"
    assert hit.flags["f"] == b"7"
    assert wire.ask(codec.meta_set(b"k", b"1", b"ME O2")) == [MetaReply("NS", None, {"O": b"2"})]
    assert wire.ask(codec.meta_arithmetic(b"k", b"v D5 O3")) == [MetaReply("VA", b"6", {"O": b"3"})]
    [debug] = wire.ask(codec.meta_debug(b"k"))
    assert debug.status == "ME"
    assert debug.flags["size"].isdigit()
    assert wire.ask(codec.meta_delete(b"k", b"O4"), codec.meta_delete(b"k", b"O5")) == [
        MetaReply("HD", None, {"O": b"4"}),
        MetaReply("NF", None, {"O": b"5"}),
    ]
    assert wire.ask(codec.meta_debug(b"k"), codec.meta_noop()) == [
        MetaReply("EN", None, {}),
        MetaReply("MN", None, {}),
    ]


def test_a_stale_item_is_won_once(codec, wire):
    wire.ask(codec.meta_set(b"k", b"old"), codec.meta_delete(b"k", b"I T30"))
    winner, loser = wire.ask(codec.meta_get(b"k", b"v"), codec.meta_get(b"k", b"v"))
    assert winner == MetaReply("VA", b"old", {"W": b"", "X": b""})
    assert loser == MetaReply("VA", b"old", {"X": b"", "Z": b""})


def test_a_vivified_item_is_an_empty_value(codec, wire):
    assert wire.ask(codec.meta_get(b"k", b"v N30")) == [MetaReply("VA", b"", {"W": b""})]


def test_a_cas_that_lost_is_told_apart_from_a_missing_item(codec, wire):
    store(codec, wire, b"k", b"1")
    lost, missing = wire.ask(
        codec.meta_set(b"k", b"2", b"C999999 O1"), codec.meta_set(b"none", b"2", b"C1 O2")
    )
    assert (lost.status, missing.status) == ("EX", "NF")


def test_a_miss_repeats_what_was_asked_or_nothing(codec, wire):
    [miss] = wire.ask(codec.meta_get(b"none", b"v O123 k"))
    assert miss == MetaReply("EN", None, {"O": b"123", "k": b"none"})


def test_a_key_stored_as_base64_is_the_same_item_without(codec, wire):
    wire.ask(codec.meta_set(b"Zm9v", b"1", b"b"))
    [raw, encoded, classic] = wire.ask(
        codec.meta_get(b"foo", b"v k"), codec.meta_get(b"Zm9v", b"v k b"), codec.get(b"foo")
    )
    assert raw.flags == {"k": b"Zm9v", "b": b""}
    assert encoded.value == raw.value == b"1"
    assert classic == (b"1", 0, 0)
    store(codec, wire, b"bar", b"2")
    assert wire.ask(codec.meta_get(b"YmFy", b"v k b"))[0].value == b"2"
    assert wire.ask(codec.meta_debug(b"foo"))[0].status == "ME"


def test_a_flag_this_server_does_not_know_is_refused_in_one_line(codec, wire):
    [error] = wire.ask(codec.meta_delete(b"k", b"!"))
    assert type(error) is ClientError
    assert wire.parser.clean
    assert wire.ask(codec.meta_noop())[0].status == "MN"


# Batches.


def test_batches_tell_what_failed(codec, wire):
    items = [(b"a", b"1", 0), (b"b", b"2", 16)]
    for meta in (True, False):
        assert wire.ask(codec.set_many(items, 60, meta=meta)) == [BatchReply()]
        [reply] = wire.ask(codec.delete_many([b"a", b"none", b"b", b"b"], meta=meta))
        assert reply.failures == {1: Status.NOT_FOUND, 3: Status.NOT_FOUND}


def test_a_value_too_large_in_a_quiet_run_is_answered_despite_q(codec, wire):
    """Its line names no item: sent again one by one, each has its answer."""
    items = [(b"a", b"1", 0), (b"b", TOO_LARGE, 0), (b"c", b"3", 0)]
    [reply] = wire.ask(codec.set_many(items, 0, meta=True))
    assert reply.failures == {}
    assert [type(error) for error in reply.unplaced] == [ValueTooLarge]
    [reply] = wire.ask(codec.set_many(items, 0, meta=True, quiet=False))
    assert {index: type(error) for index, error in reply.failures.items()} == {1: ValueTooLarge}
    assert wire.parser.clean
    assert wire.ask(codec.get_many([b"a", b"b", b"c"])) == [
        {b"a": (b"1", 0, 0), b"c": (b"3", 0, 0)}
    ]


def test_a_quiet_request_is_answered_by_its_fence(codec, wire):
    assert wire.ask(codec.quiet(codec.meta_set(b"n", b"5"))) == [BatchReply()]
    assert wire.ask(codec.quiet(codec.meta_arithmetic(b"n", b"D2"))) == [BatchReply()]
    assert wire.ask(codec.get(b"n")) == [(b"7", 0, 0)]
    assert wire.ask(codec.quiet(codec.meta_delete(b"n"))) == [BatchReply()]
    [reply] = wire.ask(codec.quiet(codec.meta_delete(b"n")))
    assert reply.failures == {0: Status.NOT_FOUND}


# Replies that put a naive client out of step.


def test_a_value_too_large_is_an_error_and_the_connection_stays(codec, wire):
    for request in (
        codec.store("set", b"k", TOO_LARGE, 0, 0),
        codec.cas(b"k", TOO_LARGE, 0, 0, 1),
        codec.meta_set(b"k", TOO_LARGE, b"O1 k"),
    ):
        [error] = wire.ask(request)
        assert type(error) is ValueTooLarge
        assert "1100000 bytes were sent for 'k'" in str(error)
        assert wire.parser.clean
    assert wire.ask(codec.version())


def test_a_key_too_long_is_answered_twice_and_never_trusted(codec, wire):
    """The data block is run as a command: the second line answers that."""
    [error] = wire.ask(codec.store("set", b"k" * 251, b"verbosity 0", 0, 0))
    assert type(error) is ClientError
    assert not wire.parser.usable


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b"set k 0 0 3\r\nabcdef\r\n", [b"CLIENT_ERROR bad data chunk", b"ERROR"]),
        (b"set a b 0 0 3\r\nabc\r\n", [b"CLIENT_ERROR bad command line format", b"ERROR"]),
        (b"set k -1 0 3\r\nabc\r\n", [b"CLIENT_ERROR bad command line format", b"ERROR"]),
        (b"ms k b 3\r\nabc\r\n", [b"CLIENT_ERROR bad command line format", b"ERROR"]),
    ],
)
def test_two_lines_of_refusal_are_one_error_and_the_end_of_trust(codec, wire, sent, lines):
    """What the real server sends, fed as the answer to a set with a get behind it."""
    answer = wire.raw(sent, 2)
    assert answer == lines
    parser = codec.ReplyParser()
    parser.expect(codec.store("set", b"k", b"abc", 0, 0))
    parser.expect(codec.get(b"k"))
    [error] = parser.feed(b"".join([line + b"\r\n" for line in answer]))
    assert type(error) is ClientError
    assert (parser.usable, parser.pending) == (False, 1)


def test_a_value_can_not_smuggle_a_command_past_the_encoder(codec, wire):
    """With a wrong length it would be stored as ``pwned``; with the right one it is data."""
    store(codec, wire, b"k", b"\r\nset pwned 0 0 1\r\nX")
    wire.ask(codec.set_many([(b"k2", b"\r\nset pwned 0 0 1\r\nX\r\nmn\r\n", 0)], 0, meta=True))
    assert wire.ask(codec.get(b"pwned")) == [None]
    assert wire.parser.clean


def test_an_expiry_may_be_in_the_past(codec, wire):
    """Negative, or absolute in 1970: stored, and gone at once."""
    for exptime in (-1, 2_592_001):
        assert wire.ask(codec.store("set", b"k", b"1", 0, exptime)) == [Status.STORED]
        assert wire.ask(codec.get(b"k")) == [None]


def test_flags_are_32_bits(codec, wire):
    store(codec, wire, b"k", b"1", 2**32 - 1)
    assert wire.ask(codec.get(b"k")) == [(b"1", 2**32 - 1, 0)]


def test_append_keeps_the_old_flags(codec, wire):
    store(codec, wire, b"k", b"1", 5)
    wire.ask(codec.store("append", b"k", b"2", 9, 0))
    assert wire.ask(codec.get(b"k")) == [(b"12", 5, 0)]


def test_a_thousand_requests_in_one_write_are_answered_in_order(codec, wire):
    requests = [codec.meta_set(b"k:%d" % n, b"%d" % n, b"O%d" % n) for n in range(500)]
    requests += [codec.get(b"k:%d" % n) for n in range(500)]
    replies = wire.ask(*requests)
    assert [reply.flags["O"] for reply in replies[:500]] == [b"%d" % n for n in range(500)]
    assert replies[500:] == [(b"%d" % n, 0, 0) for n in range(500)]


def test_too_many_connections_is_an_error_of_the_first_request(codec, answer):
    error = answer(codec.meta_noop(), b"ERROR Too many open connections\r\n")
    assert type(error) is ServerError
    assert "Too many open connections" in str(error)
