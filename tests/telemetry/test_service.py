"""The endpoint: what it tells, to whom, and what nonsense does to it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cenote import AsyncClient, ConfigurationError, KeyedPool, Pool, PoolTimeout
from cenote.telemetry import Service, operations, serve, service
from cenote.telemetry.asking import LONGEST_HEAD
from cenote.telemetry.endpoint import Endpoint
from tests.patience import PATIENCE
from tests.telemetry.asking import answer, connect, eventually, everything, exchange, get, snapshot
from tests.telemetry.conftest import Thing


@pytest.fixture
def served(pool: Pool[Thing]) -> Iterator[Service]:
    with serve("127.0.0.1:0", pool) as made:
        yield made


# What it tells.


def test_a_snapshot_tells_everything_of_a_pool(pool: Pool[Thing], served: Service) -> None:
    with pool.connection(5):
        told = snapshot(served)
    assert told["process"]["pid"] == os.getpid()
    (each,) = told["pools"]
    assert each["label"] == "things"
    assert (each["stats"]["used"], each["stats"]["max_size"]) == (1, 2)
    assert sum(each["times"]["wait"]["counts"]) == 1
    (holder,) = each["holders"]
    assert holder["who"] == threading.current_thread().name


def test_a_snapshot_tells_the_key_of_a_holder_in_words() -> None:
    hosts: KeyedPool[tuple[str, int], Thing] = KeyedPool(lambda _key: Thing, name="hosts")
    with hosts, serve("127.0.0.1:0", hosts) as served, hosts.connection(("a", 80)):
        (each,) = snapshot(served)["pools"]
    assert [holder["key"] for holder in each["holders"]] == ["('a', 80)"]


def test_it_tells_what_has_happened_since_it_was_opened(pool: Pool[Thing], served: Service) -> None:
    eventually(lambda: pool._core.observer is not None)
    with pool.connection(5), pool.connection(5), pytest.raises(PoolTimeout):
        pool.acquire()
    kinds = [event["kind"] for event in snapshot(served)["events"]]
    assert "timed_out" in kinds


def test_the_history_has_a_point_of_each_second(pool: Pool[Thing], served: Service) -> None:
    def points() -> list[list[float]]:
        status, _, body = get(served, "/history.json")
        assert status == 200
        return list(json.loads(body)["pools"].get("things", []))

    with pool.connection(5):
        eventually(lambda: len(points()) >= 2)
    assert points()[-1][0] > points()[0][0]


def test_metrics_are_what_prometheus_scrapes(served: Service) -> None:
    status, headers, body = get(served, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert b'cenote_pool_up{pool="things"} 1.0' in body


def test_metrics_without_the_library_name_the_extra(
    served: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "cenote.telemetry.prometheus", raising=False)
    status, _, body = get(served, "/metrics")
    assert (status, body) == (
        501,
        b"prometheus_client is not installed: pip install 'cenote[prometheus]'\n",
    )


def test_the_page_may_run_its_own_script_and_ask_its_own_endpoint_only(served: Service) -> None:
    status, headers, body = get(served, "/")
    assert status == 200
    assert b"<title>" in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'; connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in body


def test_head_is_the_same_without_a_body(served: Service) -> None:
    received = exchange(served, b"HEAD /snapshot.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status, headers, body = answer(received)
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


def test_a_closed_pool_is_not_told_any_more(pool: Pool[Thing], served: Service) -> None:
    pool.close()
    assert snapshot(served)["pools"] == []


def test_what_fires_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STEP", 0.01)

    class Refuses:
        def connect(self, timeout: float) -> Thing:
            raise ConnectionRefusedError("nobody there")

        def close(self, resource: Thing) -> None: ...

    with (
        Pool(Refuses(), name="gone", min_size=1, timeout=0) as gone,
        serve("127.0.0.1:0", gone) as served,
    ):
        eventually(lambda: gone._core.observer is not None)
        with pytest.raises(PoolTimeout):
            gone.acquire()
        eventually(lambda: snapshot(served)["alerts"])
        fires = {(alert["rule"], alert["pool"]) for alert in snapshot(served)["alerts"]}
        assert ("CenotePoolExhausted", "gone") in fires


async def test_a_client_of_a_loop_is_told_of_without_its_loop() -> None:
    async with AsyncClient("local://", **PATIENCE) as client:
        operations.measure(client)
        await client.get("nothing")
        with serve("127.0.0.1:0", client) as served:
            told = await asyncio.to_thread(snapshot, served)
            status, _, body = await asyncio.to_thread(get, served, "/metrics")
    assert told["clients"]["local"]["outages"] == 0
    assert status == 200
    assert b'cenote_client_operation_duration_seconds_count{client="local"' in body


# Who may ask.


def test_on_a_unix_socket_only_this_user_may(pool: Pool[Thing], tmp_path: Path) -> None:
    path = tmp_path / "pools.sock"
    with serve(str(path), pool) as served:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert snapshot(served)["pools"][0]["label"] == "things"
        assert (served.endpoint, served.url) == (str(path), "")
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced_but_never_one_in_use(tmp_path: Path) -> None:
    path = tmp_path / "pools.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with serve(str(path)), pytest.raises(OSError, match="in use"):
        serve(str(path))
    path.write_text("not a socket")
    with pytest.raises(OSError, match="in use"):
        serve(str(path))
    assert path.read_text() == "not a socket"


@pytest.mark.parametrize("endpoint", ["0.0.0.0:0", "[::]:0", "example.org:80", "10.0.0.1:0"])
def test_what_other_machines_can_reach_needs_a_token(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="give a token"):
        serve(endpoint)


@pytest.mark.parametrize("token", ["", "sécret", "two\nlines"])
def test_a_token_that_can_not_travel_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="printable"):
        serve("127.0.0.1:0", token=token)


def test_who_does_not_know_the_token_is_told_nothing(pool: Pool[Thing]) -> None:
    with serve("0.0.0.0:0", pool, token="s3cret") as served:
        for path in ("/", "/snapshot.json", "/metrics", "/nothing", "/?token=wrong", "/?token="):
            status, headers, body = get(served, path)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert b"things" not in body
            assert b"s3cret" not in body
        for said in ("Bearer wrong", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer"):
            assert get(served, "/snapshot.json", Authorization=said)[0] == 401


def test_who_knows_the_token_is_told_in_either_way(pool: Pool[Thing]) -> None:
    with serve("127.0.0.1:0", pool, token="s3cret") as served:
        assert get(served, "/snapshot.json", Authorization="Bearer s3cret")[0] == 200
        assert get(served, "/?token=s3cret")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
def test_a_page_of_another_site_learns_nothing_by_renaming_this_machine(
    served: Service, host: str
) -> None:
    status, _, body = get(served, "/snapshot.json", Host=host)
    assert status == 403
    assert b"things" not in body


@pytest.mark.parametrize("host", ["localhost", "localhost:9211", "127.0.0.1:1", "[::1]:9", "[::1]"])
def test_names_of_this_machine_are_known(served: Service, host: str) -> None:
    assert get(served, "/snapshot.json", Host=host)[0] == 200


# Nonsense.


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET //snapshot.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"POST /snapshot.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1 again\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: yes\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * LONGEST_HEAD + b"\r\n\r\n", 431),
        (b"x" * 10 * LONGEST_HEAD, 431),
    ],
    ids=range(17),
)
def test_nonsense_is_refused_in_a_line(served: Service, sent: bytes, status: int) -> None:
    found, _, body = answer(exchange(served, sent))
    assert found == status
    assert body.endswith(b"\n")
    assert b"Traceback" not in body


def test_who_says_nothing_or_drips_is_let_go_and_keeps_nobody_waiting(
    served: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PATIENCE", 0.05)
    with connect(served) as silent, connect(served) as dripping:
        dripping.sendall(b"GET / HT")
        assert everything(silent) == b""
        assert everything(dripping) == b""
        assert get(served, "/snapshot.json")[0] == 200


def test_who_hangs_up_is_forgotten(served: Service) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with connect(served) as connection:
            connection.sendall(sent)
    assert get(served, "/snapshot.json")[0] == 200


def test_there_is_room_for_so_many_at_once(
    served: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ROOM", 1)
    with connect(served):
        eventually(lambda: served._open == 1)
        assert get(served, "/snapshot.json")[0] == 503
    eventually(lambda: served._open == 0)
    assert get(served, "/snapshot.json")[0] == 200


def test_an_answer_that_fails_is_logged_and_the_next_is_given(
    served: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(served._pages, "/metrics", lambda: 1 / 0)
    with caplog.at_level(logging.ERROR, "cenote.telemetry"):
        status, _, body = get(served, "/metrics")
    assert (status, body) == (500, b"it failed; see the log\n")
    assert "ZeroDivisionError" in caplog.text
    assert get(served, "/snapshot.json")[0] == 200


# Life.


def test_a_socket_in_no_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"can not serve at .*/absent/pools\.sock: No such"):
        serve(str(tmp_path / "absent/pools.sock"))


def test_an_endpoint_that_is_taken_is_an_error_at_once(served: Service) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(served.endpoint)


def test_closing_twice_is_closing_once_and_nobody_listens_any_more(pool: Pool[Thing]) -> None:
    served = serve("127.0.0.1:0", pool)
    eventually(lambda: pool._core.observer is not None)
    assert repr(served) == f"<Service at {served.endpoint}>"
    served.close()
    served.close()
    with pytest.raises(ConnectionRefusedError):
        connect(served)
    assert pool._core.observer is None


def test_a_process_that_ends_leaves_no_socket_behind(tmp_path: Path) -> None:
    path = tmp_path / "pools.sock"
    code = f"import os; from cenote.telemetry import serve; serve({str(path)!r}); "
    code += f"assert os.path.exists({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert not path.exists()


def test_without_a_thread_there_is_no_endpoint_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    path = tmp_path / "pools.sock"
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            serve(str(path))
    with serve(str(path)) as served:
        assert snapshot(served)["pools"] is not None


@pytest.mark.stress
def test_who_connects_while_it_closes_is_let_go(tmp_path: Path) -> None:
    """A connection that nobody closes would be a ResourceWarning, and fail this test."""
    for number in range(40):
        with serve(str(tmp_path / f"{number}.sock")) as served:
            callers = [connect(served) for _ in range(number % 5 + 1)]
        for caller in callers:
            assert everything(caller) == b""
            caller.close()
    gc.collect()


def test_it_serves_beside_an_event_loop(pool: Pool[Thing]) -> None:
    async def main() -> int:
        with serve("127.0.0.1:0", pool) as served:
            status, _, _ = await asyncio.to_thread(get, served, "/")
            return status

    assert asyncio.run(main()) == 200


def test_a_forked_child_leaves_the_endpoint_to_its_parent_and_may_open_its_own(
    served: Service, pool: Pool[Thing]
) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            served.close()  # the parent's: nothing happens
            with serve("127.0.0.1:0") as own:
                os.write(writing, str(snapshot(own)["process"]["pid"]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == str(child)
    os.waitpid(child, 0)
    assert snapshot(served)["process"]["pid"] == os.getpid()
    served.close()
    with pytest.raises(ConnectionRefusedError):
        connect(served)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("127.0.0.1:9211", Endpoint(host="127.0.0.1", port=9211)),
        (":9211", Endpoint(host="127.0.0.1", port=9211)),
        ("http://localhost:1/", Endpoint(host="localhost", port=1)),
        ("[::1]:9", Endpoint(host="::1", port=9)),
        ("/run/pools.sock", Endpoint(path="/run/pools.sock")),
        ("unix:pools.sock", Endpoint(path="pools.sock")),
        ("unix:///run/pools.sock", Endpoint(path="/run/pools.sock")),
    ],
)
def test_an_endpoint_is_read_as_people_write_it(text: str, read: Endpoint) -> None:
    assert Endpoint.read(text) == read
    assert Endpoint.read(str(read)) == read


@pytest.mark.parametrize(
    "text", ["", "here", "here:there", "1.2.3.4:99999", "https://a:1", "unix:"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no endpoint"):
        Endpoint.read(text)
