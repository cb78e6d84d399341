"""How far the calling process grows over a long generator; each turn is a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from atonce.lab.work import anoop, noop

from .case import Case, Contender, Once, Target, count

__all__ = ["CASES"]


def items(n: int) -> Iterator[int]:
    """Without a length, so that nobody knows how many there are."""
    yield from range(n)


def _ours(model: str) -> Contender:
    def ours(n: int) -> Iterator[Once]:
        import atonce

        # ordered, which is the harder promise
        yield lambda: count(atonce.map(anoop if model == "coroutines" else noop, items(n), model=model))

    return ours


def _gather(n: int) -> Iterator[Once]:
    import asyncio

    async def main() -> int:
        return len(await asyncio.gather(*(anoop(i) for i in items(n))))

    yield lambda: asyncio.run(main())


def _thread_executor(n: int) -> Iterator[Once]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        yield lambda: count(pool.map(noop, items(n)))


def _joblib(n: int) -> Iterator[Once]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2, return_as="generator") as parallel:
        yield lambda: count(parallel(delayed(noop)(i) for i in items(n)))


def _case(model: str, peers: dict[str, Callable[[int], Iterator[Once]]]) -> Case:
    return Case(
        f"memory-{model}",
        f'growth of the caller over a generator, atonce.map, model="{model}"',
        n=1_000_000,
        quick_n=100_000,
        unit="MB",
        target=Target("most", 100),
        ours=_ours(model),
        peers=peers,
        fresh=True,
    )


CASES = (
    _case("sync", {}),
    _case("coroutines", {"asyncio.gather": _gather}),
    _case("threads", {"ThreadPoolExecutor.map": _thread_executor}),
    _case("processes", {"joblib, loky, generator": _joblib}),
    _case("hybrid", {}),
)
