"""The fixtures users get, in test runs of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def configuration(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        addopts = "-p no:cacheprovider"
        asyncio_default_fixture_loop_scope = "function"
        filterwarnings = "error"
        """
    )


def test_a_blocking_client_starts_each_test_with_an_empty_server(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        def test_it_is_empty_and_remembers(memcached_client, time):
            assert memcached_client.get("a") is None
            memcached_client.set("a", time)
            assert memcached_client.get("a") == time
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_an_asyncio_client_lives_in_the_tests_own_loop(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        @pytest.mark.asyncio
        async def test_it_is_empty_and_remembers(async_memcached_client, time):
            assert await async_memcached_client.get("a") is None
            await async_memcached_client.set("a", time)
            assert await async_memcached_client.get("a") == time
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_both_clients_and_the_server_are_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import socket, pytest

        @pytest.mark.asyncio
        async def test_one(memcached_server, memcached_client, async_memcached_client):
            memcached_client.set("a", 1)
            assert await async_memcached_client.get("a") == 1
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(memcached_server.url)
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_server_ends_with_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_note(memcached_server):
            Path("note").write_text(memcached_server.url)
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    assert not Path((pytester.path / "note").read_text()).exists()


def test_the_fixtures_explain_themselves(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--fixtures")
    result.stdout.fnmatch_lines_random(
        ["memcached_server*", "memcached_client*", "async_memcached_client*"]
    )


def test_without_a_binary_a_test_says_what_to_install(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENOTE_MEMCACHED", "no-such-memcached")
    pytester.makepyfile("def test_it(memcached_server): pass")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*LocalServerError*apt install memcached*"])
