from __future__ import annotations

import pickle
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fetch_server import Scripted, Step, reply

from atonce import Retry
from atonce.errors import UsageError
from atonce.fetch import FetchError, Page, Request, Timeouts
from atonce.fetch.api import FetchJob, fetch
from atonce.fetch.attempt import Attempt
from atonce.fetch.limits import Policy
from atonce.fetch.robots import KEPT, LASTS, PAUSE, READ, Robots, is_unavailable
from atonce.lab import Lab
from atonce.options import Spaced

pytest.importorskip("protego")  # atonce requires it; the tests' environment may be older than that

Get = Callable[..., Page]


def taught(text: bytes | None, agent: str = "atonce") -> Robots:
    robots = Robots(agent)
    robots.learn("http://a.example/", text)
    return robots


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        (b"User-agent: *\nDisallow: /", "/", False),
        (b"User-agent: *\nDisallow: /", "/robots.txt", True),
        (b"User-agent: *\nDisallow:", "/", True),
        (b"User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        (b"User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf", False),
        (b"User-agent: other\nDisallow: /", "/", True),
        (b"User-agent: atonce\nDisallow: /\nUser-agent: *\nAllow: /", "/", False),
        (b"User-agent: *\nDisallow: /%C3%A9", "/%C3%A9t", False),
        (b"\xff\xfe\0\0", "/", True),
        (b"User-agent: *\n" + b"#" * READ + b"\nDisallow: /", "/", True),  # what is not read
        (b"", "/", True),
        (None, "/", True),
    ],
)
def test_what_is_allowed(text: bytes | None, path: str, allowed: bool) -> None:
    assert taught(text).allows(f"http://a.example{path}") is allowed


def test_each_host_has_its_own() -> None:
    robots = taught(None)
    for url in ("https://a.example/", "http://a.example:8080/", "http://b.example/"):
        assert robots.allows(url) is None
        assert robots.place(url + "x/y?z") == f"{url}robots.txt"


def test_so_many_are_kept() -> None:
    robots = Robots("me")
    for number in range(KEPT + 1):
        robots.learn(f"http://{number}.example/", None)
    assert robots.allows("http://0.example/") is None
    assert robots.allows(f"http://{KEPT}.example/") is True


def test_a_copy_knows_nothing_yet() -> None:
    copy = pickle.loads(pickle.dumps(taught(b"User-agent: *\nDisallow: /", "me")))
    assert (copy.agent, copy.allows("http://a.example/")) == ("me", None)


@pytest.mark.parametrize(("status", "unavailable"), [(200, False), (404, False), (403, False), (429, True), (503, True)])
def test_when_nothing_may_be_fetched(status: int, unavailable: bool) -> None:
    assert is_unavailable(status) is unavailable


def test_it_is_asked_for_once_and_nobody_sees_the_difference(transport: str) -> None:
    model = "threads" if transport == "requests" else "coroutines"
    with Lab(behaviours=["robots/deny"]) as lab:
        paths = ["/a", "/private/x", "/b", "/private", "/robots.txt"]
        requests: list[Any] = [Request(f"{lab.base}{path}", headers={"X-Key": "k"}) for path in paths]
        pages = list(fetch(requests, transport=transport, model=model, concurrency=1, ordered=True, robots=True))
        assert [page.error_class for page in pages] == [None, "robots", None, "robots", None]
        assert [page.final_url for page in pages] == [page.url for page in pages]
        assert (pages[0].status, pages[1].status, pages[1].head) == (200, None, b"")
        assert "does not allow" in (pages[1].error or "")
        assert lab.stats().paths == {"/robots.txt": 2, "/a": 1, "/b": 1}


def test_many_urls_of_a_host_wait_for_one_request(transport: str) -> None:
    model = "threads" if transport == "requests" else "coroutines"
    with Lab(hosts=2, behaviours=["robots/404", "robots/deny"]) as lab:
        urls = lab.urls(40, path="/a")
        pages = list(fetch(urls, transport=transport, model=model, concurrency=40, per_key=20, robots=True))
        assert all(page.ok for page in pages)
        assert (lab.stats().paths["/robots.txt"], lab.stats().requests) == (2, 42)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"User-agent: *\nCrawl-delay: 2.5", 2.5),
        (b"User-agent: *\nCrawl-delay: 1\nRequest-rate: 1/5s", 5.0),
        (b"User-agent: *\nCrawl-delay: -1", 0.0),
        (b"User-agent: *\nCrawl-delay: soon", 0.0),
        (b"User-agent: other\nCrawl-delay: 3", 0.0),
        (b"User-agent: *\nDisallow: /", 0.0),
        (None, 0.0),
    ],
)
def test_how_far_apart_requests_are_to_be(text: bytes | None, seconds: float) -> None:
    robots = taught(text)
    assert robots.delay("http://a.example/x") == seconds
    assert robots.delay("http://b.example/x") is None


def test_the_run_is_told_of_a_delay(transport: str, get: Get) -> None:
    with Lab(behaviours=["robots/delay"]) as lab:
        page = get(f"{lab.base}/x", robots=True)
        assert page.crawl_delay == 0.05
        key = FetchJob(transport, {"robots": True}).options["key"]
        assert isinstance(key, Spaced)
        assert key(Request(page.url)) == lab.hosts[0]
        assert key.spacing(page) == 0.05
        assert key.spacing(page._replace(crawl_delay=1e6)) == Retry().max_wait
        assert key.spacing(FetchError("throttled", page=page)) == 0.05
        assert key.spacing(FetchError("none")) is key.spacing(ValueError()) is None


def test_without_robots_nobody_asks_for_a_delay(get: Get, lab: Lab) -> None:
    assert get(f"{lab.base}/x").crawl_delay is None


def test_a_redirect_asks_the_next_host(get: Get, lab: Lab) -> None:
    with Lab(behaviours=["robots/deny"]) as other:
        page = get(f"{lab.base}/redirect-to?url={other.base}/private", robots=True, allow_private=True)
        assert (page.error_class, page.attempts) == ("robots", 1)
        assert other.stats().paths == {"/robots.txt": 1}


@pytest.mark.parametrize("first", ["there", "missed"])
def test_one_asks_for_an_origin_wherever_those_who_come_to_it_are_from(
    transport: str, model: str, lab: Lab, first: str
) -> None:
    """Eight are redirected to it while its robots.txt has not come: they wait for the one who asks, each then by itself."""

    def all_are_there() -> None:
        lab.wait_until(lambda stats: sum(path.startswith("/redirect-to") for path in stats.paths) == 8)

    rules = reply(b"User-agent: *\nDisallow: /no")
    answers: list[list[Step]] = [
        [all_are_there, rules if first == "there" else reply(status="500 No")],
        [rules],
        [reply(b"page")],
    ]
    if first == "there":
        del answers[1]
    with Scripted(*answers) as other:
        urls = [f"{lab.base}/x", *(f"{lab.base}/redirect-to?url={other.url}{'no' if n == 3 else n}" for n in range(8))]
        options: dict[str, Any] = {"transport": transport, "model": model, "per_key": 8, "concurrency": 9, "ordered": True}
        retry = Retry(3, max_wait=0.01)
        pages = list(fetch(urls, robots=True, allow_private=True, retry=retry, **options))
        asked = [line.split(b" ")[1] for line in other.seen]
    assert [page.error_class for page in pages] == [None] * 4 + ["robots"] + [None] * 4
    assert [page.body for page in pages[1:] if page.ok] == [b"page"] * 7
    assert asked.count(b"/robots.txt") == len(answers) - 1
    assert sorted(asked[len(answers) - 1 :]) == [b"/%d" % n for n in range(8) if n != 3]


def test_who_gives_up_asking_has_another_ask() -> None:
    robots = Robots("me")
    policy = Policy(robots=robots)
    first, second, third, elsewhere = (
        Attempt(Request(url), policy, 0.0)
        for url in ("http://a.example/1", "http://a.example/2", "http://a.example/3", "https://a.example/")
    )
    for attempt in (first, second, third, elsewhere):
        attempt.begin(0.0)
    assert (first.waits, first.hop.url, elsewhere.waits) == (None, "http://a.example/robots.txt", None)
    assert second.waits is third.waits is not None
    first.leave()
    first.leave()
    assert second.waits.done()
    second.resume(100.0)
    third.resume(100.0)
    assert (second.waits, second.hop.url, second.watch.late(109.0)) == (None, "http://a.example/robots.txt", None)
    assert third.waits is not None
    second.status, second.head = 404, b"HTTP/1.1 404 None\r\n\r\n"
    assert second.answered(101.0) is None
    third.resume(101.0)
    assert (third.waits, third.hop.url) == (None, "http://a.example/3")
    assert robots.question("http://a.example/")[1]  # none is under way


def test_it_is_not_sent_what_is_the_users(get: Get) -> None:
    with Lab(behaviours=["echo"]) as lab:
        page = get(Request(f"http://me:pw@{lab.hosts[0]}/x", "POST", {"X-Key": "k"}, b"body"), robots=True)
        assert (page.ok, lab.stats().paths) == (True, {"/robots.txt": 1, "/x": 1})
        assert '"POST"' in page.text


def test_what_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(UsageError, match="robots="):
        fetch(["http://a.example/"], robots="yes")


@pytest.mark.parametrize("kind", ["500", "429", "slow"])
def test_a_host_that_gives_none_is_not_asked_again_for_each_url(transport: str, kind: str) -> None:
    with Lab(behaviours=[f"robots/{kind}"]) as lab:
        timeouts = Timeouts(stall=0.05, first_byte=30)
        pages = list(fetch(lab.urls(50), transport=transport, robots=True, retry=Retry(3, max_wait=0.01), timeouts=timeouts))
        assert [page.error_class for page in pages] == ["robots"] * 50
        assert lab.stats().paths == {"/robots.txt": 1 if kind == "slow" else 3}
        assert sum("robots.txt of 127.0.0.1" in (page.error or "") for page in pages) >= 47


def test_what_cannot_be_reached_at_all_is_said_to_be_so(transport: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = f"http://127.0.0.1:{taken.getsockname()[1]}"
    urls = [f"{base}/{number}" for number in range(20)]
    pages = list(fetch(urls, transport=transport, robots=True, retry=Retry(2, max_wait=0.01)))
    kinds = Counter(page.error_class for page in pages)
    assert sorted(kinds, key=str) == ["connect", "robots"]
    assert kinds["connect"] <= 2


def test_a_host_that_gives_none_for_a_moment_is_asked_again() -> None:
    robots = Robots("me", 3)
    url = "http://a.example/x"
    assert robots.lacking(url, 0.0) is None
    assert robots.missed(url, "503", 0.0, again=True) == PAUSE
    assert (robots.lacking(url, 0.0), robots.delay(url)) == (None, None)
    assert robots.missed(url, "503", 1.0, again=True) == 2 * PAUSE
    robots.learn(url, None)
    assert (robots.allows(url), robots.missed(url, "503", 5.0, again=True)) == (True, PAUSE)


def test_what_could_not_be_had_is_asked_for_by_one_when_its_time_is_over() -> None:
    robots = pickle.loads(pickle.dumps(Robots("me", 1)))
    url = "http://a.example/x"
    assert robots.missed(url, "503", 0.0, again=True) is None
    assert (robots.lacking(url, LASTS - 1), robots.delay(url)) == ("503", 0.0)
    assert robots.lacking(url, LASTS) is None
    assert robots.lacking(url, LASTS) == "503"
    assert robots.lacking("https://a.example/", LASTS) is None
    robots.missed("http://b.example/", "late", 0.0, again=False)
    assert robots.lacking("http://b.example/", 1.0) == "late"


def test_so_many_that_could_not_be_had_are_kept() -> None:
    robots = Robots("me", 1)
    for number in range(KEPT + 1):
        robots.missed(f"http://{number}.example/", "503", 0.0, again=True)
    assert robots.lacking("http://0.example/", 1.0) is None
    assert robots.lacking(f"http://{KEPT}.example/", 1.0) == "503"
