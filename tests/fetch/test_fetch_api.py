"""`atonce.fetch` and `atonce.afetch` as a whole."""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar

import pytest

import atonce
from atonce.errors import InputError, ItemTimeout, PlanError, TargetError, Unreachable, UsageError, WorkerDied
from atonce.fetch import FetchError, Page, Request, Timeouts
from atonce.fetch.api import FetchJob, _failed, afetch, fetch
from atonce.fetch.limits import Policy
from atonce.fetch.transport import choose
from atonce.lab import Lab
from atonce.plan.function import look_at

SOON = Timeouts(5, 5, 5, 10)

PAIRS = [
    ("curl", "coroutines"),
    ("curl", "hybrid"),
    ("aiohttp", "coroutines"),
    ("aiohttp", "hybrid"),
    ("requests", "sync"),
    ("requests", "threads"),
    ("requests", "processes"),
    ("requests", "hybrid"),
]


@pytest.mark.parametrize(("transport", "model"), PAIRS)
def test_every_pair_that_can_be(lab: Lab, transport: str, model: str) -> None:
    urls = [*lab.urls(20, "/bytes/100"), f"{lab.base}/status/404", f"{lab.base}/flaky/1/x", f"{lab.base}/truncated/9"]
    pages = list(fetch(urls, transport=transport, model=model, ordered=True, timeouts=SOON))
    assert [page.index for page in pages] == list(range(23))
    assert [page.url for page in pages] == urls
    assert [page.error_class for page in pages] == [None] * 20 + ["http-4xx", None, "truncated"]
    assert [page.attempts for page in pages] == [1] * 21 + [2, 1]


@pytest.mark.parametrize(
    ("transport", "model", "others"),
    [
        ("curl", "sync", ["requests"]),
        ("curl", "threads", ["requests"]),
        ("curl", "processes", ["requests"]),
        ("aiohttp", "threads", ["requests"]),
        ("aiohttp", "sync", ["requests"]),
        ("requests", "coroutines", ["curl", "aiohttp"]),
    ],
)
def test_a_pair_that_cannot_be_names_those_that_can(transport: str, model: str, others: list[str]) -> None:
    with pytest.raises(PlanError) as caught:
        fetch([], transport=transport, model=model)
    assert caught.value.hint == " or ".join(f"transport={other!r}" for other in others)


@pytest.mark.parametrize(
    ("model", "agent"),
    [("auto", "curl"), ("coroutines", "curl"), ("threads", "requests"), ("sync", "requests"), ("processes", "requests")],
)
def test_auto_picks_the_transport_that_fits(model: str, agent: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.fetch import api

    chosen = []
    choose = api.choose
    monkeypatch.setattr(api, "choose", lambda *args: chosen.append(choose(*args)) or chosen[-1])
    fetch([f"{lab.base}/"], model=model)
    monkeypatch.setenv("ATONCE_MODEL", model)
    fetch([f"{lab.base}/"])
    assert [one.__name__.lower() for one in chosen] == [agent] * 2


class Told:
    """A transport of somebody's own."""

    runners: ClassVar[tuple[str, ...]] = ("call", "thread")
    setup: ClassVar[None] = None

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self, request: Request) -> Page:
        return Page(request.url, request.method, request.url, 200, body=self.policy.user_agent.encode(), complete=True)


def test_a_transport_of_ones_own() -> None:
    [page] = fetch(["http://h/"], transport=f"{__name__}:Told", model="threads", user_agent="me")
    assert page.text == "me"
    with pytest.raises(TargetError):
        fetch([], transport=f"{__name__}:Untold")
    with pytest.raises(TargetError):
        fetch([], transport="no.such.module:Told")
    with pytest.raises(PlanError) as caught:
        fetch([], transport=f"{__name__}:Told", model="threads", proxy="http://p")
    assert str(caught.value).splitlines()[1:] == [f"  likely: {__name__}:Told knows no proxies", "  try: transport='requests'"]


@pytest.mark.parametrize(
    ("urls", "options"),
    [
        ("http://h/", {}),
        ({"url": "http://h/"}, {}),
        (7, {}),
        ([], {"transport": "made-up"}),
        ([], {"setup": print}),
        ([], {"concurency": 3}),
        ([], {"timeouts": 5}),
        ([], {"timeout": -1}),
        ([], {"max_body": "5M"}),
        ([], {"max_redirects": -1}),
        ([], {"per_key": 0}),
        ([], {"per_key": "many"}),
        ([], {"remember": "yes"}),
    ],
)
def test_wrong_usage_is_said_at_once(urls: Any, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        fetch(urls, **options)


def test_a_bad_url_in_a_list_is_said_at_once(lab: Lab) -> None:
    with pytest.raises(InputError, match="number 1 of the URLs"):
        fetch([f"{lab.base}/", "nonsense"])
    with pytest.raises(InputError):
        afetch((f"{lab.base}/", "nonsense"))
    assert lab.stats().requests == 0


PLAIN = ["http://a.example/", "https://b.example:8443/x/y?z=1", "http://127.0.0.1:80/%20"]
LISTS: list[list[Any]] = [[], PLAIN, [*PLAIN, "HTTP://A.example"], [*PLAIN, Request("http://a.example/")], [{"url": PLAIN[0]}]]


@pytest.mark.parametrize("urls", LISTS, ids=len)
def test_a_list_that_is_read_at_once_is_what_it_is_one_by_one(urls: list[Any]) -> None:
    job = FetchJob("auto", {})
    assert job.items(urls) == [*job.items(iter(urls))]  # type: ignore[arg-type, misc]


def test_two_urls_in_a_string_are_none(lab: Lab) -> None:
    with pytest.raises(InputError, match="control character"):
        fetch(["http://a.example/\nhttp://b.example/"])


def test_a_bad_url_in_a_stream_is_said_when_it_is_read(lab: Lab) -> None:
    pages = fetch(iter([f"{lab.base}/", "nonsense"]), timeouts=SOON)
    with pytest.raises(InputError, match="number 1 of the URLs"):
        list(pages)


def test_urls_are_read_as_far_as_there_is_room(lab: Lab) -> None:
    read = itertools.count()
    urls = (f"{lab.base}/bytes/10?n={next(read)}" for _ in itertools.count())
    pages = list(itertools.islice(fetch(urls, concurrency=4, timeouts=SOON), 20))
    assert len({page.index for page in pages}) == 20
    assert next(read) < 5000


def test_one_host_is_not_stormed(lab: Lab) -> None:
    """The limit of a host begins with 4, and grows with what comes back."""
    pages = fetch(lab.urls(40, "/delay/0.05"), concurrency=64, timeouts=SOON)
    assert next(pages).ok
    assert max(host.busy_peak for host in lab.stats().hosts.values()) <= 16
    assert all(page.ok for page in pages)
    lab.reset()
    list(fetch(lab.urls(90, "/bytes/10"), concurrency=64, per_key=2, timeouts=SOON))
    assert max(host.busy_peak for host in lab.stats().hosts.values()) <= 2
    assert lab.stats().repeated() == {}


def test_a_timeout_is_the_total(lab: Lab) -> None:
    [page] = fetch([f"{lab.base}/silent"], timeout=0.2)
    assert page.error_class == "timeout-total"
    [page] = fetch([f"{lab.base}/silent"], timeouts=Timeouts(first_byte=0.2))
    assert page.error_class == "timeout-first-byte"


def test_no_queueing_counts_as_waiting(lab: Lab) -> None:
    pages = list(fetch([f"{lab.base}/delay/0.2?n={n}" for n in range(4)], per_key=1, timeouts=Timeouts(first_byte=0.5)))
    assert [page.ok for page in pages] == [True] * 4


def test_requests_and_mappings_are_urls_too(lab: Lab) -> None:
    given = [Request(f"{lab.base}/echo", "POST", body="a"), {"url": f"{lab.base}/echo", "method": "PUT", "body": "b"}]
    pages = list(fetch(given, ordered=True, timeouts=SOON))
    assert [(page.method, '"body": "a"' in page.text) for page in pages] == [("POST", True), ("PUT", False)]


def test_what_ends_outside_of_the_transport_is_a_page_too() -> None:
    request = Request("http://h/?token=abc")
    for error, kind in (
        (WorkerDied.because(-9, repr(request)), "local-io"),
        (ItemTimeout("late"), "timeout-total"),
        (ValueError("oops"), "local-io"),
        (None, "local-io"),
    ):
        page = _failed(request, error)
        assert (page.ok, page.error_class, page.url, page.complete) == (False, kind, request.url, False)
        assert page.error
        assert "abc" not in repr(page)


def test_a_url_that_was_not_asked_for_has_the_class_of_what_its_host_failed_with() -> None:
    last = FetchError("dns: no", page=Page("http://h/1", "GET", "http://h/1", error_class="dns", error="no such name"))
    page = _failed(Request("http://h/2"), Unreachable.because("h:80", 14, last))
    assert (page.url, page.error_class, page.ok, page.status) == ("http://h/2", "dns", False, None)
    assert page.error == "not started: h:80 has failed 14 times in a row, the last time with dns: no"


def refusing() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@pytest.mark.parametrize("transport", ["curl", "aiohttp", "requests"])
def test_a_host_that_takes_no_connection_is_overloaded_or_down(transport: str) -> None:
    """And one that breaks off is not overloaded."""
    runner = choose(transport, "auto")(Policy(timeouts=SOON))
    [outcome] = atonce.stream(runner, [Request(f"http://127.0.0.1:{refusing()}/")], setup=runner.setup, retry=None)
    assert isinstance(outcome.error, FetchError)
    assert (outcome.error.overload, outcome.error.unreachable) == (True, True)


@pytest.mark.parametrize("transport", ["curl", "aiohttp", "requests"])
def test_a_connection_that_is_lost_is_no_overload(lab: Lab, transport: str) -> None:
    runner = choose(transport, "auto")(Policy(timeouts=SOON))
    [outcome] = atonce.stream(runner, [Request(f"{lab.base}/reset")], setup=runner.setup, retry=None)
    assert isinstance(outcome.error, FetchError)
    assert outcome.error.overload is False


def test_leaving_early_ends_the_run(lab: Lab) -> None:
    for page in fetch(lab.urls(1000, "/bytes/10"), concurrency=4, timeouts=SOON):
        assert page.ok
        break
    assert lab.stats().requests < 1000
    lab.wait_until(lambda stats: stats.open == 0)


@pytest.mark.parametrize("transport", ["curl", "aiohttp"])
def test_async_callers_have_the_same(lab: Lab, transport: str) -> None:
    async def urls() -> AsyncIterator[str]:
        for url in lab.urls(30, "/bytes/10"):
            yield url

    async def main() -> None:
        for given in (urls(), lab.urls(30, "/bytes/10")):
            pages = [page async for page in afetch(given, transport=transport, ordered=True, timeouts=SOON)]
            assert [page.index for page in pages if page.ok] == list(range(30))
        async with aclosing(afetch(lab.urls(1000, "/bytes/10"), transport=transport, concurrency=4)) as some:
            async for page in some:
                assert page.ok
                break

    asyncio.run(main())


def test_the_callers_loop_goes_on_meanwhile(lab: Lab) -> None:
    async def main() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        task = asyncio.create_task(turn())
        async for _ in afetch([f"{lab.base}/delay/0.3"]):
            task.cancel()
        return turns

    assert asyncio.run(main()) > 5


def test_the_package_is_the_function(lab: Lab) -> None:
    import atonce.fetch as package

    assert [page.ok for page in package([f"{lab.base}/"])] == [True]  # type: ignore[operator]
    assert [page.ok for page in atonce.fetch([f"{lab.base}/"])] == [True]
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError):
        package.nonsense  # noqa: B018


def test_a_request_loads_little() -> None:
    """A worker that is sent a request needs the transport it was also sent, and nothing else."""
    heavy = {"pycurl", "aiohttp", "requests", "asyncio", "atonce.engine", "atonce.api", "atonce.fetch.transport"}
    code = f"import sys; from atonce.fetch import Page, Request, Timeouts; print({heavy} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "set()\n"


def test_when_it_started_is_told_by_the_wall_clock(lab: Lab) -> None:
    before = time.time()
    pages = list(fetch(lab.urls(10, "/bytes/1"), timeouts=SOON))
    assert all(before - 1 < page.started_at < time.time() + 1 for page in pages)
    assert Counter(page.attempts for page in pages) == {1: 10}


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("127.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("https://a.example/", "a.example"),
    ],
)
def test_a_host_whose_certificate_is_not_verified(given: str, host: str) -> None:
    assert FetchJob("curl", {"insecure": given}).transport.policy.insecure == {host}  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", ["a.example:8443", "https://a.example/b", "me@a.example", "*.example", "a b", ""])
def test_what_is_no_host_is_not_passed_over(given: str) -> None:
    with pytest.raises(UsageError, match="insecure="):
        fetch(["https://a.example/"], insecure=[given])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
@pytest.mark.parametrize(("transport", "model"), [("curl", "coroutines"), ("aiohttp", "coroutines"), ("requests", "threads")])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_host_that_takes_no_connection_is_not_one_without_an_address(name: str, transport: str, model: str) -> None:
    with Lab(hosts=1, behaviours=["full"]) as lab:
        url = f"http://{name}:{lab.hosts[0].partition(':')[2]}/"
        timeouts = Timeouts(connect=0.5)
        [page] = fetch([url], transport=transport, model=model, timeouts=timeouts, retry=1)
    assert page.error_class == "timeout-connect"
    assert (page.error or "").startswith(f"no connection to {name}:")


def test_auto_keeps_aiohttp_to_loops() -> None:
    """In threads each would have a loop and connections of its own, which is refused when it is asked for."""
    assert look_at(FetchJob("aiohttp", {}).transport).runners == ("coroutine",)
    with pytest.raises(PlanError, match="cannot run in the model 'threads'"):
        FetchJob("aiohttp", {"model": "threads"})
