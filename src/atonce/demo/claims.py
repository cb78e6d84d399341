"""The table of claims: what is said, how it is measured, told and judged. The order is that of the demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from . import computing, failing, fetching, judges, telling, waiting
from .bench import Bench
from .telling import Exhibit
from .verdict import Verdict

__all__ = ["CLAIMS", "Claim", "chosen"]


@dataclass(frozen=True, slots=True)
class Claim:
    """`claim` in our words; `figures`: what the article measured, if it did. The functions fit each other by type.
    `probed` names the functions of `probed.SUBJECTS` whose probe explains the numbers."""

    id: str
    title: str
    claim: str
    figures: str
    measure: Callable[[Bench], Any]
    tell: Callable[[Any], Sequence[Exhibit]]
    judge: Callable[[Any], Verdict]
    probed: tuple[str, ...] = ()


CLAIMS = (
    Claim(
        "C1",
        "Waits overlap",
        "Coroutines wait together: three waits take as long as the longest, not as their sum.",
        "1, 2 and 3 s took 3 s",
        waiting.overlap,
        telling.overlap,
        judges.overlap,
        ("anap",),
    ),
    Claim(
        "C2",
        "Staying connected pays",
        "A session that keeps its connection beats connecting anew for each request.",
        "",
        fetching.reconnecting,
        telling.reconnecting,
        judges.reconnecting,
        ("get_anew",),
    ),
    Claim(
        "C3",
        "Coroutines fetch faster",
        "Many pages arrive sooner when coroutines ask for all than when they are asked for one by one.",
        "30 requests to 3 hosts: 12 s, then 4.8 s",
        fetching.fetched,
        telling.fetched,
        judges.fetched,
        ("aget",),
    ),
    Claim(
        "C4",
        "Ten threads, 100 coroutines",
        "For 100 requests to 2 hosts coroutines help a little, and ten threads help a lot.",
        "19 s one by one, 14.65 s as coroutines, 3.4 s on 10 threads",
        fetching.crowd,
        telling.crowd,
        judges.crowd,
        ("aget",),
    ),
    Claim(
        "C5",
        "One thread, or several",
        "Coroutines stay in one thread of one process; a thread pool uses several threads of one process.",
        "",
        waiting.places,
        telling.places,
        judges.places,
        ("nap",),
    ),
    Claim(
        "C6",
        "Threads for plain functions",
        "A function without an async version becomes concurrent when threads call it.",
        "",
        waiting.borrowed,
        telling.borrowed,
        judges.borrowed,
        ("get",),
    ),
    Claim(
        "C7",
        "Coroutines are cheaper",
        "Coroutines are to be preferred: each thread takes more work and more memory.",
        "",
        waiting.holding,
        telling.holding,
        judges.holding,
        ("nap", "anap"),
    ),
    Claim(
        "C8",
        "Threads compute no faster",
        "Under the GIL, work that computes in Python takes as long on threads as without them.",
        "",
        computing.computing,
        telling.computing,
        judges.computing,
        ("count", "digest"),
    ),
    Claim(
        "C9",
        "Processes compute faster",
        "Work that computes takes much less time when processes share it.",
        "",
        computing.spread,
        telling.spread,
        judges.spread,
        ("count",),
    ),
    Claim(
        "C10",
        "Carrying to processes costs",
        "Processes share no memory, so arguments and results are serialised, which costs more than threads do.",
        "",
        computing.carrying,
        telling.carrying,
        judges.carrying,
        ("noop",),
    ),
    Claim(
        "C11",
        "Threads fall together",
        "A failure in one thread reaches the whole process; the failure of a process stays its own.",
        "",
        failing.failing,
        telling.failing,
        judges.failing,
        ("raise_at",),
    ),
    Claim(
        "C12",
        "Both at once",
        "Concurrency and parallelism combine: each core switches among requests of its own.",
        "",
        fetching.combined,
        telling.combined,
        judges.combined,
        ("get_and_compute",),
    ),
    Claim(
        "C13",
        "What the work waits for",
        "Work is bound by the CPU, by I/O or by the network, and which it is decides the remedy.",
        "",
        computing.kinds,
        telling.kinds,
        judges.kinds,
        ("count", "digest", "read_answer", "get"),
    ),
    Claim(
        "C14",
        "The lock",
        "Python's threads cannot compute in parallel, because of the GIL.",
        "",
        computing.lock,
        telling.lock,
        judges.lock,
        ("count", "digest"),
    ),
)


def chosen(only: Sequence[str] | None) -> tuple[Claim, ...]:
    """The claims of these names, in the table's order; all for None or none. UsageError for a name not in it."""
    wanted = {name.strip().upper() for name in only or ()}
    known = [claim.id for claim in CLAIMS]
    if strange := sorted(wanted.difference(known)):
        raise UsageError(f"there is no claim {strange[0]!r}", hint=f"{known[0]} to {known[-1]}")
    return tuple(claim for claim in CLAIMS if claim.id in wanted or not wanted)
