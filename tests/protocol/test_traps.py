"""Replies that put a naive client out of step, as scripted bytes: who would believe the next line?

Each case sends one request with a ``get`` right behind it, and feeds what servers of several
versions answer. Either the conversation stays in step, and the get has its own answer; or it is at
its end, and the get has none. What no case may do is to answer the get with another's line.
"""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, OutOfMemory, ServerError, UnknownCommand, ValueTooLarge
from cenote.protocol.replies import MetaReply, Status

HIT = b"VALUE next 0 1\r\nN\r\nEND\r\n"
BAD_LINE = b"CLIENT_ERROR bad command line format\r\n"


def converse(codec, request, data):
    """Return the reply to ``request``, and whether the get behind it was answered by its own."""
    parser = codec.ReplyParser()
    parser.expect(request)
    parser.expect(codec.get(b"next"))
    reply, *rest = parser.feed(data + HIT)
    assert rest in ([], [(b"N", 0, 0)])
    assert parser.usable is (rest != [])
    return reply, bool(rest)


IN_STEP = {
    "set of a value too large": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        b"SERVER_ERROR object too large for cache\r\n",
        ValueTooLarge,
    ),
    "out of memory": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        b"SERVER_ERROR out of memory storing object\r\n",
        OutOfMemory,
    ),
    "ms of a value too large": (
        lambda p: p.meta_set(b"k", b"v", b"O1 k"),
        b"SERVER_ERROR object too large for cache\r\n",
        ValueTooLarge,
    ),
    "a proxy without its backend": (
        lambda p: p.get(b"k"),
        b"SERVER_ERROR backend failure\r\n",
        ServerError,
    ),
    "incr of text": (
        lambda p: p.incr(b"k", 1),
        b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        ClientError,
    ),
    "incr by nonsense": (
        lambda p: p.incr(b"k", 1),
        b"CLIENT_ERROR invalid numeric delta argument\r\n",
        ClientError,
    ),
    "touch until nonsense": (
        lambda p: p.touch(b"k", 1),
        b"CLIENT_ERROR invalid exptime argument\r\n",
        ClientError,
    ),
    "mn where meta is unknown": (lambda p: p.meta_noop(), b"ERROR\r\n", UnknownCommand),
    "stats of nonsense": (lambda p: p.stats("x"), b"ERROR\r\n", UnknownCommand),
    "config where it is unknown": (lambda p: p.config_get("cluster"), b"ERROR\r\n", UnknownCommand),
    "md with an unknown flag": (
        lambda p: p.meta_delete(b"k", b"x"),
        b"CLIENT_ERROR invalid or duplicate flag\r\n",
        ClientError,
    ),
    "mg with a flag twice": (
        lambda p: p.meta_get(b"k", b"v v"),
        b"CLIENT_ERROR duplicate flag\r\n",
        ClientError,
    ),
}

OUT_OF_STEP = {
    "a data block of another length": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        b"CLIENT_ERROR bad data chunk\r\nERROR\r\n",
        ClientError,
    ),
    "a key too long in set, before 1.6.45": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        BAD_LINE + b"ERROR\r\n",
        ClientError,
    ),
    "a key too long in set, from 1.6.45": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        BAD_LINE,
        ClientError,
    ),
    "a data block run as commands": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        BAD_LINE + b"STORED\r\n",
        ClientError,
    ),
    "a key too long in get, from 1.6.45": (
        lambda p: p.get(b"k"),
        BAD_LINE + b"\r\n",
        ClientError,
    ),
    "a key too long in get, before 1.6.45": (lambda p: p.get(b"k"), BAD_LINE, ClientError),
    "a key too long in ms": (
        lambda p: p.meta_set(b"k", b"v"),
        BAD_LINE + b"ERROR\r\n",
        ClientError,
    ),
    "ms with an unknown flag": (
        lambda p: p.meta_set(b"k", b"v", b"E1"),
        b"CLIENT_ERROR invalid flag\r\n",
        ClientError,
    ),
    "set where it is unknown": (
        lambda p: p.store("set", b"k", b"v", 0, 0),
        b"ERROR\r\nERROR\r\n",
        UnknownCommand,
    ),
    "cas where it is unknown": (
        lambda p: p.cas(b"k", b"v", 0, 0, 1),
        b"ERROR\r\nERROR\r\n",
        UnknownCommand,
    ),
    "too many connections": (
        lambda p: p.meta_noop(),
        b"ERROR Too many open connections\r\n",
        ServerError,
    ),
    "an error nobody has heard of": (
        lambda p: p.get(b"k"),
        b"CLIENT_ERROR of a new kind\r\n",
        ClientError,
    ),
    "authentication missing": (
        lambda p: p.get(b"k"),
        b"CLIENT_ERROR unauthenticated\r\n",
        ClientError,
    ),
}


@pytest.mark.parametrize("case", IN_STEP)
def test_a_harmless_error_leaves_the_next_request_its_answer(codec, case):
    encode, data, error = IN_STEP[case]
    reply, answered = converse(codec, encode(codec), data)
    assert type(reply) is error
    assert answered


@pytest.mark.parametrize("case", OUT_OF_STEP)
def test_an_error_that_may_be_more_than_a_line_leaves_it_none(codec, case):
    encode, data, error = OUT_OF_STEP[case]
    reply, answered = converse(codec, encode(codec), data)
    assert type(reply) is error
    assert not answered


@pytest.mark.parametrize(
    ("encode", "data", "expected"),
    [
        (lambda p: p.cas(b"k", b"v", 0, 0, 0), b"EXISTS\r\n", Status.EXISTS),
        (lambda p: p.cas(b"k", b"v", 0, 0, 9), b"NOT_FOUND\r\n", Status.NOT_FOUND),
        (lambda p: p.decr(b"k", 1), b"9\r\n", 9),
        (lambda p: p.incr(b"k", 1), b"NOT_FOUND\r\n", None),
        (lambda p: p.meta_get(b"k", b"v O1 k"), b"EN\r\n", MetaReply("EN", None, {})),
        (
            lambda p: p.meta_get(b"k", b"v O1 k"),
            b"EN O1 kk\r\n",
            MetaReply("EN", None, {"O": b"1", "k": b"k"}),
        ),
        (
            lambda p: p.meta_get(b"foo", b"v k"),
            b"VA 1 kZm9v b\r\n1\r\n",
            MetaReply("VA", b"1", {"k": b"Zm9v", "b": b""}),
        ),
    ],
)
def test_an_answer_that_surprises_is_an_answer(codec, encode, data, expected):
    assert converse(codec, encode(codec), data) == (expected, True)


def test_a_reply_that_was_given_up_is_not_the_next_requests_reply(codec):
    """python-memcached, after a KeyboardInterrupt in a read: ``get('b') -> 'value-of-a'``."""
    for request in (codec.get(b"b"), codec.get_many([b"b", b"c"])):
        parser = codec.ReplyParser()
        parser.expect(request)
        with pytest.raises(Exception, match=r"not asked for|another key"):
            parser.feed(b"VALUE a 0 10\r\nvalue-of-a\r\nEND\r\n")
        assert not parser.usable


def test_a_poisoned_connection_does_not_answer_a_store(codec):
    """A noreply set with a bad data block leaves an ``ERROR`` for the next command to find."""
    parser = codec.ReplyParser()
    parser.expect(codec.store("set", b"k", b"v", 0, 0))
    [error] = parser.feed(b"ERROR\r\nSTORED\r\n")
    assert type(error) is UnknownCommand
    assert not parser.usable
