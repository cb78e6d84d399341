"""Hosts that serve only so many connections: what they take is found out, they are not hammered, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

import atonce
from atonce import Retry
from atonce.fetch import Request, Timeouts, fetch
from atonce.fetch.url import host_of
from atonce.lab import Lab

MOST, REQUESTS = 6, 240


@pytest.mark.slow
@pytest.mark.parametrize("over_limit", ["503", "reset"])
def test_what_a_host_refuses_comes_again_and_the_limit_is_found(transport: str, model: str, over_limit: Any) -> None:
    with Lab(hosts=2, max_connections=MOST, over_limit=over_limit, latency=0.02) as lab:
        urls = lab.urls(2 * REQUESTS)
        options: dict[str, Any] = {"transport": transport, "model": model}
        pages = list(fetch(urls, retry=Retry(attempts=20, base=0.01, budget=5), **options))
        stats = lab.stats()
    assert [page.error for page in pages if not page.ok] == []
    assert len(pages) == len(urls)
    if over_limit == "503":  # a connection that breaks off is a failure like any other: nobody says that it is too much
        assert stats.refused <= 0.15 * len(urls) + 8  # and those of the first moment
    assert all(host.open_peak <= MOST for host in stats.hosts.values())


@pytest.mark.parametrize("most", [1, 4, 10])
def test_a_host_that_counts_idle_connections_has_few_to_refuse(transport: str, model: str, most: int) -> None:
    with Lab(behaviours=[f"by-connections/{most}"]) as lab:
        pages = list(fetch(lab.urls(60), transport=transport, model=model, retry=Retry(attempts=10, base=0.01)))
        stats = lab.stats()
    assert [page.error for page in pages if not page.ok] == []
    assert stats.requests <= 60 + 60


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("behaviour", ["status", "tls"])
@pytest.mark.usefixtures("trusted")
def test_a_connection_over_which_a_host_refused_is_closed(transport: str, model: str, behaviour: str, status: int) -> None:
    """And no other."""
    with Lab(hosts=2, behaviours=["bytes/10", "tls" if behaviour == "tls" else f"status/{status}"]) as lab:
        refusing = lab.url(lab.config.behaviours[1], f"/status/{status}")
        urls = [f"{url}?n={number}" for number in range(3) for url in (lab.url("bytes/10"), refusing)]
        pages = list(fetch(urls, transport=transport, model=model, concurrency=1, retry=1, ordered=True))
        stats = lab.wait_until(lambda stats: stats.open == 0)
    assert [page.status for page in pages] == [200, status] * 3
    assert all(page.peer_ip and page.body for page in pages)
    assert [host.connections for host in stats.hosts.values()] == [1, 3]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_sent_next_does_not_fail_of_a_connection_that_was_closed(transport: str, model: str, method: str) -> None:
    """Each request is seen twice, refused and served: none is lost, and none is sent once more."""
    with Lab(latency=0.02, behaviours=["throttled/1"]) as lab:
        requests = [Request(url, method, body=b"x" if method == "POST" else None) for url in lab.urls(20)]
        retry = Retry(attempts=2, base=0.001)
        pages = list(fetch(requests, transport=transport, model=model, concurrency=20, per_key=20, retry=retry))
        stats = lab.stats()
    assert [(page.status, page.attempts) for page in pages] == [(200, 2)] * 20
    assert stats.requests == 40


def test_a_host_whose_connections_wait_for_each_other_gets_no_more_than_it_is_told(transport: str, model: str) -> None:
    with Lab(max_connections=2) as lab:
        options: dict[str, Any] = {"transport": transport, "model": model}
        pages = list(fetch(lab.urls(30), per_key=2, concurrency=2, **options))
        stats = lab.stats()
    assert all(page.ok for page in pages)
    assert stats.waited == stats.refused == 0


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True], ids=["one process", "two"])
@pytest.mark.parametrize("most", [1, 3, 12])
def test_a_host_that_serves_few_connections_and_lets_others_wait_loses_nothing(
    transport: str, model: str, most: int, several: bool
) -> None:
    """As a server with so many processes, each of them with a connection that is kept, and a queue of others: those in it get
    nothing for as long. They are sent again over the connections that are served, and no more are opened than that."""
    with Lab(max_connections=most, latency=0.005) as lab:
        timeouts = Timeouts(first_byte=0.5)
        options: dict[str, Any] = {"transport": transport, "model": "hybrid" if several else model, "concurrency": 64}
        options |= {"parallelism": 2} if several else {}
        pages = list(fetch(lab.urls(150), timeouts=timeouts, **options))
        stats = lab.stats()
    assert [page.error for page in pages if not page.ok] == []
    assert stats.repeated() == {}  # none of those that waited was served
    assert 0 < stats.waited <= 0.5 * len(pages)


def test_threads_share_their_connections() -> None:
    """As many as requests are under way, however many threads there are; and nothing is open when the run is over."""
    with Lab(hosts=2, latency=0.005) as lab:
        pages = list(fetch(lab.urls(200), transport="requests", model="threads", concurrency=16, per_key=2))
        stats = lab.wait_until(lambda stats: stats.open == 0)
    assert all(page.ok for page in pages)
    assert stats.connections <= 4


def test_a_limit_for_each_key_holds_for_threads_of_any_function() -> None:
    """`key=` and `per_key=` of `map`: `requests`, which knows nothing of limits, on 16 threads."""
    import requests

    def get(session: requests.Session, url: str) -> int:
        return session.get(url, timeout=30).status_code

    def session() -> requests.Session:
        one = requests.Session()
        one.trust_env = False
        return one

    with Lab(hosts=3, latency=0.005) as lab:
        urls = lab.urls(120)
        told = {"setup": session, "model": "threads", "concurrency": 16, "key": host_of}
        assert list(atonce.map(get, urls, per_key=2, **told)) == [200] * len(urls)
        stats = lab.stats()
        assert all(host.busy_peak <= 2 for host in stats.hosts.values())
        lab.reset()
        run = atonce.run(get, urls, per_key="auto", **told)
        assert run.values == [200] * len(urls)
        assert any(host in run.stats.why for host in lab.hosts)
