"""`fetch` and `afetch`: written against the public API, as any other job would be."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from .. import api
from ..engine.finished import Batch, Finished
from ..errors import InputError, ItemTimeout, Unreachable, UsageError
from ..options import Options, Retry
from ..outcome import Outcome
from .failure import FetchError, is_retryable
from .hosts import Hosts
from .limits import Policy, Timeouts
from .page import Page
from .partial import Partials
from .proxy import Proxy
from .request import Request, requests_of
from .robots import Robots
from .transport import Transport, choose
from .url import canonical, host_of, origin

if TYPE_CHECKING:
    from ..api import _Outcomes

__all__ = ["FetchJob", "afetch", "fetch"]


def fetch(urls: Iterable[Any] | AsyncIterable[Any], /, *, transport: str = "auto", **options: Any) -> Iterator[Page]:
    """A `Page` for each of the URLs, as they finish: `(get(url) for url in urls)`, many at once; a failure is a Page too.

    `urls` are URLs, `Request`s, or mappings with `url` and perhaps `method`, `headers`, `body`; read as far as there is
    room. One that cannot be fetched at all is an InputError that names it: at once where `urls` is a list or a tuple,
    else when it is read. What is retried, and what a failure is called: see `atonce.fetch.failure`.

    - `transport`: "curl", "aiohttp" or "requests". "auto" is curl, except in the models without an event loop (`sync`,
      `threads`, `processes`), where it is requests.
    - `timeouts`: a `Timeouts`; `timeout=` is short for its `total`.
    - `max_body`: bytes that a body may have, decompressed too; 100 MB unless told.
    - `bandwidth`: bytes a second that all bodies together may come with, compressed as they are; no limit unless told. The time
      for which they are kept waiting counts in no timeout. It is kept by one process: for models without worker processes.
    - `max_redirects`: 10 unless told; 0 makes a redirect an answer like any other.
    - `allow_private`: let names and redirects lead to addresses that are not public. A URL whose host is of that kind is
      fetched without it, and so is where it redirects to on the same host and port, or from http to https (80 to 443).
    - `robots`: obey robots.txt, which is asked for once an origin (scheme, host, port) in each worker process: until it has
      come, one request to the host is under way, and those that redirects lead there wait. Where it cannot be had, in as many
      attempts as an item has, all requests to the host fail for a minute. A crawl delay is kept, up to `Retry.max_wait`; see
      `atonce.fetch.robots`.
    - `cookies`: send back what hosts set, for as long as this call lasts, in each worker process for itself.
    - `insecure`: hosts whose certificates are not verified. `user_agent`: what we call ourselves.
    - `proxy`: a URL (http, https, socks5h, …; see `atonce.fetch.proxy`) that all requests go through. The proxy looks
      names up, so only names are judged then, not the addresses behind them.
    - `raw`: keep bodies compressed as they came, such as for an archive.
    - `partials`: a folder (made if it is not there) for what came of bodies that were cut, also by the end of this process:
      the next attempt, or the next call with this folder, asks for the rest alone, where the server makes sure that it is
      of the same bytes (a strong ETag, or an old Last-Modified), and else for the whole. No compression is asked for.
    - `per_key`: requests to one host (and port) at once; found for each host unless told, 4 to begin with (docs/limit.md).
      `remember`: begin with what earlier runs have found out, and keep what this one does, in the user's cache folder
      (`atonce.fetch.hosts`).
    - `retry`: a number of attempts, 3 unless told, or a `Retry`; a host that asks for a pause gets one of `Retry.max_wait`
      seconds at most. The rest is as in `atonce.stream`: `model`, `concurrency`, `parallelism`, `ordered`, `rate`, …

    Nothing is shared between requests but connections, unless `cookies` are asked for, and nothing is taken from the
    environment, neither proxies nor `.netrc`. `Retry-After` holds for the whole host. One that does not answer is left alone
    for a while; when it has not for half a minute, its other URLs fail without being asked for (`attempts` is 0), and are run
    by a later call.
    """
    job = FetchJob(transport, options)
    outcomes = api.stream(job.transport, job.items(urls), **job.options)
    return _pages(cast("_Outcomes", outcomes), job.end)


def afetch(urls: Iterable[Any] | AsyncIterable[Any], /, *, transport: str = "auto", **options: Any) -> AsyncIterator[Page]:
    """`fetch` for async callers."""
    job = FetchJob(transport, options)
    outcomes = api.astream(job.transport, job.items(urls), **job.options)
    return _apages(cast("AsyncGenerator[Outcome[Page], None]", outcomes), job.end)


class FetchJob:
    """One call, checked when it is made: `api.stream(job.transport, job.items(urls), **job.options)` gives outcomes of `Page`s.

    For what in the package needs outcomes rather than pages, as `atonce compare --fetch` does.
    """

    transport: Transport
    options: dict[str, Any]

    def __init__(self, transport: str, given: Mapping[str, Any]) -> None:
        ours = {name: value for name, value in given.items() if name in _OURS}
        rest = {name: value for name, value in given.items() if name not in _OURS}
        remember = rest.pop("remember", False)
        if remember not in (True, False):
            raise UsageError(f"remember={remember!r} is neither True nor False")
        options = Options.of({"key": _HOSTS, "per_key": "auto", "name": "fetch", **rest})
        self._hosts: Hosts | None = None
        if remember and options.per_key == "auto":
            self._hosts = Hosts()
            options = options.but(per_key=self._hosts)
        if options.setup is not None:
            raise UsageError("fetch takes no setup=: a transport brings its own")
        if options.journal is not None:
            raise UsageError("fetch takes no journal=", hint="atonce fetch -o folder/ resumes by its output")
        retry = _retry(options.retry)
        policy = _policy(ours, options.timeout, retry.attempts)
        if policy.robots is not None and options.key is _HOSTS:
            options = options.but(key=_PoliteHosts(retry.max_wait))
        self.transport = choose(transport, options.model, policy.proxy)(policy)
        if policy.throttle is not None:
            options = _in_one_process(options, self.transport)
        options = options.but(
            setup=self.transport.setup,
            timeout=None,
            retry=retry,
        )
        self.options = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}

    def end(self) -> None:
        """The run is over."""
        if self._hosts is not None:
            self._hosts.save()

    def items(self, urls: Iterable[Any] | AsyncIterable[Any]) -> Iterable[Request] | AsyncIterable[Request]:
        return self.arequests(urls) if isinstance(urls, AsyncIterable) else self.requests(urls)

    def requests(self, urls: Iterable[Any]) -> Iterable[Request]:
        if isinstance(urls, str | Mapping) or not isinstance(urls, Iterable):
            raise UsageError(f"urls={urls!r:.100} is not several URLs", hint="a list of them: atonce.fetch([url])")
        if isinstance(urls, list | tuple) and (plain := _plain_requests(urls)) is not None:
            return plain
        checked = (_request(number, given) for number, given in enumerate(urls))
        return list(checked) if isinstance(urls, list | tuple) else checked

    async def arequests(self, urls: AsyncIterable[Any]) -> AsyncIterator[Request]:
        number = 0
        async for given in urls:
            yield _request(number, given)
            number += 1


_OURS = {field.name for field in dataclasses.fields(Policy)} - {"throttle"} | {"bandwidth"}


def _in_one_process(options: Options, transport: Transport) -> Options:
    """What is to be kept by all together is kept where all of them are."""
    if options.model not in ("auto", "sync", "coroutines", "threads") or options.parallelism not in ("auto", 1):
        raise UsageError(
            "bandwidth= is kept by one process, and several were asked for",
            hint="leave out model=, or use rate=, which all of them keep",
        )
    if options.model != "auto":
        return options
    return options.but(model="threads" if "thread" in transport.runners else "coroutines")


def _policy(given: dict[str, Any], timeout: float | None, attempts: int) -> Policy:
    timeouts = given.setdefault("timeouts", Timeouts())
    if not isinstance(timeouts, Timeouts):
        raise UsageError(f"timeouts={timeouts!r} is no Timeouts", hint="timeouts=atonce.fetch.Timeouts(connect=5)")
    if timeout is not None:
        given["timeouts"] = dataclasses.replace(timeouts, total=timeout)
    insecure = given.get("insecure", ())
    given["insecure"] = frozenset(map(_host_name, [insecure] if isinstance(insecure, str) else insecure))
    if given.get("proxy") is not None:
        given["proxy"] = Proxy.of(given["proxy"])
    partials = given.get("partials")
    if isinstance(partials, str | os.PathLike):
        given["partials"] = Partials(os.path.abspath(partials))
    robots, cookies = given.pop("robots", False), given.pop("cookies", False)
    for name, value in (("robots", robots), ("cookies", cookies)):
        if not isinstance(value, bool):
            raise UsageError(f"{name}={value!r} is neither True nor False")
    if (bandwidth := given.pop("bandwidth", None)) is not None:
        if not isinstance(bandwidth, int | float) or isinstance(bandwidth, bool) or not bandwidth >= 1:
            raise UsageError(f"bandwidth={bandwidth!r} is not a number of bytes a second, from 1")
        from .throttle import Throttle

        given["throttle"] = Throttle(float(bandwidth))
    if cookies:
        from .cookies import Cookies  # with all of http and email, 25 ms

        given["cookies"] = Cookies()
    policy = Policy(**given)
    return dataclasses.replace(policy, robots=Robots(policy.user_agent, attempts)) if robots else policy


def _host_name(text: str) -> str:
    """A host without its port, in its one spelling."""
    try:
        url, userinfo = canonical(text if "//" in text else f"https://{text}/")
    except InputError as error:
        raise UsageError(f"insecure={text!r:.100} is no host: {error.what}") from None
    host = origin(url)[1]
    if userinfo is not None or url != f"https://{f'[{host}]' if ':' in host else host}/":
        raise UsageError(f"insecure={text!r:.100} is more than a host, which it is for, whatever the port", hint=host)
    return host


def _retry(given: Retry | None) -> Retry:
    """`on` as it is unless somebody has set it: the table of failures."""
    retry = given or Retry()
    return dataclasses.replace(retry, on=is_retryable) if retry.on is Exception else retry


class _Hosts:
    """The host of a request: a `Connecting`."""

    def __call__(self, request: Request) -> str:
        return host_of(request.url)

    def opened(self, page: Page) -> bool | None:
        return page.connect_s is not None if page.final_url == page.url else None


_HOSTS = _Hosts()


class _PoliteHosts(_Hosts):
    """And how far apart requests to it are to be: a `Spaced`."""

    def __init__(self, most: float) -> None:
        self._most = most

    def spacing(self, came: Any) -> float | None:
        page = came.page if isinstance(came, FetchError) else came
        delay = page.crawl_delay if isinstance(page, Page) else None
        return None if delay is None else min(delay, self._most)


def _plain_requests(urls: Sequence[Any]) -> list[Request] | None:
    """Where all are URLs in their one spelling: all at once, at a half of the cost. None for others."""
    try:
        made = requests_of("\n".join(urls))
    except TypeError:  # not all are strings
        return None
    return made if made is not None and len(made) == len(urls) else None


def _request(number: int, given: Any) -> Request:
    try:
        return Request.of(given)
    except InputError as error:
        error.item = f"number {number} of the URLs (from 0)"
        raise


def _page(outcome: Outcome[Page]) -> Page:
    page = outcome.value if outcome.ok else _failed(outcome.item, outcome.error)
    assert page is not None
    return page.numbered(outcome.index, outcome.attempts)


def _failed(request: Request, error: BaseException | None) -> Page:
    if isinstance(error, FetchError) and error.page is not None:
        return error.page
    if isinstance(error, Unreachable) and isinstance(error.last, FetchError) and error.last.page is not None:
        return Page(request.url, request.method, request.url, error_class=error.last.page.error_class, error=error.what)
    kind = "timeout-total" if isinstance(error, ItemTimeout) else "local-io"
    why = getattr(error, "what", "") or f"{type(error).__name__}: {error}"
    return Page(request.url, request.method, request.url, error_class=kind, error=why)


def _pages(outcomes: _Outcomes, end: Callable[[], None]) -> Iterator[Page]:
    with contextlib.ExitStack() as stack:
        stack.callback(end)
        stack.enter_context(contextlib.closing(outcomes))
        for batch in outcomes.batches():
            pages = _as_they_are(batch) or map(_page, batch)
            del batch  # what the caller has let go is not kept alive
            yield from pages


def _as_they_are(batch: Batch) -> Iterator[Page] | None:
    """The pages of a batch in which each has its number already, and was got at the first attempt; None for others. Their
    outcomes, which nobody asks for, would be a twentieth of what a page costs."""
    if not isinstance(batch, Finished) or not batch.at_once or [*map(_INDEX, batch.values)] != [*batch.indices]:
        return None
    return iter(batch.values)


_INDEX = itemgetter(Page._fields.index("index"))


async def _apages(outcomes: AsyncGenerator[Outcome[Page], None], end: Callable[[], None]) -> AsyncIterator[Page]:
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(end)
        await stack.enter_async_context(contextlib.aclosing(outcomes))
        async for outcome in outcomes:
            yield _page(outcome)
