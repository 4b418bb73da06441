"""The order in which tickets are served."""

from __future__ import annotations

from cenote.pool.waiters import QUEUED, Ticket, WaitQueue


def queued(queue: WaitQueue[str]) -> Ticket[str]:
    ticket: Ticket[str] = Ticket(0.0)
    queue.number(ticket)
    queue.add(ticket)
    return ticket


def test_tickets_are_served_in_the_order_of_arrival() -> None:
    queue: WaitQueue[str] = WaitQueue()
    tickets = [queued(queue) for _ in range(3)]
    for ticket in tickets:
        assert queue.head is ticket
        assert ticket.state == QUEUED
        assert queue.remove(ticket)
        assert not queue.remove(ticket)
    assert queue.head is None


def test_a_ticket_that_comes_back_takes_its_old_place() -> None:
    queue: WaitQueue[str] = WaitQueue()
    tickets = [queued(queue) for _ in range(5)]
    for place in (3, 1, 0):
        queue.remove(tickets[place])
    for place in (3, 0, 1):
        queue.add(tickets[place])
    order = []
    while (head := queue.head) is not None:
        order.append(tickets.index(head))
        queue.remove(head)
    assert order == [0, 1, 2, 3, 4]
