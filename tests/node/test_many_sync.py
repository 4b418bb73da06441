"""A batch over several servers, from threads: what it returns, holds, sends again and gives up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic

import pytest

from cenote.errors import ClientError, ConnectionLost, OperationTimeout, PoolClosed, PoolTimeout
from cenote.node import many_sync
from cenote.node.many_sync import exchange_all
from cenote.node.sync import Node
from cenote.protocol import STORED, BatchReply, Reply, Request, get, incr, set_many, store
from cenote.testing.faults import Stall, Truncate
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.node.worlds import TRUSTING, node_behind, soon
from tests.patience import until

SIZE = 3


@pytest.fixture
def proxies(server: MemcachedServer) -> Iterator[list[FaultProxy]]:
    """Several ways to one server: as good as several servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(FaultProxy(server.endpoint)) for _ in range(SIZE)]


@pytest.fixture
def nodes(proxies: list[FaultProxy]) -> Iterator[list[Node]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(node_behind(proxy))) for proxy in proxies]


@pytest.fixture
def single(proxies: list[FaultProxy]) -> Iterator[list[Node]]:
    """Nodes that have one connection each."""
    options = replace(TRUSTING, max_size=1)
    with ExitStack() as stack:
        yield [stack.enter_context(closing(node_behind(proxy, options))) for proxy in proxies]


def put(node: Node, key: bytes, value: bytes) -> None:
    assert node.request(store("set", key, value, 0, 0), soon()) is STORED


def assert_nothing_is_held(nodes: list[Node]) -> None:
    assert [node.pool.stats().used for node in nodes] == [0] * len(nodes)


def test_replies_come_in_the_order_of_the_requests(nodes: list[Node]) -> None:
    for number, node in enumerate(nodes):
        put(node, b"many%d" % number, b"%d" % number)
    asked = [(node, get(b"many%d" % number)) for number, node in enumerate(nodes)]
    assert exchange_all(asked, soon()) == [(b"%d" % number, 0, 0) for number in range(SIZE)]
    assert exchange_all([], soon()) == []
    assert_nothing_is_held(nodes)


def test_an_error_is_the_answer_of_its_own_server_only(nodes: list[Node]) -> None:
    put(nodes[0], b"text", b"no number")
    refused, stored, found = exchange_all(
        [
            (nodes[0], incr(b"text", 1)),
            (nodes[1], store("set", b"k", b"v", 0, 0)),
            (nodes[2], get(b"text")),
        ],
        soon(),
    )
    assert isinstance(refused, ClientError)
    assert (stored, found) == (STORED, (b"no number", 0, 0))
    assert_nothing_is_held(nodes)
    assert [node.pool.stats().created for node in nodes] == [1, 1, 1]


def test_each_request_whose_idle_connection_was_closed_is_sent_again(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    for node, proxy in zip(nodes, proxies, strict=True):
        put(node, b"again", b"v")
        proxy.hang_up()
    assert exchange_all([(node, get(b"again")) for node in nodes], soon()) == [(b"v", 0, 0)] * SIZE
    assert [node.health().retries for node in nodes] == [1] * SIZE


def test_what_is_sent_again_is_sent_when_nothing_is_held(
    proxies: list[FaultProxy],
) -> None:
    """The only connection of the second pool is in use by the batch until it has answered."""
    options = replace(TRUSTING, max_size=1)
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(node_behind(proxy, options))) for proxy in proxies[:2]
        )
        put(first, b"again", b"v")
        put(second, b"again", b"v")
        proxies[0].hang_up()
        held: list[int] = []
        once_more = first.once_more

        def note(request, deadline):
            held.append(second.pool.stats().used)
            return once_more(request, deadline)

        first.once_more = note  # type: ignore[method-assign]
        asked = [(first, get(b"again")), (second, get(b"again"))]
        assert exchange_all(asked, soon()) == [(b"v", 0, 0)] * 2
        assert held == [0]


def test_a_batch_that_may_do_harm_is_not_sent_again(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    put(nodes[0], b"count", b"1")
    proxies[0].hang_up()
    (lost,) = exchange_all([(nodes[0], incr(b"count", 1))], soon())
    assert isinstance(lost, ConnectionError)
    assert nodes[0].request(get(b"count"), soon()) == (b"1", 0, 0)


def test_a_server_that_can_not_be_leased_from_does_not_keep_the_others(nodes: list[Node]) -> None:
    put(nodes[2], b"k", b"v")
    nodes[0].close()
    with ExitStack() as stack:
        for _ in range(TRUSTING.max_size):
            stack.enter_context(nodes[1].lease(soon()))
        deadline = nodes[1].pool.clock() + 0.2
        closed, busy, found = exchange_all([(node, get(b"k")) for node in nodes], deadline)
    assert isinstance(closed, PoolClosed)
    assert isinstance(busy, PoolTimeout)
    assert isinstance(found, OperationTimeout)  # its turn came when the time was up


def test_a_server_that_hangs_does_not_keep_the_others(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    for node in nodes:
        put(node, b"k", b"v")
    proxies[0].replies = Stall()
    silent, *found = exchange_all([(n, get(b"k")) for n in nodes], nodes[0].pool.clock() + 0.3)
    assert isinstance(silent, OperationTimeout)
    assert found == [(b"v", 0, 0)] * 2
    assert_nothing_is_held(nodes)


@contextmanager
def under_way(asked: list[tuple[Node, Request]]) -> Iterator[list[Reply]]:
    """Have another thread carry out a batch; its replies are there at the end."""
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.extend(exchange_all(asked, soon())))
    thread.start()
    try:
        yield replies
    finally:
        thread.join()


def held(nodes: list[Node]) -> list[int]:
    return [node.pool.stats().used for node in nodes]


VALUE = b"v" * 100


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("silent", range(SIZE))
def test_while_a_server_hangs_what_the_others_have_answered_with_is_given_back(
    single: list[Node], proxies: list[FaultProxy], silent: int, begins: bool
) -> None:
    """Also where it hangs in the middle of its answer."""
    nodes = single
    for node in nodes:
        put(node, b"k", VALUE)
    proxies[silent].wait_for(lambda proxy: proxy.delivered == proxy.replied)
    said = proxies[silent].delivered
    proxies[silent].replies = Truncate(said + 10) if begins else Stall()
    with under_way([(node, get(b"k")) for node in nodes]) as replies:
        until(lambda: held(nodes) == [number == silent for number in range(SIZE)])
        if begins:
            proxies[silent].wait_for(lambda proxy: proxy.delivered > said)
        for number, node in enumerate(nodes):
            if number != silent:
                assert node.request(get(b"k"), soon()) == (VALUE, 0, 0)
                assert node.pool.stats().created == 1
        assert replies == []
        proxies[silent].heal()
        if begins:
            proxies[silent].hang_up()
    assert isinstance(replies.pop(silent), ConnectionLost) is begins
    assert replies == [(VALUE, 0, 0)] * (SIZE - 1)


@pytest.mark.parametrize("cold", [False, True])
def test_connections_that_are_opened_or_looked_at_first_do_not_have_servers_asked_in_turn(
    proxies: list[FaultProxy], monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    """While the first has not answered, the last is asked."""
    monkeypatch.setattr(many_sync, "_MOMENT", 30.0)
    options = replace(TRUSTING, check_after=0.0)
    with ExitStack() as stack:
        nodes = [stack.enter_context(closing(node_behind(proxy, options))) for proxy in proxies]
        for node in nodes[:1] if cold else nodes:
            put(node, b"k", b"v")
        asked = proxies[2].requested
        proxies[0].replies = Stall()
        with under_way([(node, get(b"k")) for node in nodes]) as replies:
            try:
                proxies[2].wait_for(lambda proxy: proxy.requested > asked, 10)
            finally:
                proxies[0].heal()
        assert replies[0] == (b"v", 0, 0)


def test_a_batch_whose_last_server_can_not_be_asked_ends_with_the_others(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    put(nodes[0], b"k", b"v")
    nodes[2].close()
    proxies[0].replies = proxies[1].replies = Stall()
    with under_way([(node, get(b"k")) for node in nodes]) as replies:
        until(lambda: held(nodes)[0] == 1)
        proxies[0].heal()
        proxies[1].heal()
    assert replies[:2] == [(b"v", 0, 0)] * 2
    assert isinstance(replies[2], PoolClosed)


def test_while_a_connection_is_waited_for_what_has_been_answered_is_given_back(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_sync, "_MOMENT", 10.0)  # as long as a busy machine may take
    for node in nodes:
        put(node, b"k", b"v")
    with ExitStack() as stack:
        for _ in range(TRUSTING.max_size):
            stack.enter_context(nodes[1].lease(soon()))
        with under_way([(node, get(b"k")) for node in nodes]) as replies:
            until(lambda: nodes[1].pool.stats().waiting == 1)
            assert held(nodes) == [0, TRUSTING.max_size, 0]
            stack.close()
    assert replies == [(b"v", 0, 0)] * SIZE


def test_large_batches_are_carried_out_side_by_side(nodes: list[Node]) -> None:
    request = set_many([(b"large%d" % n, bytes(100_000), 0) for n in range(100)], 0, meta=True)
    assert exchange_all([(node, request) for node in nodes], soon()) == [BatchReply()] * SIZE


class Interrupted(BaseException):
    """What a signal handler raises."""


def has_replied(past: int, proxy: FaultProxy) -> bool:
    return proxy.replied > past


@contextmanager
def struck(*proxies: FaultProxy) -> Iterator[None]:
    """Raise in the main thread once each has had an answer, of which the first is held back."""

    def raise_it(*_: object) -> None:
        raise Interrupted

    replied = [proxy.replied for proxy in proxies]
    before = signal.signal(signal.SIGUSR1, raise_it)

    def strike() -> None:
        for proxy, past in zip(proxies, replied, strict=True):
            proxy.wait_for(partial(has_replied, past))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            yield
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_interrupted_it_destroys_what_it_has_not_finished(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    for number, node in enumerate(nodes):
        put(node, b"many%d" % number, b"%d" % number)
    asked = [(node, get(b"many%d" % number)) for number, node in enumerate(nodes)]
    proxies[1].replies = Stall()
    with struck(*proxies[1:]):
        exchange_all(asked, soon())
    proxies[1].heal()
    assert_nothing_is_held(nodes)
    for node in nodes:
        assert node.request(get(b"many0"), soon()) == (b"0", 0, 0)
    assert nodes[1].pool.stats().created == 2


def test_a_server_that_has_just_failed_is_asked_when_nothing_of_the_others_is_held(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    """While it is waited for, somebody else can have every connection of the others."""
    for number, node in enumerate(nodes):
        put(node, b"many%d" % number, b"v")
    proxies[0].replies = Stall()
    with pytest.raises(OperationTimeout):
        nodes[0].request(get(b"many0"), monotonic() + 0.05)
    nodes[0].vigil.failed(nodes[0].answered(), monotonic())  # as whoever watches would tell it
    assert nodes[0].health().state == "suspect"
    held: list[int] = []
    checkout = nodes[0].pool.checkout

    def note(deadline: float) -> object:
        held.extend(node.pool.stats().used for node in nodes[1:])
        proxies[0].heal()
        return checkout(deadline)

    nodes[0].pool.checkout = note  # type: ignore[method-assign, assignment]
    asked = [(node, get(b"many%d" % number)) for number, node in enumerate(nodes)]
    assert exchange_all(asked, soon()) == [(b"v", 0, 0)] * SIZE
    assert held == [0, 0]
    assert not nodes[0].in_doubt()


def test_nothing_is_sent_again_when_the_budget_is_spent(
    nodes: list[Node], proxies: list[FaultProxy]
) -> None:
    for node, proxy in zip(nodes[:2], proxies[:2], strict=True):
        put(node, b"again", b"v")
        node.spend = lambda: False
        proxy.hang_up()
    (lost,) = exchange_all([(nodes[0], get(b"again"))], soon())
    assert isinstance(lost, ConnectionLost)
    with pytest.raises(ConnectionLost):
        nodes[1].request(get(b"again"), soon())
    assert [node.health().retries for node in nodes[:2]] == [0, 0]
    nodes[0].spend = lambda: True
    proxies[0].hang_up()
    assert nodes[0].request(get(b"again"), soon()) == (b"v", 0, 0)
