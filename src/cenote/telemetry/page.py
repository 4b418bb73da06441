"""The page that shows the pools in a browser: one file, which fetches nothing from elsewhere.

Strategy: the page is data of the package (``page.html``). Its policy lets it run its own script, by
its hash, ask the endpoint that it came from, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files


@cache
def page() -> tuple[bytes, str, dict[str, str]]:
    """Return the page, its type, and the headers that bound what it may do."""
    text = files("cenote.telemetry").joinpath("page.html").read_text("utf-8")
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; img-src data:; "
        f"script-src {_hashed(text, 'script')}; style-src {_hashed(text, 'style')}"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return text.encode(), "text/html; charset=utf-8", headers


def _hashed(text: str, tag: str) -> str:
    """Return the hashes of all the elements of a tag, as a policy names them."""
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (hashlib.sha256(body.encode()).digest() for body in bodies)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
