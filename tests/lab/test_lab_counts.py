from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from lab_client import Client

from atonce.errors import UsageError
from atonce.lab import Lab, Stats

Connect = Callable[[str], Client]


def test_urls_take_the_hosts_in_turn(lab: Lab) -> None:
    assert lab.base == f"http://{lab.hosts[0]}"
    assert [host.split(":")[0] for host in lab.hosts] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({host.split(":")[1] for host in lab.hosts}) == 1
    one, two, three = (f"http://{host}" for host in lab.hosts)
    assert lab.urls(4, "/a") == [f"{one}/a?n=0", f"{two}/a?n=1", f"{three}/a?n=2", f"{one}/a?n=3"]
    assert lab.urls(2, "/a?b=c", start=7) == [f"{two}/a?b=c&n=7", f"{three}/a?b=c&n=8"]
    assert lab.urls(4, "/a", unique=False) == [f"{one}/a", f"{two}/a", f"{three}/a", f"{one}/a"]


def test_each_url_is_counted(connect: Connect, lab: Lab) -> None:
    lab.reset()
    clients = {host: connect(host) for host in lab.hosts}
    urls = lab.urls(10, "/bytes/5")
    for url in [*urls, urls[4]]:
        host, _, path = url.removeprefix("http://").partition("/")
        clients[host].get(f"/{path}")
        assert clients[host].reply()[0] == 200
    stats = lab.stats()
    assert stats.urls == {url: 1 + (url == urls[4]) for url in urls}
    assert stats.repeated() == {urls[4]: 2}
    assert stats.requests == 11
    assert [stats.hosts[host].requests for host in lab.hosts] == [4, 4, 3]
    assert stats.paths["/bytes/5?n=0"] == 1
    assert (stats.busy, stats.busy_peak) == (0, 1)


def test_the_same_path_on_two_hosts_is_two_urls(connect: Connect, lab: Lab) -> None:
    lab.reset()
    for host in lab.hosts[:2]:
        client = connect(host)
        client.get("/same")
        client.reply()
    assert lab.stats().paths == {"/same": 2}
    assert lab.stats().repeated() == {}


def test_peaks_are_the_most_at_once_by_host_and_in_all(connect: Connect, lab: Lab) -> None:
    lab.wait_until(lambda stats: stats.open == 0)
    lab.reset()
    first, second = lab.hosts[:2]
    three, one = [connect(first) for _ in range(3)], connect(second)
    for client in [*three, one]:
        client.get("/silent")
    stats = lab.wait_until(lambda stats: stats.busy == 4)
    assert (stats.connections, stats.open, stats.open_peak, stats.busy_peak) == (4, 4, 4, 4)
    assert [stats.hosts[host].busy_peak for host in lab.hosts] == [3, 1, 0]
    for client in three:
        client.close()
    lab.wait_until(lambda stats: stats.open == 1)
    two = [connect(second) for _ in range(2)]
    for client in two:
        client.get("/silent")
    stats = lab.wait_until(lambda stats: stats.busy == 3)
    assert (stats.open_peak, stats.busy_peak) == (4, 4)
    assert [stats.hosts[host].open_peak for host in lab.hosts] == [3, 3, 0]
    lab.reset()
    stats = lab.stats()
    assert (stats.connections, stats.requests, stats.open_peak, stats.busy_peak) == (0, 0, 3, 3)


def test_over_the_limit_connections_wait_until_one_closes(connect: Connect) -> None:
    with Lab(max_connections=2) as lab:
        clients = [connect(lab.hosts[0]) for _ in range(4)]
        for n, client in enumerate(clients[:2]):
            client.get(f"/{n}")
            client.reply()
        for n, client in enumerate(clients[2:], 2):
            client.get(f"/{n}")
        stats = lab.wait_until(lambda stats: stats.open == 4)
        assert (stats.requests, stats.waited, stats.refused) == (2, 2, 0)
        clients[1].get("/1")  # those inside go on
        clients[1].reply()
        clients[0].close()
        assert clients[2].reply() == (200, b"This is /2 of the lab.\n")
        assert lab.stats().requests == 4
        clients[2].close()
        assert clients[3].reply() == (200, b"This is /3 of the lab.\n")
        assert lab.stats().busy_peak == 1


def test_the_limit_is_of_each_host(connect: Connect) -> None:
    with Lab(hosts=2, max_connections=1) as lab:
        for host in lab.hosts:
            client = connect(host)
            client.get("/")
            assert client.reply()[0] == 200


def test_over_the_limit_connections_are_answered_503(connect: Connect) -> None:
    with Lab(max_connections=1, over_limit="503") as lab:
        first, second = connect(lab.hosts[0]), connect(lab.hosts[0])
        first.get("/")
        assert first.reply()[0] == 200
        second.get("/")
        assert second.reply()[0] == 503
        assert second.read_to_end() == b""
        stats = lab.stats()
        assert (stats.connections, stats.refused, stats.open_peak, stats.requests) == (2, 1, 1, 2)
        first.close()
        lab.wait_until(lambda stats: stats.open == 0)
        third = connect(lab.hosts[0])
        third.get("/")
        assert third.reply()[0] == 200


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_over_the_limit_connections_are_reset(connect: Connect, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with Lab(max_connections=1, over_limit="reset", loop="uvloop" if loop == "uvloop" else "asyncio") as lab:
        first = connect(lab.hosts[0])
        first.get("/")
        assert first.reply()[0] == 200
        with pytest.raises(ConnectionResetError):
            connect(lab.hosts[0]).sock.recv(1)
        assert lab.stats().refused == 1
        first.get("/")
        assert first.reply()[0] == 200


def test_latency_and_handshakes_reach_the_socket(connect: Connect) -> None:
    with Lab(latency=0.001, connection_cost=0.001) as lab:
        clients = [connect(lab.hosts[0]) for _ in range(5)]
        for client in clients:
            client.get("/")
        assert [client.reply()[0] for client in clients] == [200] * 5


def test_waiting_for_what_never_comes_ends(lab: Lab) -> None:
    def never(stats: Stats) -> bool:
        return False

    with pytest.raises(TimeoutError, match="requests="):
        lab.wait_until(never, seconds=0)


def test_a_lab_that_does_not_run_says_so() -> None:
    lab = Lab()
    for use in (lab.stats, lab.reset, lambda: lab.hosts, lambda: lab.urls(1), lambda: lab.pid):
        with pytest.raises(UsageError, match="not running"):
            use()
    assert repr(lab) == "<Lab not running>"


def test_a_port_in_use_is_a_usage_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127.0.0.1, port {port}"):
            Lab(port=port).start()
