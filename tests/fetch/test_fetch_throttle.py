"""`bandwidth=`: bodies come as fast as that together, and the time that they are kept waiting counts in no timeout."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import count

import pytest
from fetch_server import Scripted
from hypothesis import given
from hypothesis import strategies as st

from atonce import fetch
from atonce.errors import UsageError
from atonce.fetch import Timeouts
from atonce.fetch.api import FetchJob
from atonce.fetch.page import Page
from atonce.fetch.throttle import BURST, LEAST, Throttle
from atonce.lab import Lab

TRANSPORTS = ["curl", "aiohttp", "requests"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=2) as lab:
        yield lab


# ── the decision ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_come_is_waited_for() -> None:
    throttle = Throttle(1000)
    assert throttle.took(100, 50.0) == 0.0  # a tenth of a second's worth may come at once
    assert throttle.took(500, 50.0) == pytest.approx(0.5)
    assert throttle.took(500, 50.2) == pytest.approx(0.8)  # from another connection, after that of the first
    assert throttle.behind(50.5) == pytest.approx(0.5)
    assert throttle.behind(51.0) == 0.0
    assert throttle.took(1100, 90.0) == pytest.approx(1.0)  # what was not used in forty seconds is not saved up


@given(st.floats(1, 1e9), st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1 << 20), st.floats(0, 1)), max_size=60))
def test_who_waits_as_told_keeps_the_rate(rate: float, pieces: list[tuple[int, int, float]]) -> None:
    """Four connections, each of which takes its next piece some time after its wait is over."""
    throttle, free, came = Throttle(rate), [100.0] * 4, []
    for who, size, idle in pieces:
        now = max(free[who], max((at for at, _ in came), default=0.0)) + idle  # time does not go back
        free[who] = now + throttle.took(size, now)
        came.append((now, size))
    for first, (begin, _) in enumerate(came):
        total = 0
        for at, size in came[first:]:
            # each connection may have one piece before it is told to wait
            ahead = sum(sorted((size for _, size in came[first:]), reverse=True)[:4])
            total += size
            assert total <= rate * (at - begin + BURST + 4 * LEAST) * 1.000001 + ahead


def test_it_travels_without_what_has_come() -> None:
    throttle = Throttle(5.0)
    throttle.took(100, 10.0)
    assert pickle.loads(pickle.dumps(throttle)).behind(10.0) == 0.0
    assert repr(throttle) == "<Throttle 5 bytes a second>"


# ── the transports ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("size", "number"), [(4_000, 50), (50_000, 4)])
def test_all_together_come_no_faster(lab: Lab, transport: str, size: int, number: int) -> None:
    """Small ones, which are here whole before anything could hold them back, and some that come in many pieces. A server that
    is not told to wait has them all out within some milliseconds."""
    urls = [f"{lab.base}/bytes/{size}?{n}" for n in range(number)]
    pages = list(fetch(urls, transport=transport, bandwidth=400_000, concurrency=2))
    assert [len(page.body) for page in pages] == [size] * number
    began = min(page.started_at for page in pages if page.started_at)
    ended = max(page.started_at + page.total_s for page in pages if page.started_at and page.total_s)
    taken = ended - began
    # the last piece of each of the two is not waited for by all transports, nor is the burst, nor what is not worth a wait
    assert taken >= (size * number - 2 * min(size, 65_536)) / 400_000 - BURST - LEAST


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_being_held_back_is_no_timeout(lab: Lab, transport: str) -> None:
    """Two bodies of 150 KB at 100 KB/s: each lasts three times as long as an attempt may."""
    limits = Timeouts(connect=5, first_byte=5, stall=0.5, total=1.0)
    urls = [f"{lab.base}/bytes/150000?{n}" for n in range(2)]
    pages = list(fetch(urls, transport=transport, bandwidth=100_000, timeouts=limits, retry=1))
    assert [(page.error_class, len(page.body)) for page in pages] == [(None, 150_000)] * 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_host_that_stalls_is_still_noticed(lab: Lab, transport: str) -> None:
    limits = Timeouts(stall=0.2, total=10)
    urls = [f"{lab.base}/stall/500"]
    [page] = fetch(urls, transport=transport, bandwidth=1_000_000, timeouts=limits, retry=1)
    assert page.error_class == "timeout-stall"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_pause_ends_with_its_hop(transport: str) -> None:
    """Of a redirect whose body was to be held back; where it leads to, the time for a first byte is as ever."""
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000
    limits = Timeouts(first_byte=0.6, total=30)
    with Scripted([redirect, "wait"]) as server:
        [page] = fetch([server.url], transport=transport, bandwidth=10_000, timeouts=limits, retry=1)
    assert page.error_class == "timeout-first-byte"
    assert page.final_url == f"{server.url}there"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whoever_leaves_leaves_nothing_behind(lab: Lab, transport: str) -> None:
    """In the middle of bodies that are held back."""
    pages = fetch((f"{lab.base}/bytes/30000?{n}" for n in count()), transport=transport, bandwidth=300_000, concurrency=4)
    for _ in range(5):
        assert next(pages).ok
    pages.close()  # type: ignore[attr-defined]


# ── what it cannot be asked of ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bandwidth", [0, 0.5, -1, True, "1m", float("nan")])
def test_it_is_a_number(bandwidth: object) -> None:
    with pytest.raises(UsageError, match="bandwidth="):
        fetch(["http://h/"], bandwidth=bandwidth)


@pytest.mark.parametrize("options", [{"model": "hybrid"}, {"model": "processes"}, {"model": "dask"}, {"parallelism": 2}])
def test_several_processes_do_not_keep_it(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="kept by one process"):
        fetch(["http://h/"], bandwidth=1000, **options)


@pytest.mark.parametrize(("transport", "model"), [("auto", "coroutines"), ("aiohttp", "coroutines"), ("requests", "threads")])
def test_no_others_are_chosen_and_none_join(transport: str, model: str) -> None:
    job = FetchJob(transport, {"bandwidth": 1000})
    assert job.options["model"] == model
    if transport == "auto":
        page = Page("http://h/", "GET", "http://h/", body=b"x")
        assert job.transport.atonce_elsewhere(page) is None  # type: ignore[attr-defined]
