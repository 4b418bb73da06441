"""An exporter whose library is not installed says how to get it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cenote.telemetry.missing


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("prometheus", "prometheus_client", "prometheus"),
        ("opentelemetry", "opentelemetry", "opentelemetry"),
        ("opentelemetry_sdk", "opentelemetry.sdk", "opentelemetry"),
    ],
)
def test_the_extra_is_named(module: str, library: str, extra: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import cenote.telemetry.{module}"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {library}")
    assert last.endswith(f"is not installed: pip install 'cenote[{extra}]'")


def test_a_module_of_ours_that_is_missing_is_no_missing_extra() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="no such module"),
        cenote.telemetry.missing.needs("anything"),
    ):
        raise ModuleNotFoundError("no such module", name="cenote.nothing")


def test_the_rest_of_telemetry_needs_the_standard_library_only() -> None:
    code = (
        "import sys; import cenote.telemetry, cenote.telemetry.rule_file; "
        "print({'prometheus_client', 'opentelemetry', 'rich', 'click'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
