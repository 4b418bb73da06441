"""An integration whose library is missing says which extra brings it."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("cenote.integrations.sqlalchemy", "sqlalchemy", "cenote[sqlalchemy]"),
        ("cenote.integrations.requests", "requests.adapters", "cenote[requests]"),
        ("cenote.integrations.urllib3", "urllib3", "cenote[requests]"),
    ],
)
def test_a_missing_library_is_told_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, library: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(module)
    assert extra in str(caught.value)
