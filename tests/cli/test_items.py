"""``get``, ``set`` and ``delete`` by hand: byte for byte, with exit codes a script can use."""

from __future__ import annotations

import base64
import json

import pytest

from cenote import Client
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("memcached_client")
BINARY = bytes(range(256)) + b"\r\nEND\r\n"


def test_what_is_set_can_be_got(run: Run) -> None:
    assert run("set", "greeting", "hello").exit_code == 0
    result = run("get", "greeting")
    assert (result.exit_code, result.stdout_bytes) == (0, b"hello")


def test_a_value_is_stored_as_text(run: Run, memcached_client: Client) -> None:
    run("set", "greeting", "grüß dich")
    assert memcached_client.get("greeting") == "grüß dich"


def test_standard_input_is_stored_as_bytes_and_printed_byte_for_byte(
    run: Run, memcached_client: Client
) -> None:
    run("set", "blob", "-", stdin=BINARY)
    assert memcached_client.get("blob") == BINARY
    assert run("get", "blob").stdout_bytes == BINARY


def test_values_of_any_dialect_are_printed_as_stored(run: Run, memcached_client: Client) -> None:
    memcached_client.set("user", {"name": "Ixchel"})
    assert run("get", "user").stdout_bytes == b'{"name":"Ixchel"}'


def test_an_item_can_be_printed_as_json_with_flags_and_token(
    run: Run, memcached_client: Client
) -> None:
    memcached_client.set("greeting", "hello")
    printed = json.loads(run("get", "greeting", "--json").stdout)
    item = memcached_client.gets("greeting")
    assert item is not None
    assert printed == {"key": "greeting", "value": "hello", "flags": item.flags, "cas": item.cas}


def test_json_carries_what_is_not_text_as_base64(run: Run) -> None:
    run("set", "blob", "-", stdin=BINARY)
    printed = json.loads(run("get", "blob", "--json").stdout)
    assert base64.b64decode(printed["base64"]) == BINARY
    assert "value" not in printed


@pytest.mark.parametrize("command", ["get", "delete"])
def test_a_key_that_is_not_there_is_exit_code_1_and_one_line(run: Run, command: str) -> None:
    result = run(command, "nothing")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "nothing: no such key\n")


def test_a_deleted_key_is_gone(run: Run) -> None:
    run("set", "k", "v")
    assert run("delete", "k").exit_code == 0
    assert run("get", "k").exit_code == 1


def test_a_time_to_live_is_passed_on(run: Run) -> None:
    result = run("set", "k", "v", "--ttl", "60")
    assert (result.exit_code, result.stderr) == (0, "")
    assert run("get", "k").exit_code == 0


@pytest.mark.parametrize("ttl", ["0", "-1"])
def test_who_stores_what_is_expired_already_is_told(run: Run, ttl: str) -> None:
    result = run("set", "k", "v", "--ttl", ttl)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("k: expired already")
    assert run("get", "k").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("get", "two words"), "two words"),
        (("set", "k", "v", "--ttl", "1e300"), "ttl"),
        (("get", "k", "--url", "redis://localhost"), "memcached://"),
        (("get", "k", "--url", "local://?timout=1"), "did you mean 'timeout'"),
    ],
)
def test_an_error_of_the_library_is_one_line_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], says: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert says in line.lower()
