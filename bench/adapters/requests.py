"""requests, with its own adapter: urllib3's pool of connections to a host."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter


def getting(url: str, adapter: HTTPAdapter):
    """Get a URL again and again by one session with this adapter."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)

    def get() -> None:
        assert session.get(url).content

    return get


def get(url: str):
    return getting(url, HTTPAdapter())


CONTENDERS = {"http": {"requests": get}}
