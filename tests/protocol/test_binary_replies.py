"""What frames mean, and which of them are not believed."""

from __future__ import annotations

import pytest

from cenote.errors import (
    AuthenticationFailed,
    ClientError,
    OutOfMemory,
    ProtocolError,
    ServerError,
    UnknownCommand,
    ValueTooLarge,
)
from cenote.protocol import frames as f
from cenote.protocol.replies import (
    DELETED,
    EXISTS,
    NOT_FOUND,
    NOT_STORED,
    OK,
    STORED,
    TOUCHED,
    SaslReply,
)
from tests.protocol.binary_conversations import encoders_of, frame, pinned

FLAGS = b"\0\0\0\x10"
ITEM = frame(f.GETK, 5, 0, b"k", FLAGS, b"value", 9)
MAKERS = {
    "get": lambda p: p.get(b"k"),
    "gets": lambda p: p.gets(b"k"),
    "get_many": lambda p: p.get_many([b"k", b"l", b"k"]),
    "set": lambda p: p.store("set", b"k", b"v", 0, 0),
    "add": lambda p: p.store("add", b"k", b"v", 0, 0),
    "replace": lambda p: p.store("replace", b"k", b"v", 0, 0),
    "append": lambda p: p.store("append", b"k", b"v", 0, 0),
    "cas": lambda p: p.cas(b"k", b"v", 0, 0, 7),
    "delete": lambda p: p.delete(b"k"),
    "touch": lambda p: p.touch(b"k", 9),
    "incr": lambda p: p.incr(b"k", 1),
    "flush_all": lambda p: p.flush_all(),
    "version": lambda p: p.version(),
    "stats": lambda p: p.stats(),
    "sasl": lambda p: p.sasl_auth("PLAIN", b""),
    "set_many": lambda p: p.set_many([(b"k", b"", 0), (b"l", b"", 0)], 0),
}
OPCODES = {
    "get": f.GETK,
    "gets": f.GETK,
    "set": f.SET,
    "add": f.ADD,
    "replace": f.REPLACE,
    "append": f.APPEND,
    "cas": f.SET,
    "delete": f.DELETE,
    "touch": f.TOUCH,
    "incr": f.INCR,
    "flush_all": f.FLUSH,
    "version": f.VERSION,
    "stats": f.STAT,
    "sasl": f.SASL_AUTH,
}


@pytest.fixture
def ask(codec):
    """A parser that expects a request with the opaques 5, 6..."""

    def asked(verb, **options):
        parser = codec.ReplyParser(**options)
        parser.expect(pinned(codec, MAKERS[verb](encoders_of(codec)), 5))
        return parser

    return asked


@pytest.mark.parametrize(
    ("verb", "status", "reply"),
    [
        ("set", 0, STORED),
        ("add", 0, STORED),
        ("add", 2, NOT_STORED),
        ("replace", 1, NOT_STORED),
        ("append", 5, NOT_STORED),
        ("cas", 0, STORED),
        ("cas", 1, NOT_FOUND),
        ("cas", 2, EXISTS),
        ("delete", 0, DELETED),
        ("delete", 1, NOT_FOUND),
        ("touch", 0, TOUCHED),
        ("touch", 1, NOT_FOUND),
        ("flush_all", 0, OK),
        ("get", 1, None),
        ("incr", 1, None),
        ("sasl", 0, SaslReply("done", b"")),
        ("sasl", 0x21, SaslReply("more", b"")),
        ("sasl", 0x20, SaslReply("refused", b"")),
    ],
)
def test_a_status_says_what_the_text_protocols_say_in_words(ask, verb, status, reply):
    parser = ask(verb)
    assert parser.feed(frame(OPCODES[verb], 5, status)) == [reply]
    assert parser.clean


@pytest.mark.parametrize(
    ("verb", "status", "error", "goes_on"),
    [
        ("set", f.E2BIG, ValueTooLarge, True),
        ("set", f.ENOMEM, OutOfMemory, True),
        ("get", f.ENOMEM, OutOfMemory, True),
        ("incr", f.DELTA_BADVAL, ClientError, True),
        ("get", 0x85, ServerError, True),
        ("get", 0x86, ServerError, True),
        ("get", 0x84, ServerError, True),
        ("get", 0x07, ServerError, True),
        ("get", 0x7777, ServerError, True),
        ("stats", f.KEY_ENOENT, UnknownCommand, True),
        ("get", f.EINVAL, ClientError, False),
        ("get", f.UNKNOWN_COMMAND, UnknownCommand, False),
        ("get", f.NOT_SUPPORTED, UnknownCommand, False),
        ("get", f.AUTH_ERROR, AuthenticationFailed, False),
    ],
)
def test_a_status_stands_for_an_error(ask, verb, status, error, goes_on):
    parser = ask(verb)
    [reply] = parser.feed(frame(OPCODES[verb], 5, status, value=b"Some words."))
    assert type(reply) is error
    assert "some words" in str(reply) or error is AuthenticationFailed
    assert verb in str(reply)
    assert parser.usable is goes_on


def test_a_server_that_wants_credentials_says_what_to_give(ask):
    [error] = ask("get").feed(frame(f.GETK, 5, f.AUTH_ERROR, value=b"Auth failure."))
    assert isinstance(error, PermissionError)
    assert "give username= and password=" in str(error)


def test_an_item_has_its_cas_only_if_that_was_asked_for(ask):
    assert ask("get").feed(ITEM) == [(b"value", 16, 0)]
    assert ask("gets").feed(ITEM) == [(b"value", 16, 9)]


def test_values_may_look_like_frames(ask):
    value = frame(f.NOOP, 5) + ITEM
    assert ask("get").feed(frame(f.GETK, 5, 0, b"k", FLAGS, value)) == [(value, 16, 0)]


@pytest.mark.parametrize(
    "reply",
    {
        "another opcode": frame(f.GATK, 5, 0, b"k", FLAGS, b"value"),
        "another opaque": frame(f.GETK, 6, 0, b"k", FLAGS, b"value"),
        "another key": frame(f.GETK, 5, 0, b"l", FLAGS, b"value"),
        "a longer key": frame(f.GETK, 5, 0, b"kk", FLAGS, b"value"),
        "no key": frame(f.GETK, 5, 0, b"", FLAGS, b"value"),
        "a miss of another key": frame(f.GETK, 5, 1, b"l"),
        "no flags": frame(f.GETK, 5, 0, b"k", b"", b"value"),
        "too many flags": frame(f.GETK, 5, 0, b"k", FLAGS * 2, b"value"),
        "a request": frame(f.GETK, 5, 0, b"k", FLAGS, b"value", magic=0x80),
        "another data type": ITEM[:5] + b"\1" + ITEM[6:],
        "parts longer than the body": ITEM[:8] + b"\0\0\0\4" + ITEM[12:],
        "text": b"VALUE k 0 5\r\nvalue\r\nEND\r\n",
        "the fence of a batch": frame(f.NOOP, 5),
    }.items(),
    ids=lambda named: named[0],
)
def test_what_does_not_answer_the_request_is_not_believed(ask, reply):
    parser = ask("get")
    with pytest.raises(ProtocolError, match="get: the server sent"):
        parser.feed(reply[1])
    assert not parser.usable


@pytest.mark.parametrize("verb", sorted(OPCODES))
def test_no_reply_is_believed_with_the_opaque_of_another_request(ask, verb):
    with pytest.raises(ProtocolError):
        ask(verb).feed(frame(OPCODES[verb], 4))


def test_a_long_value_is_refused_by_its_header_alone(ask):
    header = frame(f.GETK, 5, 0, b"k", FLAGS, bytes(101))[:24]
    with pytest.raises(ProtocolError, match="longer than"):
        ask("get", max_value=100).feed(header)
    assert ask("get", max_value=101).feed(header) == []
    with pytest.raises(ProtocolError, match="longer than"):
        ask("version").feed(frame(f.VERSION, 5, value=bytes(70_000))[:24])


@pytest.mark.parametrize("value", [b"", b"7", b"\0" * 9])
def test_a_number_has_64_bits(ask, value):
    with pytest.raises(ProtocolError, match="no number"):
        ask("incr").feed(frame(f.INCR, 5, value=value))


def test_a_word_where_none_is_due_is_not_believed(ask):
    for verb in ("set", "flush_all", "delete"):
        with pytest.raises(ProtocolError, match="where there is none"):
            ask(verb).feed(frame(OPCODES[verb], 5, value=b"OK"))


def test_statistics_end_with_an_empty_frame(ask):
    stats = frame(f.STAT, 5, 0, b"pid", b"", b"7") + frame(f.STAT, 5, 0, b"empty")
    assert ask("stats").feed(stats) == []
    assert ask("stats").feed(stats + frame(f.STAT, 5)) == [{"pid": "7", "empty": ""}]


# Runs.


def found(index: int, key: bytes, value: bytes = b"") -> bytes:
    return frame(f.GETKQ, 5 + index, 0, key, FLAGS, value)


FENCE = frame(f.NOOP, 8)


def test_items_are_those_that_came_before_the_fence(ask):
    assert ask("get_many").feed(FENCE) == [{}]
    assert ask("get_many").feed(found(1, b"l", b"2") + FENCE) == [{b"l": (b"2", 16, 0)}]
    both = found(0, b"k", b"1") + found(2, b"k", b"3") + FENCE
    assert ask("get_many").feed(both) == [{b"k": (b"3", 16, 0)}]


@pytest.mark.parametrize(
    "reply",
    {
        "backwards": found(1, b"l") + found(0, b"k"),
        "twice": found(0, b"k") + found(0, b"k"),
        "the key of another place": found(0, b"l"),
        "beyond the run": found(3, b"k"),
        "before the run": found(-1, b"k"),
        "not of the run": frame(f.GETK, 5, 0, b"k", FLAGS),
        "a fence in the middle": frame(f.NOOP, 6),
        "a fence with words": frame(f.NOOP, 8, value=b"x"),
    }.items(),
    ids=lambda named: named[0],
)
def test_a_run_is_answered_in_its_order_each_key_once(ask, reply):
    with pytest.raises(ProtocolError):
        ask("get_many").feed(reply[1])


def test_an_error_within_a_run_fails_it_and_leaves_the_connection_good(ask):
    parser = ask("get_many")
    busy = frame(f.GETKQ, 6, 0x85, value=b"busy")
    [error] = parser.feed(found(0, b"k") + busy + found(2, b"k") + FENCE)
    assert type(error) is ServerError
    assert parser.clean


def test_an_error_behind_which_nothing_comes_ends_a_run_at_once(ask):
    parser = ask("get_many")
    [error] = parser.feed(frame(f.GETKQ, 5, f.AUTH_ERROR))
    assert type(error) is AuthenticationFailed
    assert not parser.usable


def test_failures_of_a_batch_name_their_item(ask):
    parser = ask("set_many")
    [batch] = parser.feed(
        frame(f.SETQ, 5, f.E2BIG) + frame(f.SETQ, 6, f.KEY_EEXISTS) + frame(f.NOOP, 7)
    )
    assert type(batch.failures.pop(0)) is ValueTooLarge
    assert batch.failures == {1: NOT_STORED}
    assert batch.unplaced == []
    assert parser.clean


def test_a_large_value_is_received_in_place(ask):
    parser = ask("get")
    value = bytes(range(256)) * 1000
    reply = frame(f.GETK, 5, 0, b"k", FLAGS, value)
    assert parser.feed(reply[:40]) == []
    rest = reply[40:]
    room = parser.get_buffer(-1)
    assert len(room) == len(rest)
    room[:] = rest
    del room
    assert parser.buffer_updated(len(rest)) == [(value, 16, 0)]
    assert parser.clean
