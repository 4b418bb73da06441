"""``cenote doctor``: what is installed, what is compiled, whether a server answers, and what to do.

Strategy: every question has a function that returns a `Finding`; only what the command was asked to
make sure of can be ``missing``, the rest is ``fine`` or worth a ``note``. A finding that is not
fine says the exact command that changes it.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Literal

import click
from rich.console import Console
from rich.text import Text

import cenote
from cenote._implementation import use_compiled
from cenote._server_process import memcached_binary
from cenote.cli.failures import one_line
from cenote.cli.options import NOT_FOUND, client_of, json_option
from cenote.client.url import read_servers, without_password
from cenote.cluster.server import LOCAL
from cenote.connection import TCPAddress
from cenote.errors import CenoteError, ConnectRejected, LocalServerError

State = Literal["fine", "note", "missing"]

PACKAGE = Path(cenote.__file__).parent
_NOT_COMPILED = "not compiled: their pure twins do the same, more slowly"
_COMPILE = "apt install gcc python3-dev && pip install --force-reinstall --no-binary cenote cenote"
_MARKS = {"fine": ("ok", "green"), "note": ("note", "yellow"), "missing": ("MISSING", "bold red")}


@dataclass(frozen=True)
class Finding:
    """An answer.

    Attributes:
        about: What was looked at.
        state: ``"fine"``, ``"note"`` (works, could be better) or ``"missing"`` (needed).
        says: What was found.
        remedy: What to do, as a command where there is one; empty if nothing.
    """

    about: str
    state: State
    says: str
    remedy: str = ""


@click.command()
@click.option(
    "--url",
    default="local://",
    show_default=True,
    envvar="CENOTE_URL",
    show_envvar=True,
    help="The server that must answer; local:// starts a private one.",
)
@json_option
def doctor(url: str, *, to_json: bool) -> None:
    """Check what is installed, and the server.

    Versions, what is compiled, what is missing and how to get it. Exit with 1 if something that is
    needed is missing.
    """
    findings = list(examine(url))
    if to_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(Console(), findings)
    if any(finding.state == "missing" for finding in findings):
        sys.exit(NOT_FOUND)


def examine(url: str) -> Iterator[Finding]:
    """Look at everything; ``url`` is the server that must answer."""
    yield Finding("Python", "fine", f"{platform.python_version()} ({sys.executable})")
    yield Finding("cenote", "fine", f"{cenote.__version__} in {PACKAGE}")
    yield from _extensions(PACKAGE)
    yield _optional("uvloop", "a faster event loop for asyncio")
    binary = _binary(needed=read_servers(url).servers[0] is LOCAL)
    yield binary
    if binary.state != "missing":
        yield _server(url)


def _extensions(package: Path) -> Iterator[Finding]:
    """Look at every extension that was built: all are, or none is."""
    built = sorted(path for path in package.rglob(f"*{EXTENSION_SUFFIXES[0]}"))
    if not built:
        yield Finding("extensions", "note", _NOT_COMPILED, _COMPILE)
    for path in built:
        parts = path.relative_to(package).parent.parts
        yield _extension(".".join(["cenote", *parts, path.name.partition(".")[0]]))


def _extension(module: str) -> Finding:
    if use_compiled(module):
        return Finding(module, "fine", "compiled")
    return Finding(module, "note", "compiled, but its pure twin is in use", "unset CENOTE_IMPL")


def _optional(distribution: str, use: str) -> Finding:
    try:
        return Finding(distribution, "fine", version(distribution))
    except PackageNotFoundError:
        return Finding(
            distribution, "note", f"not installed ({use})", f"pip install {distribution}"
        )


def _binary(*, needed: bool) -> Finding:
    """Look for memcached itself: ``local://`` needs it, a server elsewhere does not."""
    try:
        path = memcached_binary()
    except LocalServerError as error:
        return Finding(
            "memcached", "missing" if needed else "note", str(error), "apt install memcached"
        )
    answer = subprocess.run([path, "-V"], capture_output=True, text=True, check=False)  # noqa: S603 - the binary that local:// would run
    return Finding("memcached", "fine", f"{answer.stdout.strip() or 'does not say'} ({path})")


def _server(url: str) -> Finding:
    shown = without_password(url)
    try:
        return Finding("server", "fine", _answer_of(url))
    except (CenoteError, OSError) as error:
        return Finding("server", "missing", f"{shown}: {one_line(error)}", _remedy(error, url))


def _remedy(error: BaseException, url: str) -> str:
    """Return what to do, where the message does not say it."""
    if isinstance(error, (ConnectRejected, LocalServerError)):
        return ""
    address = read_servers(url).servers[0].address
    place = f"-s {address}"
    if isinstance(address, TCPAddress):
        place = f"-l {address.host} -p {address.port}"
    return f"start one there (memcached {place}), or name another with --url"


def _answer_of(url: str) -> str:
    server = read_servers(url).servers[0]
    with client_of(url) as client:
        with client.connection(server.name) as connection:
            commands = connection.traits.dialect
        began = perf_counter()
        release = client.version()[server.name]
        seconds = perf_counter() - began
    return (
        f"{without_password(url)}: memcached {release}, {commands} commands, "
        f"{seconds * 1e3:.2f} ms a round trip"
    )


def _show(console: Console, findings: list[Finding]) -> None:
    width = max(len(finding.about) for finding in findings)
    for finding in findings:
        mark, style = _MARKS[finding.state]
        line = Text.assemble((f"{mark:>7}  ", style), f"{finding.about:<{width}}  ", finding.says)
        console.print(line, soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"{'':>7}  {'':<{width}}  -> {finding.remedy}"), soft_wrap=True)
