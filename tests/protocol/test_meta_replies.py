"""Replies to meta commands: return codes, flags, and the echoes that prove whose reply it is."""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, ProtocolError
from cenote.protocol.replies import MetaReply


def refused(codec, request, data):
    parser = codec.ReplyParser()
    parser.expect(request)
    with pytest.raises(ProtocolError):
        parser.feed(data)
    assert not parser.usable


def test_a_hit_with_its_value_has_flags_as_tokens(codec, answer):
    reply = answer(codec.meta_get(b"k", b"v f c t W"), b"VA 3 f7 c99 t-1 W\r\nabc\r\n")
    assert reply == MetaReply("VA", b"abc", {"f": b"7", "c": b"99", "t": b"-1", "W": b""})
    assert type(reply) is MetaReply


def test_a_hit_without_its_value_is_flags_alone(codec, answer):
    assert answer(codec.meta_get(b"k", b"t"), b"HD t30\r\n") == MetaReply("HD", None, {"t": b"30"})
    assert answer(codec.meta_get(b"k"), b"HD\r\n") == MetaReply("HD", None, {})


def test_an_empty_value_is_a_value(codec, answer):
    reply = answer(codec.meta_get(b"k", b"v N30"), b"VA 0 W\r\n\r\n")
    assert reply == MetaReply("VA", b"", {"W": b""})


def test_one_space_may_end_a_line(codec, answer):
    assert answer(codec.meta_get(b"k"), b"HD \r\n") == MetaReply("HD", None, {})
    assert answer(codec.meta_get(b"k", b"v"), b"VA 1 \r\nx\r\n") == MetaReply("VA", b"x", {})


@pytest.mark.parametrize(
    ("encode", "codes"),
    [
        (lambda p: p.meta_get(b"k"), "HD EN"),
        (lambda p: p.meta_get(b"k", b"v"), "EN"),
        (lambda p: p.meta_set(b"k", b""), "HD NS EX NF"),
        (lambda p: p.meta_delete(b"k"), "HD NF EX"),
        (lambda p: p.meta_arithmetic(b"k"), "HD NF NS EX"),
        (lambda p: p.meta_arithmetic(b"k", b"v"), "NF NS EX"),
        (lambda p: p.meta_debug(b"k"), "EN"),
        (lambda p: p.meta_noop(), "MN"),
    ],
)
def test_a_command_is_answered_by_its_own_return_codes_alone(codec, answer, encode, codes):
    for code in ("HD", "EN", "NF", "NS", "EX", "MN", "OK", "VA", "ME", "hd", "H", "HDx"):
        if code in codes.split():
            assert answer(encode(codec), code.encode() + b"\r\n") == MetaReply(code, None, {})
        else:
            refused(codec, encode(codec), code.encode() + b"\r\n")


@pytest.mark.parametrize(
    "line", [b"VA", b"VA ", b"VA x", b"VA -1", b"VA 1x", b"VA  1", b"VA 1  f", b"VA 99999999999"]
)
def test_a_size_that_is_not_digits_breaks_the_protocol(codec, line):
    refused(codec, codec.meta_get(b"k", b"v"), line + b"\r\nx\r\n")


@pytest.mark.parametrize("line", [b"HD  ", b"HD  t1", b"HD t1  c2", b"HD t1  ", b"HD   "])
def test_empty_flags_break_the_protocol(codec, line):
    refused(codec, codec.meta_get(b"k"), line + b"\r\n")


def test_arithmetic_answers_the_number_as_bytes(codec, answer):
    reply = answer(codec.meta_arithmetic(b"k", b"v t"), b"VA 2 t-1\r\n9 \r\n")
    assert reply == MetaReply("VA", b"9 ", {"t": b"-1"})


def test_debug_answers_names_and_values(codec, answer):
    reply = answer(codec.meta_debug(b"k"), b"ME k exp=-1 la=2 fetch=no\r\n")
    assert reply == MetaReply("ME", None, {"exp": b"-1", "la": b"2", "fetch": b"no"})
    assert answer(codec.meta_debug(b"k"), b"ME k\r\n") == MetaReply("ME", None, {})


@pytest.mark.parametrize("line", [b"ME other exp=-1", b"ME", b"ME k exp", b"HD", b"EN x"])
def test_debug_insists_on_its_key(codec, line):
    refused(codec, codec.meta_debug(b"k"), line + b"\r\n")


def test_debug_of_a_key_stored_as_base64_shows_it_so(codec, answer):
    assert answer(codec.meta_debug(b"foo"), b"ME Zm9v exp=-1\r\n").flags == {"exp": b"-1"}


# Echoes.


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (b"k", b"HD kk"),
        (b"O123", b"HD O123"),
        (b"O k", b"HD O kk"),
        (b"k O1", b"HD O1 kk"),
        (b"k O1", b"EN"),  # a miss may repeat them or not
        (b"k O1", b"EN O1 kk"),
        (b"k O1", b"EN kk"),
    ],
)
def test_the_right_echo_is_accepted(codec, answer, flags, line):
    assert answer(codec.meta_get(b"k", flags), line + b"\r\n").status == line[:2].decode()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (b"k", b"HD"),
        (b"k", b"HD kother"),
        (b"k", b"HD k"),
        (b"O1", b"HD"),
        (b"O1", b"HD O2"),
        (b"O1", b"HD O"),
        (b"O1", b"HD O12"),
        (b"", b"HD O1"),  # nobody asked for it: it is somebody else's
        (b"k O1", b"EN O2 kk"),
        (b"k O1", b"EN O1 kother"),
        (b"k O1", b"HD O1"),
        (b"k O1", b"HD kk"),
    ],
)
def test_the_wrong_echo_breaks_the_protocol(codec, flags, line):
    refused(codec, codec.meta_get(b"k", flags), line + b"\r\n")


def test_every_meta_command_checks_its_echo(codec, answer):
    for encode in (
        lambda flags: codec.meta_set(b"k", b"v", flags),
        lambda flags: codec.meta_delete(b"k", flags),
        lambda flags: codec.meta_arithmetic(b"k", flags),
    ):
        assert answer(encode(b"O7 k"), b"HD O7 kk\r\n").status == "HD"
        assert answer(encode(b"O7 k"), b"NF O7 kk\r\n").status == "NF"
        refused(codec, encode(b"O7 k"), b"HD O8 kk\r\n")
        refused(codec, encode(b"O7 k"), b"NF O7 kx\r\n")
        refused(codec, encode(b"O7 k"), b"NF\r\n")


def test_a_key_is_the_same_key_in_base64(codec, answer):
    """The server repeats a key in the way it was stored, not in the way it was asked for."""
    assert answer(codec.meta_get(b"foo", b"k"), b"HD kZm9v b\r\n").status == "HD"
    assert answer(codec.meta_get(b"Zm9v", b"k b"), b"HD kZm9v b\r\n").status == "HD"
    assert answer(codec.meta_get(b"Zm9v", b"b k"), b"HD kfoo\r\n").status == "HD"
    refused(codec, codec.meta_get(b"foo", b"k"), b"HD kYmFy b\r\n")
    refused(codec, codec.meta_get(b"foo", b"k"), b"HD kZm9v\r\n")
    refused(codec, codec.meta_get(b"foo", b"k"), b"HD kfoo b\r\n")
    refused(codec, codec.meta_get(b"foo", b"k"), b"HD k!!!! b\r\n")
    refused(codec, codec.meta_get(b"Zm9v", b"b k"), b"HD kbar\r\n")


def test_a_flag_the_server_does_not_know_leaves_the_conversation_in_step(codec):
    """Without a data block the refusal is one line; with one, who knows what the block became."""
    for request, usable in (
        (codec.meta_delete(b"k", b"x"), True),
        (codec.meta_set(b"k", b"v", b"E12"), False),
    ):
        parser = codec.ReplyParser()
        parser.expect(request)
        [error] = parser.feed(b"CLIENT_ERROR invalid flag\r\n")
        assert type(error) is ClientError
        assert parser.usable is usable
