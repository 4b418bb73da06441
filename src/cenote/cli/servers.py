"""``ping`` and ``stats``: is the server there, and what does it say of itself."""

from __future__ import annotations

import json
from time import perf_counter

import click
from rich.console import Console
from rich.table import Table

from cenote.cli.options import client_of, json_option, url_option


@click.command()
@url_option
@json_option
def ping(url: str, *, to_json: bool) -> None:
    """Ask the server whether it is there.

    Prints its version, and how long a round trip takes.
    """
    with client_of(url) as client:
        client.version()
        began = perf_counter()
        versions = client.version()
        seconds = perf_counter() - began
    for server, version in versions.items():
        if to_json:
            click.echo(json.dumps({"server": server, "version": version, "seconds": seconds}))
        else:
            click.echo(f"{server} is up: memcached {version}, {seconds * 1e3:.2f} ms a round trip")


@click.command()
@click.argument("arguments", nargs=-1, metavar="[GROUP]...")
@url_option
@json_option
def stats(arguments: tuple[str, ...], url: str, *, to_json: bool) -> None:
    """Print the server's statistics.

    GROUP is one of memcached's groups: items, slabs, settings, conns, ...
    """
    with client_of(url) as client:
        found = client.stats(*arguments)
    if to_json:
        click.echo(json.dumps(found, indent=2))
        return
    for server, values in found.items():
        table = Table(
            box=None, show_header=False, title=server, title_justify="left", pad_edge=False
        )
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in values.items():
            table.add_row(name, value)
        Console().print(table)
