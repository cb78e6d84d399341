"""Time and flow control, on a loop whose clock stands still and a transport that records what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atonce.lab import Config
from atonce.lab.connection import Connection
from atonce.lab.server import Server

GET = b"GET /x HTTP/1.1\r\n\r\n"


class Loop:
    """`call_soon` and `call_later` in a list; each turn makes the first call, and the clock jump to it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[..., Any], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, act: Callable[..., Any], *args: Any) -> None:
        self.calls.append((self.now + delay, act, args))

    def call_soon(self, act: Callable[..., Any], *args: Any) -> None:
        self.call_later(0.0, act, *args)

    def turn(self) -> None:
        at, act, args = first = min(self.calls, key=lambda call: call[0])
        self.calls.remove(first)
        self.now = max(self.now, at)
        act(*args)

    def run(self) -> None:
        while self.calls:
            self.turn()


class Transport:
    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.written: list[tuple[float, bytes]] = []
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written.append((self.loop.now, data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    @property
    def times(self) -> list[float]:
        return [round(at, 6) for at, _ in self.written]


class World:
    def __init__(self, **options: Any) -> None:
        self.loop = Loop()
        loop: Any = self.loop
        self.server = Server(Config(hosts=2, **options), ["a:1", "b:1"], loop)

    def connect(self, host: int = 0) -> tuple[Connection, Any]:
        connection = Connection(self.server.hosts[host], self.server)
        transport: Any = Transport(self.loop)
        connection.connection_made(transport)
        return connection, transport


def test_latency_is_between_request_and_answer() -> None:
    world = World(latency=0.5)
    connection, transport = world.connect()
    connection.data_received(GET)
    assert world.server.total.busy == 1
    world.loop.run()
    connection.data_received(GET)
    world.loop.run()
    assert transport.times == [100.5, 101.0]
    assert world.server.total.busy == 0


def test_new_connections_of_a_host_pay_one_after_another_and_only_once() -> None:
    world = World(connection_cost=2.0, latency=0.5)
    three = [world.connect(host=0) for _ in range(3)]
    other = world.connect(host=1)
    for connection, _ in [*three, other]:
        connection.data_received(GET)
    world.loop.run()
    assert [transport.times for _, transport in three] == [[102.5], [104.5], [106.5]]
    assert other[1].times == [102.5]
    for connection, _ in three:
        connection.data_received(GET)
    world.loop.run()
    assert [transport.times[1] for _, transport in three] == [107.0] * 3


def test_the_handshake_goes_on_while_the_client_is_silent() -> None:
    world = World(connection_cost=2.0)
    connection, transport = world.connect()
    world.loop.now = 101.0
    connection.data_received(GET)
    world.loop.run()
    assert transport.times == [102.0]


def test_one_that_waited_pays_from_when_it_is_let_in() -> None:
    world = World(connection_cost=2.0, max_connections=1)
    first, _ = world.connect()
    second, transport = world.connect()
    second.data_received(GET)
    world.loop.run()
    assert transport.written == []
    world.loop.now = 200.0
    first.connection_lost(None)
    world.loop.run()
    assert transport.times == [202.0]


def test_requests_in_a_pipe_are_answered_one_at_a_time() -> None:
    world = World(latency=1.0)
    connection, transport = world.connect()
    connection.data_received(GET * 3)
    world.loop.run()
    assert transport.times == [101.0, 102.0, 103.0]
    assert world.server.total.busy_peak == 1


def test_a_client_that_sends_ahead_is_not_read_without_bound() -> None:
    world = World(latency=1.0)
    connection, transport = world.connect()
    connection.data_received(GET)
    connection.data_received(GET * 10_000)
    assert not transport.reading
    connection.data_received(GET)  # was on its way
    world.loop.run()
    assert transport.reading
    assert world.server.total.requests == 10_002


def test_a_body_is_written_as_fast_as_it_is_read() -> None:
    world = World()
    connection, transport = world.connect()
    connection.data_received(b"GET /endless HTTP/1.1\r\n\r\n")
    connection.pause_writing()
    world.loop.run()
    assert len(transport.written) == 1  # the head
    connection.resume_writing()
    connection.resume_writing()
    assert len(world.loop.calls) == 1  # however often it is told
    world.loop.turn()
    one_turn = len(transport.written)
    assert 1 < one_turn < 100
    transport.close()
    connection.connection_lost(None)
    world.loop.run()
    assert len(transport.written) == one_turn
    assert world.server.total.busy == 0


def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    world = World(latency=1.0)
    connection, transport = world.connect()
    connection.data_received(GET)
    transport.close()
    connection.connection_lost(None)
    world.loop.run()
    assert transport.written == []
    assert (world.server.total.busy, world.server.total.open) == (0, 0)


def test_a_drip_is_a_byte_a_second() -> None:
    world = World()
    connection, transport = world.connect()
    connection.data_received(b"GET /drip/3 HTTP/1.1\r\n\r\n")
    world.loop.run()
    assert transport.times == [100.0, 100.0, 101.0, 102.0]
    assert world.loop.now == 103.0
    connection.data_received(GET)
    assert transport.written[-1][1].startswith(b"HTTP/1.1 200")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.lab.server._REPLIES", 10)
    world = World()
    connection, _ = world.connect()
    for n in range(100):
        connection.data_received(b"GET /%d HTTP/1.1\r\n\r\n" % n)
    assert 0 < len(world.server.replies) <= 10
    monkeypatch.setattr("atonce.lab.server._REPLY_BYTES", 3000)
    for n in range(1000, 1100):
        connection.data_received(b"GET /bytes/%d HTTP/1.1\r\n\r\n" % n)
    assert sum(map(len, world.server.replies.values())) <= 3000
