"""What only the curl transport has: its runner, libcurl's callbacks, and who watches the sockets."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pycurl
import pytest
from fetch_server import Scripted, reply

from atonce.errors import ItemTimeout
from atonce.fetch import FetchError, Page, Request, Timeouts
from atonce.fetch.api import fetch
from atonce.fetch.limits import Policy
from atonce.fetch.transport import curl, easy, interest
from atonce.fetch.transport.curl import Curl, MultiRunner
from atonce.fetch.transport.easy import Transfer, _last_head
from atonce.fetch.transport.ended import MOMENT, Ended
from atonce.fetch.transport.sharing import Sharing
from atonce.lab import Lab
from atonce.worker.job import Cells, Job
from atonce.worker.outbox import Outbox, Report


class Running:
    """A runner with its outbox: `take` waits for so many results."""

    def __init__(self, slots: int, policy: Policy | None = None, timeout: float | None = None) -> None:
        self.results: dict[int, Any] = {}
        self.reports = 0
        self._news = threading.Condition()
        self.cells = Cells(slots)
        job = Job(Curl(policy or Policy()), timeout=timeout)
        self.runner = MultiRunner(job, slots, Outbox(self._send, self._broken), self.cells)

    def _send(self, report: Report) -> None:
        with self._news:
            self.reports += 1
            found = [*zip(report.indices, report.values, strict=True), *((row.index, row.error) for row in report.failures)]
            assert not self.results.keys() & dict(found).keys()
            self.results.update(found)
            self._news.notify_all()

    def _broken(self, error: BaseException) -> None:
        raise AssertionError from error

    def take(self, count: int) -> dict[int, Any]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.results) >= count, timeout=20)
            return self.results


@contextmanager
def running(slots: int, **told: Any) -> Iterator[Running]:
    run = Running(slots, **told)
    run.runner.start()
    try:
        yield run
    finally:
        run.runner.stop(cancel=True)


# ── the runner ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_item_fed_ends_once(lab: Lab) -> None:
    requests = [Request(url) for url in lab.urls(200, "/bytes/100")]
    with running(8) as run:
        run.runner.feed(enumerate(requests[:150]))
        run.runner.feed(enumerate(requests[150:], 150))
        results = run.take(200)
        assert sorted(results) == list(range(200))
        assert all(isinstance(page, Page) and page.ok for page in results.values())
        assert run.cells.running() == []
        run.runner.feed([(200, requests[0])])  # after it had nothing to do
        run.take(201)
    assert lab.stats().busy_peak <= 8
    assert lab.stats().connections <= 24


def test_stop_finishes_what_was_fed(lab: Lab) -> None:
    run = Running(4)
    run.runner.start()
    run.runner.feed(enumerate(Request(url) for url in lab.urls(20, "/bytes/100")))
    run.runner.stop(cancel=False)
    assert len(run.results) == 20


@pytest.mark.parametrize("how", ["stop", "leave"])
def test_cancelling_does_not_wait(lab: Lab, how: str) -> None:
    run = Running(2)
    run.runner.start()
    run.runner.feed(enumerate(Request(url) for url in lab.urls(5, "/silent")))
    lab.wait_until(lambda stats: stats.busy == 2)
    assert [index for _, index, _ in run.cells.running()] == [0, 1]
    if how == "stop":
        run.runner.stop(cancel=True)
    else:
        run.runner.leave()
        run.runner._thread.join(5)
    assert not run.runner._thread.is_alive()
    assert run.results == {}
    lab.wait_until(lambda stats: stats.open == 0)
    run.runner.stop(cancel=True)  # twice is fine


def test_slots_come_and_go(lab: Lab) -> None:
    with running(4) as run:
        run.runner.resize(1)
        run.runner.feed(enumerate(Request(url) for url in lab.urls(10, "/bytes/1")))
        run.take(10)
        assert lab.stats().busy_peak == 1
        run.runner.resize(100)
        assert run.runner.slots == 4
        run.runner.feed((10 + n, Request(url)) for n, url in enumerate(lab.urls(6, "/silent")))
        lab.wait_until(lambda stats: stats.busy == 4)


def test_a_result_is_not_held_back_by_the_item_beside_it(lab: Lab) -> None:
    with running(2) as run:
        run.runner.feed([(0, Request(f"{lab.base}/silent")), (1, Request(f"{lab.base}/bytes/1"))])
        assert run.take(1)[1].ok


def test_the_jobs_timeout_is_kept(lab: Lab) -> None:
    with running(2, timeout=0.2) as run:
        run.runner.feed([(7, Request(f"{lab.base}/silent?token=abc"))])
        error = run.take(1)[7]
    assert isinstance(error, ItemTimeout)
    assert "abc" not in str(error)


def test_it_travels_to_workers() -> None:
    transport = pickle.loads(pickle.dumps(Curl(Policy(timeouts=Timeouts(connect=1)))))
    assert transport.policy.timeouts.connect == 1
    assert transport.atonce_runner == f"{MultiRunner.__module__}:MultiRunner"
    with pytest.raises(TypeError):
        transport(Request("http://h/"))


@pytest.mark.parametrize("refused", [ValueError("embedded null byte"), pycurl.error(43, "bad argument"), MemoryError()])
def test_what_libcurl_does_not_take_fails_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch, refused: Exception) -> None:
    def dress(self: Transfer, hop: Request) -> None:
        if "X-Bad" in dict(hop.headers):
            raise refused
        dressed(self, hop)

    dressed = Transfer._dress
    monkeypatch.setattr(Transfer, "_dress", dress)
    url = f"{lab.base}/bytes/1"
    bad = {"X-Bad": "1"}
    through = Request(f"{lab.base}/redirect-to?url=/bytes/1", headers=bad)
    items = [url, Request(url, headers=bad), through, url, Request(url, headers={"X-Fine": "1"})]
    pages = list(fetch(items, concurrency=1, ordered=True))
    assert [(page.error_class, page.attempts) for page in pages] == [(None, 1)] + [("local-io", 1)] * 2 + [(None, 1)] * 2
    assert lab.stats().requests == 3


# ── the transfer ─────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def transfer(url: str, policy: Policy | None = None) -> Iterator[Transfer]:
    share = pycurl.CurlShare()
    made = Transfer(0, policy or Policy(), share, Sharing(), Ended(), opened=lambda: None, pauses=lambda transfer: None)
    made.begin(0, Request(url), 0.0, 0.0)
    yield made
    made.close()
    share.close()


def address(host: str, family: int = socket.AF_INET) -> Any:
    return SimpleNamespace(family=family, socktype=socket.SOCK_STREAM, protocol=socket.IPPROTO_TCP, addr=(host, 80))


def test_a_public_name_with_a_private_address() -> None:
    with transfer("http://public.example.org/") as made:
        assert made._open(0, address("169.254.169.254")) == pycurl.SOCKET_BAD
        error = made.broken(pycurl.E_COULDNT_CONNECT, "could not connect", 1.0)
    assert isinstance(error, FetchError)
    assert error.page is not None
    assert (error.page.error_class, error.retryable) == ("policy", False)
    for policy, url in ((Policy(allow_private=True), "http://public.example.org/"), (None, "http://localhost/")):
        with transfer(url, policy) as made:
            assert made._open(0, address("127.0.0.1")).fileno() > 0


def test_no_descriptor_is_our_failure_and_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(easy, "socket", SimpleNamespace(socket=none_left))
    with transfer("http://localhost/") as made:
        assert made._open(0, address("127.0.0.1")) == pycurl.SOCKET_BAD
        error = made.broken(pycurl.E_COULDNT_CONNECT, "could not connect", 1.0)
    assert error.page is not None
    assert (error.page.error_class, error.retryable) == ("local-io", True)


OK, END = b"HTTP/1.1 200 OK\r\n", b"\r\n"


@pytest.mark.parametrize(
    ("lines", "head"),
    [
        ([OK, b"A: b\r\n", END], OK + b"A: b\r\n" + END),
        ([b"HTTP/1.1 100 Continue\r\n", END, OK, END], OK + END),
        ([b"HTTP/1.1 103 Early\r\n", b"X: y\r\n", END, b"HTTP/1.1 100\r\n", END, OK, END], OK + END),
        ([OK, b"A: b\r\n", END, b"Trailer: c\r\n", END], OK + b"A: b\r\n" + END),
        ([OK, b"HTTP/1.1 100: x\r\n", END], OK + b"HTTP/1.1 100: x\r\n" + END),
        ([b"HTTP/1.0 200\n", b"A: b\n", b"\n"], b"HTTP/1.0 200\nA: b\n\n"),
        ([OK, b"A:"], OK + b"A:"),
    ],
)
def test_last_head(lines: list[bytes], head: bytes) -> None:
    assert _last_head(lines) == head


def test_a_plain_answer_is_the_same_page_either_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [*lab.urls(3, "/bytes/10"), *lab.urls(1, "/bytes/0"), *lab.urls(1, "/gzip/10"), *lab.urls(1, "/status/404")]

    def pages() -> list[tuple[object, ...]]:
        found = fetch(urls, concurrency=1, ordered=True)
        timed = [(page, (page.first_byte_s or 0) > 0, page.total_s > 0, page.started_at > 0) for page in found]
        nothing = dict.fromkeys(("started_at", "dns_s", "connect_s", "first_byte_s", "total_s"))
        return [(page._replace(**nothing, head=_undated(page.head)), *times) for page, *times in timed]

    short = pages()
    seen = []

    def long_way(self: Transfer, now: float) -> None:
        seen.append(self.index)

    monkeypatch.setattr(Transfer, "_plain", long_way)
    assert pages() == short
    assert seen  # the first is never asked: it opened the connection


def _undated(head: bytes) -> bytes:
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:"))


# ── who watches the sockets ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("portable", [False, True])
def test_connections_that_come_and_go(lab: Lab, portable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors are closed and their numbers given anew all the time."""
    if portable:
        monkeypatch.setattr(curl, "interest", interest.Interest)
    urls = [url for path in ("/close/10", "/bytes/10", "/truncated/10") for url in lab.urls(100, path)]
    pages = list(fetch(urls, concurrency=30, per_key=10, ordered=True, timeouts=Timeouts(5, 5, 5, 10)))
    assert [page.error_class for page in pages] == [None] * 200 + ["truncated"] * 100


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are numbered otherwise")
def test_more_descriptors_than_select_can_watch(lab: Lab) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip(f"no more than {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        assert all(page.ok for page in fetch(lab.urls(20, "/bytes/10"), timeouts=Timeouts(5, 5, 5, 10)))


def test_an_idle_connection_that_the_server_closes_costs_nothing() -> None:
    with Scripted([reply(b"a"), "close"], [reply(b"b")]) as server, running(2) as run:
        run.runner.feed([(0, Request(server.url))])
        run.take(1)
        run.runner.feed([(1, Request(server.url))])
        assert run.take(2)[1].text == "b"
        assert run.reports == 2


class _Together(Scripted):
    """Answers the first `many` requests when all of them are here; closes without an answer whenever it is asked thereafter,
    but not before the client waits for it."""

    def __init__(self, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
        together = threading.Barrier(many)
        self._waits = threading.Semaphore(0)
        for kind in {interest.Interest, type(interest.interest())}:
            monkeypatch.setattr(kind, "_ready", self._noted(kind._ready))
        super().__init__(*[[together.wait, reply(b"here")]] * many, [self._awaited, "close"])

    def _noted(self, ready: Any) -> Any:
        def noted(watched: Any, seconds: float) -> Any:
            self._waits.release()
            return ready(watched, seconds)

        return noted

    def _awaited(self) -> None:
        while self._waits.acquire(blocking=False):
            pass
        self._waits.acquire()


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(("method", "most"), [("GET", 2), ("HEAD", 2), ("PUT", 2), ("POST", 1)])
def test_what_is_lost_again_and_again_is_sent_no_more_than_twice(
    method: str, most: int, portable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With eight connections open libcurl would by itself send it with six of them."""
    if portable:
        monkeypatch.setattr(curl, "interest", interest.Interest)
    monkeypatch.setattr(Timeouts, "finest", 0.05)
    with _Together(8, monkeypatch) as server, running(8) as run:
        run.runner.feed(enumerate([Request(server.url)] * 8))
        assert all(page.text == "here" for page in run.take(8).values())
        run.runner.feed([(8, Request(server.url, method, body=b"x" if method in ("PUT", "POST") else None))])
        error = run.take(9)[8]
        assert (error.error_class, error.retryable) == ("connect", method != "POST")
        assert error.page.error.startswith("the connection was closed without an answer")
        assert len(server.seen) - 8 == most


def test_no_result_waits_for_the_next_look_at_the_clock(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may be there at once, within the very call that sends its request: nothing would wake the loop then."""
    monkeypatch.setattr(Timeouts, "finest", 1000.0)
    with running(1) as run:
        run.runner.feed(enumerate(Request(url) for url in lab.urls(300, "/bytes/1")))
        assert all(page.ok for page in run.take(300).values())


class _HeldFirst(Scripted):
    """Its first connection gets no TLS before `others` requests have come with others."""

    def __init__(self, others: int) -> None:
        self.others = others
        self._turn = threading.Lock()
        self._first = True
        self._enough = threading.Event()
        self.in_vain = False
        super().__init__([reply(b"here")], tls=True)

    def _serve(self, sock: socket.socket) -> None:
        with self._turn:
            first, self._first = self._first, False
        if first:
            self.in_vain = not self._enough.wait(15)
        super()._serve(sock)

    def count(self) -> None:
        self.others -= 1
        if self.others == 0:
            self._enough.set()


def test_who_waits_for_a_connection_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timeouts, "finest", 0.05)
    monkeypatch.setattr("atonce.fetch.transport.sharing.PATIENCE", 0.05)
    with _HeldFirst(3) as server:
        urls = [f"{server.url}{n}" for n in range(4)]
        pages = []
        for page in fetch(urls, insecure="127.0.0.1", per_key=4, concurrency=4, timeouts=Timeouts(20, 20, 20, 20)):
            pages.append(page)
            server.count()
        assert [page.ok for page in pages] == [True] * 4
        assert not server.in_vain


def test_what_was_ended_is_remembered_for_a_moment() -> None:
    ended = Ended()
    assert not ended.any(0.0)
    ended.add(("a", 1), 10.0)
    ended.add(("a", 2), 11.0)
    assert ended.has(("a", 1), 10.0 + MOMENT)
    assert not ended.has(("a", 1), 10.5 + MOMENT)
    assert ended.any(10.5 + MOMENT)
    assert not ended.has(("a", 3), 11.0)
    ended.add(("a", 2), 12.0)
    assert ended.has(("a", 2), 12.0 + MOMENT)
    assert not ended.any(12.5 + MOMENT)


def test_names_that_are_still_looked_up_are_not_waited_for_at_the_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for them, half a minute where a name server is silent."""
    gate, closed, close = threading.Event(), threading.Event(), curl._close

    def when_told(*handles: Any) -> None:
        gate.wait()
        close(*handles)
        closed.set()

    monkeypatch.setattr(curl, "_close", when_told)
    monkeypatch.setattr(curl, "CLOSES", 0.0)
    try:
        assert [page.ok for page in fetch([f"{lab.base}/bytes/1"])] == [True]
    finally:
        gate.set()
        closed.wait()
