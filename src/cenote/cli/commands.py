"""The ``cenote`` command: whatever goes wrong is one line that says what to change."""

from __future__ import annotations

import click

import cenote
from cenote.cli.demo.command import demo
from cenote.cli.doctor import doctor
from cenote.cli.failures import one_line
from cenote.cli.items import delete, get, set_
from cenote.cli.options import FAILED
from cenote.cli.servers import ping, stats
from cenote.cli.sizing import size_command
from cenote.cli.top.command import top


class Failed(click.ClickException):
    """An error of the library, shown as ``Error: ...``."""

    exit_code = FAILED


class OneLineErrors(click.Group):
    """Shows an error of the library by its message: it says what happened and what to change."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except cenote.CenoteError as error:
            raise Failed(one_line(error)) from error


@click.group(
    cls=OneLineErrors,
    epilog="Exit codes: 0 done; 1 no such key, or something is missing; 2 an error.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(cenote.__version__, prog_name="cenote")
def cli() -> None:
    """Connection pools, and a memcached client built on them.

    Start with "cenote demo". If something does not work, ask "cenote doctor".
    """


for command in (demo, doctor, ping, get, set_, delete, stats, top, size_command):
    cli.add_command(command)
