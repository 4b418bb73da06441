"""Replies to classic commands: what each line becomes, and what is refused as the answer to it."""

from __future__ import annotations

import pytest

from cenote.errors import (
    ClientError,
    OutOfMemory,
    ProtocolError,
    ServerError,
    UnknownCommand,
    ValueTooLarge,
)
from cenote.protocol.replies import Status

ITEM = b"VALUE k 7 5\r\nvalue\r\n"
ITEM_WITH_CAS = b"VALUE k 7 5 99\r\nvalue\r\n"


def refused(codec, request, data):
    """Assert that ``data`` breaks the protocol, and for ever."""
    parser = codec.ReplyParser()
    parser.expect(request)
    with pytest.raises(ProtocolError) as caught:
        parser.feed(data)
    assert not parser.usable
    assert not parser.clean
    with pytest.raises(ProtocolError):
        parser.feed(b"END\r\n")
    return str(caught.value)


# Retrieval.


def test_a_hit_is_its_value_its_flags_and_no_cas(codec, answer):
    assert answer(codec.get(b"k"), ITEM + b"END\r\n") == (b"value", 7, 0)
    assert answer(codec.gat(b"k", 60), ITEM + b"END\r\n") == (b"value", 7, 0)


def test_a_hit_of_gets_has_its_cas(codec, answer):
    assert answer(codec.gets(b"k"), ITEM_WITH_CAS + b"END\r\n") == (b"value", 7, 99)
    assert answer(codec.gats(b"k", 60), ITEM_WITH_CAS + b"END\r\n") == (b"value", 7, 99)


def test_a_miss_is_none(codec, answer):
    assert answer(codec.get(b"k"), b"END\r\n") is None
    assert answer(codec.gets(b"k"), b"END\r\n") is None


def test_an_empty_value_is_a_value(codec, answer):
    assert answer(codec.get(b"k"), b"VALUE k 0 0\r\n\r\nEND\r\n") == (b"", 0, 0)


@pytest.mark.parametrize(
    "value", [b"END\r\n", b"\r\nEND\r\n", b"VALUE k 0 1\r\nx\r\n", b"\r\n", b"\0"]
)
def test_a_value_may_look_like_a_reply(codec, answer, value):
    """emcache took the END inside a value for the reply's end."""
    reply = b"VALUE k 0 %d\r\n%b\r\nEND\r\n" % (len(value), value)
    assert answer(codec.get(b"k"), reply) == (value, 0, 0)
    assert answer(codec.get_many([b"k"]), reply) == {b"k": (value, 0, 0)}


def test_numbers_go_up_to_64_bits(codec, answer):
    most = 2**64 - 1
    reply = b"VALUE k %d 1 %d\r\nx\r\nEND\r\n" % (most, most)
    assert answer(codec.gets(b"k"), reply) == (b"x", most, most)


@pytest.mark.parametrize(
    "line",
    [
        b"VALUE other 0 1",
        b"VALUE kk 0 1",
        b"VALUE  0 1",
        b"VALUE k 0",
        b"VALUE k 0 ",
        b"VALUE k  0 1",
        b"VALUE k 0 1 ",
        b"VALUE k 0 1 5",  # a cas that was not asked for
        b"VALUE k -1 1",
        b"VALUE k +1 1",
        b"VALUE k 0 -1",
        b"VALUE k 0 1x",
        b"VALUE k 0x1 1",
        b"VALUE k 1_0 1",
        b"VALUE k \xd9\xa1 1",
        b"VALUE k 18446744073709551616 1",
        b"VALUE k 99999999999999999999 1",
        b"VALUE k 000000000000000000001 1",
        b"VALUE k 0 99999999999",
        b"VALUE k 0 4294967296",
        b"VALUE",
        b"VALUE ",
        b"value k 0 1",
        b"END ",
        b"end",
        b"",
        b"STORED",
        b"HD",
        b"VA 1",
    ],
)
def test_a_header_that_is_not_exactly_right_breaks_the_protocol(codec, line):
    for request in (codec.get(b"k"), codec.get_many([b"k"])):
        refused(codec, request, line + b"\r\nx\r\nEND\r\n")


@pytest.mark.parametrize(
    "line", [b"VALUE k 0 1", b"VALUE k 0 1 -5", b"VALUE k 0 1 18446744073709551616"]
)
def test_gets_insists_on_a_cas(codec, line):
    for request in (codec.gets(b"k"), codec.gets_many([b"k"])):
        refused(codec, request, line + b"\r\nx\r\nEND\r\n")


@pytest.mark.parametrize(
    "data",
    [
        ITEM + ITEM + b"END\r\n",  # one key, two items
        b"VALUE k 0 1\r\nxyEND\r\n",  # longer than announced
        b"VALUE k 0 3\r\nx\r\nEND\r\n",  # shorter than announced
        b"VALUE k 0 1\r\nx\nEND\r\n",
        b"VALUE k 0 1\r\nx\rEND\r\n",
        b"VALUE k 0 0\r\nEND\r\n",
        b"VALUE k 0 1\nx\r\nEND\r\n",
        ITEM + b"END\n",
        b"END\r\nEND\r\n",
    ],
)
def test_an_item_that_is_not_exactly_as_announced_breaks_the_protocol(codec, data):
    refused(codec, codec.get(b"k"), data)


def test_items_come_missing_repeated_and_in_any_order(codec, answer):
    keys = [b"a", b"b", b"c", b"d", b"a"]
    one = b"VALUE %b 0 1\r\n%b\r\n"
    data = b"".join([one % (key, key) for key in (b"d", b"a", b"c", b"a")]) + b"END\r\n"
    expected = {key: (key, 0, 0) for key in (b"d", b"a", b"c")}
    assert answer(codec.get_many(keys), data) == expected


def test_many_items_with_cas(codec, answer):
    data = b"VALUE a 1 1 5\r\nA\r\nVALUE b 2 1 6\r\nB\r\nEND\r\n"
    assert answer(codec.gets_many([b"a", b"b"]), data) == {b"a": (b"A", 1, 5), b"b": (b"B", 2, 6)}


def test_no_item_at_all_is_an_empty_dict(codec, answer):
    assert answer(codec.get_many([b"a", b"b"]), b"END\r\n") == {}


def test_the_item_of_a_key_not_asked_for_breaks_the_protocol(codec):
    message = refused(codec, codec.get_many([b"a", b"b"]), b"VALUE c 0 1\r\nx\r\nEND\r\n")
    assert "not asked for" in message


def test_a_retrieval_in_several_lines_is_one_reply(codec, answer):
    keys = [b"%d" % index + b"k" * 240 for index in range(10)]
    request = codec.gat_many(keys, 0)
    assert request.count == 3
    items = (
        b"VALUE %b 0 1\r\nx\r\nEND\r\n" % keys[0]
        + b"END\r\n"
        + b"VALUE %b 0 1\r\ny\r\nEND\r\n" % keys[9]
    )
    assert answer(request, items) == {keys[0]: (b"x", 0, 0), keys[9]: (b"y", 0, 0)}


def test_an_error_in_one_line_of_several_is_the_reply_after_the_others_came(codec):
    keys = [b"%d" % index + b"k" * 240 for index in range(10)]
    parser = codec.ReplyParser()
    parser.expect(codec.gat_many(keys, 0))
    parser.expect(codec.get(b"k"))
    item = b"VALUE %b 0 1\r\nx\r\nEND\r\n" % keys[0]
    assert parser.feed(item + b"SERVER_ERROR out of memory writing get response\r\n") == []
    error, hit = parser.feed(b"END\r\n" + ITEM + b"END\r\n")
    assert isinstance(error, OutOfMemory)
    assert hit == (b"value", 7, 0)
    assert parser.clean


def test_an_error_behind_an_item_is_not_trusted(codec):
    """The server gave up in the middle of a reply: what it sends next is anyone's guess."""
    for request in (codec.get(b"k"), codec.get_many([b"k"])):
        parser = codec.ReplyParser()
        parser.expect(request)
        [error] = parser.feed(ITEM + b"SERVER_ERROR out of memory writing get response\r\n")
        assert isinstance(error, OutOfMemory)
        assert not parser.usable


# One line.


@pytest.mark.parametrize(
    ("encode", "line", "status"),
    [
        (lambda p: p.store("set", b"k", b"", 0, 0), b"STORED", Status.STORED),
        (lambda p: p.store("add", b"k", b"", 0, 0), b"NOT_STORED", Status.NOT_STORED),
        (lambda p: p.cas(b"k", b"", 0, 0, 1), b"STORED", Status.STORED),
        (lambda p: p.cas(b"k", b"", 0, 0, 1), b"NOT_STORED", Status.NOT_STORED),
        (lambda p: p.cas(b"k", b"", 0, 0, 1), b"EXISTS", Status.EXISTS),
        (lambda p: p.cas(b"k", b"", 0, 0, 1), b"NOT_FOUND", Status.NOT_FOUND),
        (lambda p: p.delete(b"k"), b"DELETED", Status.DELETED),
        (lambda p: p.delete(b"k"), b"NOT_FOUND", Status.NOT_FOUND),
        (lambda p: p.touch(b"k", 0), b"TOUCHED", Status.TOUCHED),
        (lambda p: p.touch(b"k", 0), b"NOT_FOUND", Status.NOT_FOUND),
        (lambda p: p.flush_all(), b"OK", Status.OK),
        (lambda p: p.verbosity(1), b"OK", Status.OK),
        (lambda p: p.cache_memlimit(64), b"OK", Status.OK),
    ],
)
def test_a_one_word_reply_is_its_status(codec, answer, encode, line, status):
    assert answer(encode(codec), line + b"\r\n") is status


@pytest.mark.parametrize(
    ("encode", "line"),
    [
        (lambda p: p.store("set", b"k", b"", 0, 0), b"DELETED"),
        (lambda p: p.store("set", b"k", b"", 0, 0), b"EXISTS"),
        (lambda p: p.store("set", b"k", b"", 0, 0), b"NOT_FOUND"),
        (lambda p: p.store("set", b"k", b"", 0, 0), b"STORED "),
        (lambda p: p.store("set", b"k", b"", 0, 0), b"END"),
        (lambda p: p.cas(b"k", b"", 0, 0, 1), b"OK"),
        (lambda p: p.delete(b"k"), b"STORED"),
        (lambda p: p.delete(b"k"), b"TOUCHED"),
        (lambda p: p.touch(b"k", 0), b"DELETED"),
        (lambda p: p.flush_all(), b"STORED"),
        (lambda p: p.flush_all(), b"NOT_FOUND"),
        (lambda p: p.incr(b"k", 1), b"STORED"),
        (lambda p: p.incr(b"k", 1), b""),
        (lambda p: p.incr(b"k", 1), b"-1"),
        (lambda p: p.incr(b"k", 1), b"1 "),
        (lambda p: p.incr(b"k", 1), b"18446744073709551616"),
        (lambda p: p.incr(b"k", 1), b"000000000000000000001"),
        (lambda p: p.version(), b"OK"),
        (lambda p: p.version(), b"VERSION"),
    ],
)
def test_the_answer_to_another_command_breaks_the_protocol(codec, encode, line):
    """A line that would be fine elsewhere is what a shifted conversation looks like."""
    refused(codec, encode(codec), line + b"\r\n")


def test_a_counter_is_a_number_or_none(codec, answer):
    assert answer(codec.incr(b"k", 1), b"0\r\n") == 0
    assert answer(codec.decr(b"k", 1), b"18446744073709551615\r\n") == 2**64 - 1
    assert answer(codec.incr(b"k", 1), b"NOT_FOUND\r\n") is None


def test_a_version_is_its_text(codec, answer):
    assert answer(codec.version(), b"VERSION 1.6.18\r\n") == "1.6.18"


# Text.


def test_statistics_are_names_and_texts(codec, answer):
    reply = b"STAT pid 5\r\nSTAT version 1.6 a b\r\nSTAT empty \r\nSTAT bare\r\nEND\r\n"
    assert answer(codec.stats(), reply) == {
        "pid": "5",
        "version": "1.6 a b",
        "empty": "",
        "bare": "",
    }


def test_statistics_of_prefixes_and_items_are_read_too(codec, answer):
    reply = b"PREFIX user get 2 hit 1\r\nEND\r\n"
    assert answer(codec.stats("detail", "dump"), reply) == {"user": "get 2 hit 1"}
    reply = b"ITEM k\xff [3 b; 0 s]\r\nEND\r\n"
    assert answer(codec.stats("cachedump", "1", "1"), reply) == {"k\\xff": "[3 b; 0 s]"}


@pytest.mark.parametrize("line", [b"RESET", b"OK", b"END"])
def test_statistics_may_be_none(codec, answer, line):
    assert answer(codec.stats("reset"), line + b"\r\n") == {}


@pytest.mark.parametrize(
    "data",
    [b"STATS a b\r\n", b"STAT a b\r\nRESET\r\n", b"STAT a b\r\nOK\r\n", b"STAT\r\n", b"STAT \r\n"],
)
def test_statistics_hold_nothing_else(codec, data):
    refused(codec, codec.stats(), data)


def test_any_command_is_answered_by_its_line_or_lines(codec, answer):
    assert answer(codec.command("lru mode flat"), b"OK\r\n") == ["OK"]
    dump = b"key=a exp=-1\nkey=b exp=-1\nEND\r\n"
    metadump = codec.command("lru_crawler metadump all", multiline=True)
    assert answer(metadump, dump) == ["key=a exp=-1", "key=b exp=-1"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"ERROR", UnknownCommand),
        (b"ERROR failed to start lru crawler thread", ServerError),
        (b"ERROR: shutdown not enabled", ServerError),
        (b"BUSY currently processing crawler request", ServerError),
        (b"CLIENT_ERROR slab reassignment disabled", ClientError),
        (b"SERVER_ERROR no", ServerError),
    ],
)
def test_a_refused_command_is_an_error_of_one_line(codec, answer, line, error):
    for multiline in (False, True):
        reply = answer(
            codec.command("lru_crawler metadump all", multiline=multiline), line + b"\r\n"
        )
        assert type(reply) is error


def test_a_configuration_is_its_text(codec, answer):
    """ElastiCache ends the block with a line feed of its own: ``\\n\\r\\nEND\\r\\n``."""
    text = b"12\nhost-1|10.0.0.1|11211 host-2|10.0.0.2|11211\n"
    reply = b"CONFIG cluster 0 %d\r\n%b\r\nEND\r\n" % (len(text), text)
    assert answer(codec.config_get("cluster"), reply) == text.decode()


def test_a_configuration_may_not_exist(codec, answer):
    assert answer(codec.config_get("cluster"), b"END\r\n") is None


@pytest.mark.parametrize(
    "data",
    [
        b"CONFIG cluster 0 -1\r\n",
        b"CONFIG cluster 0\r\n",
        b"VALUE cluster 0 1\r\nx\r\nEND\r\n",
        b"CONFIG cluster 0 1\r\nx\r\nCONFIG cluster 0 1\r\nx\r\nEND\r\n",
        b"CONFIG cluster 0 1\r\nxyz\r\nEND\r\n",
        b"CONFIG cluster 0 9999999999\r\n",
    ],
)
def test_a_configuration_that_is_not_exactly_right_breaks_the_protocol(codec, data):
    refused(codec, codec.config_get("cluster"), data)


# Errors.


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"ERROR", UnknownCommand),
        (b"CLIENT_ERROR bad data chunk", ClientError),
        (b"CLIENT_ERROR", ClientError),
        (b"SERVER_ERROR object too large for cache", ValueTooLarge),
        (b"SERVER_ERROR out of memory storing object", OutOfMemory),
        (b"SERVER_ERROR backend failure", ServerError),
        (b"ERROR Too many open connections", ServerError),
    ],
)
def test_an_error_line_is_an_instance_of_its_error(codec, answer, line, error):
    for request in (
        codec.store("set", b"k", b"v", 0, 0),
        codec.get(b"k"),
        codec.get_many([b"k"]),
        codec.incr(b"k", 1),
        codec.delete(b"k"),
        codec.version(),
        codec.stats(),
        codec.config_get("cluster"),
        codec.meta_get(b"k", b"v"),
        codec.meta_set(b"k", b"v"),
        codec.meta_debug(b"k"),
        codec.meta_noop(),
    ):
        reply = answer(request, line + b"\r\n")
        assert type(reply) is error
        assert request.verb in str(reply)


def test_an_error_says_what_the_server_said(codec, answer):
    reply = answer(codec.incr(b"k", 1), b"CLIENT_ERROR cannot increment\xff\r\n")
    assert "cannot increment\\xff" in str(reply)


def test_a_broken_reply_is_shown_in_part(codec):
    message = refused(codec, codec.get(b"k"), b"X" * 100 + b"\r\n")
    assert repr(b"X" * 60) in message
    assert "X" * 61 not in message
    assert message.startswith("get:")
