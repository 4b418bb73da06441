"""A real Prometheus scrapes a real process, and draws every panel of the dashboard."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from cenote import Client, Pool, PoolTimeout
from cenote.telemetry import RULES, rule_file, serve
from tests.patience import PATIENCE
from tests.telemetry.asking import eventually
from tests.telemetry.conftest import Thing
from tests.telemetry.test_monitoring import expressions

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus (Debian: prometheus)"
)

Ask = Callable[..., Any]


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], Ask]]:
    """Give ``prometheus(target)``: it is scraped five times a second; answers API calls."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(target: str) -> Ask:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (tmp_path / "cenote.rules.yml").write_text(rule_file.render())
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms",
                       "evaluation_interval": "200ms"},
            "rule_files": ["cenote.rules.yml"],
            "scrape_configs": [{"job_name": "app", "static_configs": [{"targets": [target]}]}],
        }  # fmt: skip
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        log = (tmp_path / "prometheus.log").open("wb")
        with log:
            arguments = (
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            )
            processes.append(subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=log))

        def ask(path: str, **query: str) -> Any:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET", f"/api/v1/{path}?{urlencode(query)}")
                answer = connection.getresponse()
                body = answer.read()
                return json.loads(body) if answer.status != 503 else {"status": "starting"}
            except ConnectionRefusedError:
                assert processes[0].poll() is None, (tmp_path / "prometheus.log").read_text()
                return {"status": "starting"}
            finally:
                connection.close()

        return ask

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)


def test_every_panel_has_an_answer_and_the_rules_fire(
    pool: Pool[Thing], prometheus: Callable[[str], Ask]
) -> None:
    with (
        Client("local://", histograms=True, **PATIENCE) as client,
        serve("127.0.0.1:0", pool, client) as here,
    ):
        ask = prometheus(here.endpoint)

        def value(expression: str) -> list[Any]:
            answer = ask("query", query=expression)
            return list(answer["data"]["result"]) if answer["status"] == "success" else []

        eventually(lambda: value("min(count_over_time(cenote_pool_up[1m])) > 2"), 120)
        client.get("a")
        with pool.connection(5), pool.connection(5), pytest.raises(PoolTimeout):
            pool.acquire()
        eventually(
            lambda: value('rate(cenote_pool_refusals_total{pool="things",reason="timeout"}[1m])>0')
        )
        unanswered = [expression for expression in expressions() if not value(expression)]
        assert unanswered == []
        told = ask("rules")["data"]["groups"][0]["rules"]
        assert [rule["name"] for rule in told] == [rule.name for rule in RULES]
        assert {rule["health"] for rule in told} <= {"ok", "unknown"}
        eventually(lambda: value('ALERTS{alertname="CenotePoolExhausted",alertstate="firing"}'))
