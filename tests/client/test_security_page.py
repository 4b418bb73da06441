"""The page about TLS and authentication: what it shows can be run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cenote

PAGE = Path(__file__).resolve().parents[2] / "docs/security.md"


def test_every_example_makes_the_client_it_shows() -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(examples) >= 4
    names: dict[str, Any] = {"read_secret": lambda name: name}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
        assert list(names["mc"].nodes())
        names["mc"].close()
    assert names["from_the_vault"]() == cenote.Credentials("ann", "memcached/ann")


def test_every_field_and_error_is_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    for name in (*cenote.TLS.__dataclass_fields__, "AuthenticationFailed", "TLSError"):
        assert f"`{name}`" in page
