"""The ``demo`` command: options in, phases run, a table or JSON out."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console

from cenote.cli.demo import screen
from cenote.cli.demo.phases import PHASES, Setting
from cenote.cli.demo.report import as_json, report
from cenote.cli.demo.session import run_session
from cenote.cli.demo.workload import measured_origin
from cenote.cli.options import client_of

INTERRUPTED = 130


@click.command()
@click.option(
    "--url",
    default="local://",
    show_default=True,
    envvar="CENOTE_URL",
    show_envvar=True,
    help="The server; local:// starts a private one for as long as the demo runs.",
)
@click.option(
    "--workers",
    default=16,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Threads or tasks.",
)
@click.option(
    "--connections",
    default=8,
    show_default=True,
    type=click.IntRange(1, 256),
    help="The most that a shared client may open.",
)
@click.option(
    "--seconds",
    default=2.5,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="Seconds for each of the four phases.",
)
@click.option("--json", "to_json", is_flag=True, help="Print the figures as JSON.")
def demo(url: str, workers: int, connections: int, seconds: float, to_json: bool) -> None:
    """Watch pooled clients beside a connection a request.

    The same cache-aside workload runs, on a real memcached, in turn through a connection a request,
    one pooled client, a thread-mapped pool, and asyncio. Ctrl-C ends it with what was measured.
    """
    console = Console(stderr=to_json)
    setting = Setting(url, workers, connections)
    server, origin = _server_version(url), measured_origin()
    screen.introduce(console, setting, server, origin)
    with screen.progress(console, seconds) as watch:
        session = run_session(PHASES, setting, seconds, watch)
    result = report(setting, server, origin, session)
    if to_json:
        click.echo(json.dumps(as_json(result), indent=2))
    else:
        screen.show(console, result)
    if result.mismatches:
        sys.exit(1)
    if result.interrupted:
        sys.exit(INTERRUPTED)


def _server_version(url: str) -> str:
    with client_of(url) as client:
        (version,) = client.version().values()
    return version
