"""Many small responses from a real server on this machine, kept in memory: 64 in flight, each body read and checked."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from .case import Case, Once, Target
from .nginx import SIZE, serving

__all__ = ["CASES"]

IN_FLIGHT = 64


def _urls(n: int) -> list[str]:
    """No two the same, so that nobody answers from what it has; the server ignores the difference."""
    base = os.environ["BENCH_URL"]
    return [f"{base}?{number}" for number in range(n)]


def _ours(n: int) -> Iterator[Once]:
    import atonce

    urls = _urls(n)
    # all URLs are of one host, of which fetch would by itself have fewer in flight
    pages = functools.partial(atonce.fetch, urls, concurrency=IN_FLIGHT, per_key=IN_FLIGHT)
    yield lambda: sum(page.status == 200 and len(page.body) == SIZE for page in pages())


async def _aiohttp_main(urls: list[str]) -> int:
    """As aiohttp's documentation has it for speed: one session, keep-alive, no cookies, bounded workers."""
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    ) as session:

        async def get(url: str) -> bool:
            async with session.get(url) as response:
                return len(await response.read()) == SIZE and response.status == 200

        return await _by_workers(get, urls)


async def _pyreqwest_main(urls: list[str]) -> int:
    """As its documentation has it: one client, whose pool keeps what is open."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().no_proxy().build() as client:

        async def get(url: str) -> bool:
            response = await client.get(url).build().send()
            return len(await response.bytes()) == SIZE and response.status == 200

        return await _by_workers(get, urls)


async def _wreq_main(urls: list[str]) -> int:
    """As its documentation has it: one client, which as it comes keeps connections open and imitates no browser."""
    from wreq import Client

    async with Client(no_proxy=True) as client:

        async def get(url: str) -> bool:
            async with client.get(url) as response:
                return len(await response.bytes()) == SIZE and response.status.is_success()

        return await _by_workers(get, urls)


async def _by_workers(get: Callable[[str], Awaitable[bool]], urls: list[str]) -> int:
    todo = iter(urls)

    async def worker() -> int:
        good = 0
        for url in todo:
            good += await get(url)
        return good

    return sum(await asyncio.gather(*(worker() for _ in range(IN_FLIGHT))))


def _on_a_loop(main: Callable[[list[str]], Coroutine[Any, Any, int]], *, uv: bool = True) -> Callable[[int], Iterator[Once]]:
    def contender(n: int) -> Iterator[Once]:
        factory = None
        if uv:
            import uvloop

            factory = uvloop.new_event_loop
        urls = _urls(n)
        with asyncio.Runner(loop_factory=factory) as runner:
            yield lambda: runner.run(main(urls))

    return contender


CASES = (
    Case(
        "fetch",
        "atonce.fetch of 16 KB responses from nginx on this machine, 64 in flight, in memory",
        n=10_000,
        quick_n=2000,
        unit="s",
        target=Target("speed", 3),
        ours=_ours,
        peers={
            "aiohttp, uvloop": _on_a_loop(_aiohttp_main),
            "aiohttp, asyncio's own loop": _on_a_loop(_aiohttp_main, uv=False),
            "pyreqwest, uvloop": _on_a_loop(_pyreqwest_main),
            "wreq, uvloop": _on_a_loop(_wreq_main),
        },
        place=serving,
    ),
)
