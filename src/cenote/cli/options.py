"""What the commands share: where the server is, and how they end.

Exit codes: 0 done; 1 answered, but not what was hoped for (no such key, something missing); 2 an
error.
"""

from __future__ import annotations

import click

from cenote import Client
from cenote.client.serdes import SerdeName
from cenote.client.url import DEFAULT_URL

NOT_FOUND = 1
FAILED = 2

url_option = click.option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    envvar="CENOTE_URL",
    show_envvar=True,
    help="The server; memcacheds://user:password@host?ca=FILE for TLS and a login.",
)


def client_of(url: str, serde: SerdeName = "json") -> Client:
    """Return a client for one command: it opens the one connection that it needs, when it does."""
    return Client(url, serde=serde, min_size=0, max_size=1)


json_option = click.option("--json", "to_json", is_flag=True, help="Print JSON.")
