"""The two implementations are one: the same names, the same numbers, the same signatures."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import cenote
from cenote.protocol import _native, grammar

ENCODERS = sorted(set(_native.__all__) - {"IMPLEMENTATION", "ReplyParser", "Request"})
DECLARATIONS = Path(grammar.__file__).with_name("_speedups.pxd")


def test_the_package_exports_the_implementation_in_use():
    assert cenote.protocol.IMPLEMENTATION in {"native", "speedups"}
    assert set(_native.__all__) < set(cenote.protocol.__all__)
    for name in cenote.protocol.__all__:
        assert hasattr(cenote.protocol, name)


def test_each_implementation_has_every_name_and_knows_its_own(codec):
    for name in _native.__all__:
        assert hasattr(codec, name)
    assert codec.__name__.endswith(codec.IMPLEMENTATION)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_take_the_same_arguments(codec, name):
    pure = inspect.signature(getattr(_native, name)).parameters.values()
    twin = inspect.signature(getattr(codec, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in twin] == [
        (p.name, p.kind, p.default) for p in pure
    ]


def test_parsers_have_the_same_members(codec):
    public = {name for name in dir(_native.ReplyParser) if not name.startswith("_")}
    assert {name for name in dir(codec.ReplyParser) if not name.startswith("_")} == public


def test_requests_have_the_same_attributes(codec):
    ours = codec.Request(b"get k\r\n", grammar.GET, b"k", verb="get", count=1)
    pure = _native.Request(b"get k\r\n", grammar.GET, b"k", verb="get", count=1)
    for name in _native.Request.__slots__:
        assert getattr(ours, name) == getattr(pure, name)


def test_keys_of_a_request_are_bytes_in_the_compiled_twin(codec):
    """It compares them in C, where anything else would be read as if it were bytes."""
    if codec is _native:
        pytest.skip("the pure twin compares objects")
    with pytest.raises(TypeError):
        codec.Request(b"get k\r\n", grammar.GET_MANY, None, ("k",))


def test_the_kinds_have_the_same_numbers_in_c():
    declared = dict(re.findall(r"^    ([A-Z_]+) = (\d+)$", DECLARATIONS.read_text(), re.MULTILINE))
    assert len(set(declared.values())) == len(declared) > 20
    for name, number in declared.items():
        assert getattr(grammar, name) == int(number)
