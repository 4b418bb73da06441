"""What tests of integrations share with those of connectors."""

from __future__ import annotations

from tests.connectors.conftest import _postgres, certified, postgres, secret_web, web
from tests.pool.conftest import run

__all__ = ["_postgres", "certified", "postgres", "run", "secret_web", "web"]
