"""Hosts that serve only so many connections: what they take is found out, they are not hammered, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

import atonce
from atonce import Retry
from atonce.fetch import fetch
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
        assert stats.refused <= 0.1 * len(urls) + 8  # and those of the first moment
    assert all(host.open_peak <= MOST for host in stats.hosts.values())


def test_a_host_whose_connections_wait_for_each_other_gets_no_more_than_it_is_told(transport: str, model: str) -> None:
    with Lab(max_connections=2) as lab:
        options: dict[str, Any] = {"transport": transport, "model": model}
        pages = list(fetch(lab.urls(30), per_key=2, concurrency=2, **options))
        stats = lab.stats()
    assert all(page.ok for page in pages)
    assert stats.waited == stats.refused == 0


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
