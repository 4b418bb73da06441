"""Batches: many requests in one, answered one by one or only where they fail."""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, ProtocolError, ServerError, UnknownCommand, ValueTooLarge
from cenote.protocol.replies import BatchReply, Status

ITEMS = [(b"a", b"1", 0), (b"b", b"2", 0), (b"c", b"3", 0)]
KEYS = [b"a", b"b", b"c"]
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


def parser_for(codec, request):
    parser = codec.ReplyParser()
    parser.expect(request)
    return parser


def test_a_quiet_run_that_went_well_is_its_fence_alone(codec, answer):
    assert answer(codec.set_many(ITEMS, 0, meta=True), b"MN\r\n") == BatchReply()
    assert answer(codec.delete_many(KEYS, meta=True), b"MN\r\n") == BatchReply()


def test_failures_of_a_quiet_run_are_named_by_their_index(codec, answer):
    reply = answer(codec.delete_many(KEYS, meta=True), b"NF O0\r\nEX O2\r\nMN\r\n")
    assert reply.failures == {0: Status.NOT_FOUND, 2: Status.EXISTS}
    reply = answer(codec.set_many(ITEMS, 0, meta=True), b"NS O1\r\nMN\r\n")
    assert reply.failures == {1: Status.NOT_STORED}


def test_a_success_that_was_not_silent_is_a_success(codec, answer):
    assert answer(codec.set_many(ITEMS, 0, meta=True), b"HD O1\r\nMN\r\n") == BatchReply()


def test_an_error_in_a_quiet_run_is_kept_though_it_names_no_item(codec, answer):
    reply = answer(
        codec.set_many(ITEMS, 0, meta=True), TOO_LARGE + b"NS O2\r\n" + TOO_LARGE + b"MN\r\n"
    )
    assert [type(error) for error in reply.unplaced] == [ValueTooLarge, ValueTooLarge]
    assert reply.failures == {2: Status.NOT_STORED}


NO_ITEM = b"NS|NS O3|NS O-1|NS Ox|NS O|NS kb|NS O1  |NS O1234567890|HD|EN O1|VA 1 O1|MN x|STORED|"


@pytest.mark.parametrize("line", NO_ITEM.split(b"|"))
def test_a_line_that_names_no_item_breaks_the_protocol(codec, line):
    parser = parser_for(codec, codec.set_many(ITEMS, 0, meta=True))
    with pytest.raises(ProtocolError):
        parser.feed(line + b"\r\nMN\r\n")
    assert not parser.usable


def test_a_refused_line_ends_a_run_of_sets_at_once(codec):
    """Its data block may be run as commands, and contain what looks like the fence."""
    for line in (b"CLIENT_ERROR bad command line format", b"ERROR"):
        for head in (0, 3):  # in one piece, and cut
            parser = parser_for(codec, codec.set_many(ITEMS, 0, meta=True))
            assert parser.feed(line[:head]) == []
            [error] = parser.feed(line[head:] + b"\r\nERROR\r\nMN\r\n")
            assert isinstance(error, ClientError)
            assert not parser.usable
            assert parser.pending == 0


def test_a_server_without_meta_commands_ends_a_quiet_run_at_once(codec):
    """It does not know the fence either: to wait for it would be to wait for ever."""
    parser = parser_for(codec, codec.delete_many(KEYS, meta=True))
    [error] = parser.feed(b"ERROR\r\nERROR\r\n")
    assert type(error) is UnknownCommand
    assert not parser.usable


def test_a_harmless_refusal_does_not_end_a_run_without_data(codec, answer):
    reply = answer(codec.delete_many(KEYS, meta=True), b"CLIENT_ERROR invalid flag\r\nMN\r\n")
    assert [type(error) for error in reply.unplaced] == [ClientError]


def test_plain_batches_are_answered_one_by_one(codec, answer):
    reply = answer(codec.set_many(ITEMS, 0, meta=False), b"STORED\r\nNOT_STORED\r\n" + TOO_LARGE)
    assert reply.failures.pop(1) is Status.NOT_STORED
    assert type(reply.failures.pop(2)) is ValueTooLarge
    assert reply == BatchReply()
    reply = answer(codec.delete_many(KEYS, meta=False), b"DELETED\r\nNOT_FOUND\r\nDELETED\r\n")
    assert reply.failures == {1: Status.NOT_FOUND}


def test_a_plain_batch_is_complete_with_its_last_answer_and_not_before(codec):
    parser = parser_for(codec, codec.set_many(ITEMS, 0, meta=True, quiet=False))
    assert parser.feed(b"STORED\r\nSTORED\r\n") == []
    assert parser.started
    assert parser.feed(b"STORED\r\n") == [BatchReply()]
    assert parser.clean


def test_a_refused_line_ends_a_plain_batch_of_sets_at_once(codec):
    parser = parser_for(codec, codec.set_many(ITEMS, 0, meta=False))
    [error] = parser.feed(b"STORED\r\nCLIENT_ERROR bad data chunk\r\nERROR\r\nSTORED\r\n")
    assert type(error) is ClientError
    assert not parser.usable


@pytest.mark.parametrize("line", [b"DELETED", b"NOT_FOUND", b"OK", b"MN", b"HD"])
def test_a_plain_batch_of_sets_takes_no_other_answer(codec, line):
    parser = parser_for(codec, codec.set_many(ITEMS, 0, meta=False))
    with pytest.raises(ProtocolError):
        parser.feed(b"STORED\r\n" + line + b"\r\n")


def test_a_quiet_single_answers_with_its_fence(codec, answer):
    request = codec.quiet(codec.meta_set(b"k", b"v", b"T60"))
    assert answer(request, b"MN\r\n") == BatchReply()
    assert answer(request, b"NS O0\r\nMN\r\n").failures == {0: Status.NOT_STORED}
    reply = answer(request, b"SERVER_ERROR object too large for cache\r\nMN\r\n")
    assert [type(error) for error in reply.unplaced] == [ValueTooLarge]
    reply = answer(codec.quiet(codec.meta_delete(b"k")), b"NF O0\r\nMN\r\n")
    assert reply.failures == {0: Status.NOT_FOUND}
    arithmetic = codec.quiet(codec.meta_arithmetic(b"k"))
    assert answer(arithmetic, b"SERVER_ERROR x\r\nMN\r\n").unplaced[0].args
    assert isinstance(answer(arithmetic, b"SERVER_ERROR x\r\nMN\r\n").unplaced[0], ServerError)
