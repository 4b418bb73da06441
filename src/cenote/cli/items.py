"""``get``, ``set`` and ``delete``: one item by hand, byte for byte.

Strategy: values are not interpreted. What ``get`` prints is exactly what is stored, so that it can
be piped into a file; only on a terminal a line break follows.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import click

from cenote.cli.options import NOT_FOUND, client_of, json_option, url_option

STDIN = "-"


@click.command()
@click.argument("key")
@url_option
@json_option
def get(key: str, url: str, *, to_json: bool) -> None:
    """Print the value of KEY.

    Byte for byte; exit with 1 if there is none. With --json: the value (base64 if it is not text),
    its flags and its cas token.
    """
    with client_of(url, "raw") as client:
        item = client.gets(key)
    if item is None:
        click.echo(f"{key}: no such key", err=True)
        sys.exit(NOT_FOUND)
    value = item.value
    assert isinstance(value, bytes)
    if to_json:
        click.echo(json.dumps({"key": key, **_text(value), "flags": item.flags, "cas": item.cas}))
    else:
        click.echo(value, nl=sys.stdout.isatty())


@click.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--ttl", type=float, help="Seconds until it expires; never by default.")
@url_option
def set_(key: str, value: str, ttl: float | None, url: str) -> None:
    """Store VALUE, a text, under KEY.

    "-" stores what standard input has, as bytes.
    """
    if ttl is not None and ttl <= 0:
        click.echo(
            f"{key}: expired already, with a --ttl of {ttl:g}: it will not be found", err=True
        )
    stored = sys.stdin.buffer.read() if value == STDIN else value
    with client_of(url) as client:
        client.set(key, stored, ttl)


@click.command()
@click.argument("key")
@url_option
def delete(key: str, url: str) -> None:
    """Delete KEY.

    Exit with 1 if there is no such key.
    """
    with client_of(url) as client:
        deleted = client.delete(key)
    if not deleted:
        click.echo(f"{key}: no such key", err=True)
        sys.exit(NOT_FOUND)


def _text(value: bytes) -> dict[str, Any]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
