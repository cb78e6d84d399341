"""Many small responses from a real server on this machine, kept in memory: 64 in flight, each body read and checked."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator

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

    todo = iter(urls)

    async def worker(session: aiohttp.ClientSession) -> int:
        good = 0
        for url in todo:
            async with session.get(url) as response:
                body = await response.read()
                good += response.status == 200 and len(body) == SIZE
        return good

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    ) as session:
        return sum(await asyncio.gather(*(worker(session) for _ in range(IN_FLIGHT))))


def _aiohttp(*, uv: bool) -> Callable[[int], Iterator[Once]]:
    def contender(n: int) -> Iterator[Once]:
        factory = None
        if uv:
            import uvloop

            factory = uvloop.new_event_loop
        urls = _urls(n)
        with asyncio.Runner(loop_factory=factory) as runner:
            yield lambda: runner.run(_aiohttp_main(urls))

    return contender


CASES = (
    Case(
        "fetch",
        "atonce.fetch of 16 KB responses from nginx on this machine, 64 in flight, in memory",
        n=10_000,
        quick_n=2000,
        unit="s",
        target=Target("speed", 2.5),
        ours=_ours,
        peers={"aiohttp, uvloop": _aiohttp(uv=True), "aiohttp, asyncio's own loop": _aiohttp(uv=False)},
        place=serving,
    ),
)
