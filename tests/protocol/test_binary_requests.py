"""What the encoders of the binary protocol make, read back as a strict server would."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import InvalidArgument
from cenote.protocol import _binary_encoders, binary, frames
from cenote.protocol.grammar import FRAMES
from tests.protocol.binary_conversations import encoders_of, split
from tests.protocol.conversations import keys, u64, values
from tests.thorough import some

exptimes = st.integers(-(2**31), 2**31 - 1)
flags = st.integers(0, 2**32 - 1)
PAST = 2592001  # one second over 30 days: a moment in 1970


@pytest.fixture(scope="session")
def encode(codec):
    return encoders_of(codec)


def only(request):
    """The one frame of a request, without its opaque."""
    [(opcode, _, *rest)] = split(request.payload)
    return (opcode, *rest)


def expiry(exptime: int) -> bytes:
    return (exptime if exptime >= 0 else PAST).to_bytes(4)


@given(key=keys, exptime=exptimes)
def test_retrievals_of_one_key(encode, key, exptime):
    assert only(encode.get(key)) == (frames.GETK, b"", key, b"", 0)
    assert only(encode.gets(key)) == (frames.GETK, b"", key, b"", 0)
    assert only(encode.gat(key, exptime)) == (frames.GATK, expiry(exptime), key, b"", 0)
    assert only(encode.gats(key, exptime)) == (frames.GATK, expiry(exptime), key, b"", 0)


@given(key=keys, value=values, bits=flags, exptime=exptimes, token=u64)
def test_storage(encode, key, value, bits, exptime, token):
    extras = bits.to_bytes(4) + expiry(exptime)
    for verb, opcode in frames.STORE_OPCODES.items():
        keeps = verb in ("append", "prepend")
        request = encode.store(verb, key, value, bits, exptime)
        assert only(request) == (opcode, b"" if keeps else extras, key, value, 0)
        assert request.idempotent is (verb == "set")
    token = token or 1
    stored = only(encode.cas(key, value, bits, exptime, token))
    assert stored == (frames.SET, extras, key, value, token)


def test_the_token_0_is_not_sent_as_no_token(encode):
    assert only(encode.cas(b"k", b"v", 0, 0, 0))[-1] == 2**64 - 1


@given(key=keys, number=u64, initial=u64, exptime=exptimes)
def test_other_commands_about_one_key(encode, key, number, initial, exptime):
    assert only(encode.delete(key)) == (frames.DELETE, b"", key, b"", 0)
    assert only(encode.touch(key, exptime)) == (frames.TOUCH, expiry(exptime), key, b"", 0)
    left_alone = number.to_bytes(8) + bytes(8) + b"\xff" * 4
    created = number.to_bytes(8) + initial.to_bytes(8) + expiry(exptime)
    for make, opcode in ((encode.incr, frames.INCR), (encode.decr, frames.DECR)):
        assert only(make(key, number)) == (opcode, left_alone, key, b"", 0)
        assert only(make(key, number, initial, exptime)) == (opcode, created, key, b"", 0)


def test_commands_about_the_server(encode):
    assert only(encode.flush_all()) == (frames.FLUSH, b"", b"", b"", 0)
    assert only(encode.flush_all(7)) == (frames.FLUSH, b"\0\0\0\7", b"", b"", 0)
    assert only(encode.version()) == (frames.VERSION, b"", b"", b"", 0)
    assert only(encode.noop()) == (frames.NOOP, b"", b"", b"", 0)
    assert only(encode.stats()) == (frames.STAT, b"", b"", b"", 0)
    assert only(encode.stats("detail", "dump")) == (frames.STAT, b"", b"detail dump", b"", 0)
    assert only(encode.sasl_mechanisms()) == (frames.SASL_LIST, b"", b"", b"", 0)
    assert only(encode.sasl_auth("PLAIN", b"x")) == (frames.SASL_AUTH, b"", b"PLAIN", b"x", 0)
    assert only(encode.sasl_step("PLAIN", b"")) == (frames.SASL_STEP, b"", b"PLAIN", b"", 0)


@settings(max_examples=some(30))
@given(asked=st.lists(keys, min_size=1, max_size=50), exptime=exptimes)
def test_runs_of_keys_are_closed_by_a_fence(encode, asked, exptime):
    for request, opcode, extras in (
        (encode.get_many(asked), frames.GETKQ, b""),
        (encode.gets_many(iter(asked)), frames.GETKQ, b""),
        (encode.gat_many(asked, exptime), frames.GATKQ, expiry(exptime)),
        (encode.gats_many(asked, exptime), frames.GATKQ, expiry(exptime)),
        (encode.delete_many(asked), frames.DELETEQ, b""),
    ):
        assert request.count == len(asked)
        *run, fence = split(request.payload)
        first = run[0][1]
        for index, key in enumerate(asked):
            opaque = (first + index) % 2**32
            assert run[index] == (opcode, opaque, extras, key, b"", 0)
        assert fence == (frames.NOOP, (first + len(asked)) % 2**32, b"", b"", b"", 0)


@settings(max_examples=some(50))
@given(items=st.lists(st.tuples(keys, values, flags), min_size=1, max_size=30), exptime=exptimes)
def test_runs_of_sets_are_closed_by_a_fence(encode, items, exptime):
    *run, fence = split(encode.set_many(items, exptime).payload)
    first = run[0][1]
    assert [frame[0] for frame in run] == [frames.SETQ] * len(items)
    assert [(key, value) for _, _, _, key, value, _ in run] == [item[:2] for item in items]
    assert [extras for _, _, extras, _, _, _ in run] == [
        bits.to_bytes(4) + expiry(exptime) for _, _, bits in items
    ]
    assert [frame[1] for frame in (*run, fence)] == [
        (first + index) % 2**32 for index in range(len(items) + 1)
    ]


def test_what_writes_has_a_quiet_form_closed_by_a_fence(encode):
    loud = [
        *(encode.store(verb, b"k", b"v", 1, 2) for verb in frames.STORE_OPCODES),
        encode.delete(b"k"),
        encode.incr(b"k", 1),
        encode.decr(b"k", 1),
    ]
    for request in loud:
        (opcode, opaque, *rest), fence = split(encode.quiet(request).payload)
        assert opcode == frames.QUIET_OPCODES[request.payload[1]]
        assert rest == list(only(request)[1:])
        assert fence[:2] == (frames.NOOP, (opaque + 1) % 2**32)


def test_what_has_no_quiet_form_is_refused(encode):
    for request in (encode.get(b"k"), encode.cas(b"k", b"", 0, 0, 1), encode.get_many([b"k"])):
        with pytest.raises(InvalidArgument, match="no quiet form"):
            encode.quiet(request)


def test_requests_that_may_be_under_way_together_share_no_opaque(encode):
    """A batch has room for its frames behind its first opaque."""
    makers = (encode.get, encode.delete, lambda key: encode.incr(key, 1))
    starts = sorted(split(makers[n % 3](b"k").payload)[0][1] for n in range(3000))
    gaps = [after - before for before, after in pairwise(starts)]
    assert min(gaps) > 10_000


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_out_of_range_are_refused(encode, number):
    refusals = [
        lambda: encode.incr(b"k", number),
        lambda: encode.decr(b"k", 1, number),
        lambda: encode.cas(b"k", b"", 0, 0, number),
        lambda: encode.store("set", b"k", b"", number, 0),
        lambda: encode.set_many([(b"k", b"", number)], 0),
        lambda: encode.flush_all(number),
    ]
    for refused in refusals:
        with pytest.raises(InvalidArgument):
            refused()


@pytest.mark.parametrize("exptime", [2**31, -(2**31) - 1])
def test_expiries_out_of_range_are_refused(encode, exptime):
    refusals = [
        lambda: encode.gat(b"k", exptime),
        lambda: encode.gats_many([b"k"], exptime),
        lambda: encode.touch(b"k", exptime),
        lambda: encode.store("add", b"k", b"", 0, exptime),
        lambda: encode.set_many([(b"k", b"", 0)], exptime),
        lambda: encode.incr(b"k", 1, 0, exptime),
    ]
    for refused in refusals:
        with pytest.raises(InvalidArgument, match="32 bits"):
            refused()


def test_what_no_frame_can_say_is_refused(encode):
    for refused in (
        lambda: encode.get_many([]),
        lambda: encode.set_many([], 0),
        lambda: encode.delete_many([]),
        lambda: encode.store("put", b"k", b"v", 0, 0),
        lambda: encode.stats("two\r\nlines"),
        lambda: encode.get(b"k" * 65536),
        lambda: encode.delete_many([b"k" * 65536]),
        lambda: encode.set_many([(b"k" * 65536, b"", 0)], 0),
    ):
        with pytest.raises(InvalidArgument):
            refused()


@pytest.mark.parametrize("name", binary.__all__)
def test_encoders_take_the_same_arguments(encode, name):
    pure = inspect.signature(getattr(_binary_encoders, name)).parameters.values()
    twin = inspect.signature(getattr(encode, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in twin] == [
        (p.name, p.kind, p.default) for p in pure
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.get(b"k"),
        lambda p: p.gats(b"k", 1),
        lambda p: p.gets_many([b"k", b"l"]),
        lambda p: p.store("add", b"k", b"v", 1, 2),
        lambda p: p.store("set", b"k", b"v", 1, 2),
        lambda p: p.cas(b"k", b"v", 1, 2, 3),
        lambda p: p.delete(b"k"),
        lambda p: p.touch(b"k", 1),
        lambda p: p.incr(b"k", 1),
        lambda p: p.set_many([(b"k", b"v", 1)], 2),
        lambda p: p.delete_many([b"k"]),
        lambda p: p.version(),
        lambda p: p.quiet(p.store("add", b"k", b"v", 0, 0)),
    ],
)
def test_the_twins_say_the_same_of_a_request(encode, make):
    ours, pure = make(encode), make(_binary_encoders)
    for name in ("kind", "key", "keys", "count", "idempotent", "verb", "opaque", "echo"):
        assert getattr(ours, name) == getattr(pure, name), name
    assert ours.kind >= FRAMES
