"""When a name has moved: none of the addresses that connections were made to is found any more."""

from __future__ import annotations

import socket

import pytest

from cenote.connection.endpoint import Endpoint
from cenote.connection.whereabouts import Whereabouts


class Moves:
    """Counts how often a name has moved."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1


@pytest.fixture
def moves():
    return Moves()


@pytest.fixture
def places(moves):
    return Whereabouts(moves.add)


def look(places, *hosts):
    places.found("cache:1", [Endpoint(socket.AF_INET, (host, 1)) for host in hosts])


def test_the_first_look_moves_nothing(places, moves):
    look(places, "10.0.0.1")
    assert moves.count == 0


def test_an_address_that_has_vanished_moves_the_name(places, moves, caplog):
    look(places, "10.0.0.1")
    places.arrived(("10.0.0.1", 1))
    look(places, "10.0.0.2")
    assert moves.count == 1
    assert "from 10.0.0.1 to 10.0.0.2" in caplog.text


def test_it_has_moved_once(places, moves):
    places.arrived(("10.0.0.1", 1))
    look(places, "10.0.0.2")
    look(places, "10.0.0.2")
    places.arrived(("10.0.0.2", 1))
    look(places, "10.0.0.2")
    assert moves.count == 1


def test_answers_that_vary_move_nothing_while_one_address_is_found(places, moves):
    places.arrived(("10.0.0.1", 1))
    look(places, "10.0.0.3", "10.0.0.1")
    places.arrived(("10.0.0.3", 1))
    look(places, "10.0.0.3")
    look(places, "10.0.0.2", "10.0.0.1")
    assert moves.count == 0


def test_a_socket_without_a_peer_tells_nothing(places, moves):
    places.arrived(None)
    places.arrived("/run/memcached.sock")
    look(places, "10.0.0.2")
    assert moves.count == 0


def test_it_does_not_keep_alive_whom_it_tells():
    places = Whereabouts(Moves().add)
    places.arrived(("10.0.0.1", 1))
    look(places, "10.0.0.2")
