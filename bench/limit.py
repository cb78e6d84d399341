"""Answers that come 50 ms late, from a real server on this machine: in flight as many as is found best, or as one says."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

from .case import Case, Once, Target
from .nginx import HOSTS, SIZE, serving_slowly

__all__ = ["CASES"]

# The best of the ladder decides, on two cores; a slower machine may have another one.
LADDER = (1000, 512, 256, 128)


def _urls(n: int, hosts: int) -> list[str]:
    bases = os.environ["BENCH_URL"].split()[:hosts]
    return [f"{base}?{number}" for number, base in enumerate(islice(cycle(bases), n))]


def _fetching(hosts: int, **options: Any) -> Callable[[int], Iterator[Once]]:
    def contender(n: int) -> Iterator[Once]:
        import atonce

        urls = _urls(n, hosts)
        yield lambda: sum(page.status == 200 and len(page.body) == SIZE for page in atonce.fetch(urls, **options))

    return contender


def _remembering(hosts: int) -> Callable[[int], Iterator[Once]]:
    """As the command does it: a host begins with what it was found to take in the turn before."""

    def contender(n: int) -> Iterator[Once]:
        with tempfile.TemporaryDirectory(prefix="atonce-bench-") as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            yield from _fetching(hosts, remember=True)(n)

    return contender


def _case(name: str, what: str, hosts: int) -> Case:
    fixed = {f"{limit} in flight": _fetching(hosts, concurrency=limit, per_key=limit) for limit in LADDER}
    return Case(
        name,
        f"atonce.fetch of answers that come 50 ms late, {what}; it finds how many at once",
        n=10_000,
        quick_n=2000,
        unit="s",
        target=Target("cost", 1.2),
        ours=_fetching(hosts),
        peers={**fixed, "as remembered": _remembering(hosts)},
        place=serving_slowly,
    )


CASES = (
    _case("limit-one-host", "from one host", 1),
    _case("limit-hosts", f"from {HOSTS} hosts in turn", HOSTS),
)
