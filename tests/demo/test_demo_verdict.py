"""Verdicts from numbers: each judge by a table of measurements, typical and odd."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from atonce.demo import claims, verdict
from atonce.demo import measured as m
from atonce.demo.machine import Machine
from atonce.demo.verdict import CAVEAT, FAILS, HOLDS

GIL = Machine("CPython 3.13.0", "default", True, "Linux x86_64", 4)
FREE = Machine("CPython 3.13.0", "free-threaded", False, "Linux x86_64", 4)
ONE_CORE = dataclasses.replace(GIL, cores=1)

WAITS = (0.1, 0.2, 0.3)
OVERLAP = m.Overlap(WAITS, 0.6, 0.3, WAITS)
RECONNECTING = m.Reconnecting(30, 0.01, 0.4, 0.04, 0.03, 0.02, 30, 1)
FETCHED = m.Fetched(30, 3, 0.04, 1.3, 0.06, 30)
COSTLY = m.Server(
    0.028,
    m.Way(2.2, 2),
    m.Way(1.43, 100),
    m.Way(1.42, 95),
    m.Way(0.38, 20),
    m.Way(0.31, 10),
    m.Way(0.65, 44, "8: 13 in flight brought no more"),
)
FRIENDLY = m.Server(0.0, m.Way(2.2, 2), m.Way(0.08, 82), m.Way(0.25, 75), m.Way(0.24, 20), m.Way(0.23, 10), m.Way(0.13, 41))
PLACES = m.Places(m.Place("coroutines", 40, 1, 1), m.Place("threads", 40, 1, 10), m.Place("processes", 40, 2, 2))
BORROWED = m.Borrowed(20, 10, 0.45, 0.07, True)
HOLDING = m.Holding(1000, 1.0, m.Held(3.3, 90.0, 1.1, 1000), m.Held(22.0, 500.0, 1.6, 1000), 100, 10, 0.31, 0.38)
COMPUTING = m.Computing(GIL, 4, 1.0, 1.0, 0.40, 0.41, 0.40, 0.15)
SPREAD = m.Spread(4, 4, 0.8, 0.25, 0.02, 3.8)
CARRYING = m.Carrying(m.Carried(4.0, 10.0, 100.0), m.Carried(8.0, 1500.0, 9000.0))
FAILING = m.Failing(20, 19, 1, 3, 8, 19, "WorkerDied", 1)
COMBINED = m.Combined(
    100,
    0.01,
    (
        m.Shape("sync", 3.0, 0.0, (1,)),
        m.Shape("coroutines", 1.2, 0.0, (10,)),
        m.Shape("processes", 1.6, 0.1, (1, 1)),
        m.Shape("hybrid", 0.8, 0.2, (10, 10)),
    ),
)
KINDS = m.Kinds((m.Kind("count", "…", True, 0.03, 1.0, "processes"), m.Kind("get", "…", False, 0.03, 0.04, "threads")))
LOCK = m.Lock(GIL, 4, 1.0, 1.02, 3.6)


def but(value: Any, **changes: Any) -> Any:
    return dataclasses.replace(value, **changes)


def hybrid(seconds: float, in_flight: tuple[int, ...]) -> m.Combined:
    return but(COMBINED, shapes=(*COMBINED.shapes[:-1], m.Shape("hybrid", seconds, 0.2, in_flight)))


TABLE = [
    # C1: the order counts for more than the time
    ("C1", OVERLAP, HOLDS, "0.300 s"),
    ("C1", but(OVERLAP, together=0.45), CAVEAT, "busy"),
    ("C1", but(OVERLAP, together=0.6), FAILS, "longest wait"),
    ("C1", but(OVERLAP, values=(0.3, 0.1, 0.2)), FAILS, "not in the order"),
    # C2
    ("C2", RECONNECTING, HOLDS, "1.5 times"),
    ("C2", but(RECONNECTING, anew_free=0.02), CAVEAT, "nothing to gain"),
    ("C2", but(RECONNECTING, anew=0.04), FAILS, "30 connections"),
    # C3
    ("C3", FETCHED, HOLDS, "22 times"),
    ("C3", but(FETCHED, together=1.1), CAVEAT, "not by much"),
    ("C3", but(FETCHED, together=1.4), FAILS, "0.9 times"),
    # C4: the order of the article, with one server, with both, with none
    ("C4", m.Crowd(100, 10, FRIENDLY, COSTLY), CAVEAT, "how many are in flight"),
    ("C4", m.Crowd(100, 10, FRIENDLY, COSTLY), CAVEAT, "atonce took 0.130 s and 0.650 s, with 44 connections"),
    ("C4", m.Crowd(100, 10, COSTLY, COSTLY), HOLDS, "With both"),
    ("C4", m.Crowd(100, 10, FRIENDLY, FRIENDLY), FAILS, "did not beat"),
    # C5
    ("C5", PLACES, HOLDS, "10 threads of 1 process"),
    ("C5", but(PLACES, coroutines=m.Place("coroutines", 40, 1, 2)), FAILS, "2 threads"),
    ("C5", but(PLACES, threads=m.Place("threads", 40, 1, 1)), FAILS, "1 thread of 1 process"),
    # C6
    ("C6", BORROWED, HOLDS, "6.4 times"),
    ("C6", but(BORROWED, threads=0.4), FAILS, "1.1 times"),
    ("C6", but(BORROWED, in_order=False), FAILS, "order"),
    # C7: cheaper, but with few in flight it does not show, unless it does
    ("C7", HOLDING, CAVEAT, "hardly counts"),
    ("C7", but(HOLDING, few_threads=0.9), HOLDS, "already"),
    ("C7", but(HOLDING, thread=HOLDING.coroutine), FAILS, "not clearly"),
    ("C7", but(HOLDING, coroutine=m.Held(0.0, 0.0, 1.1, 1000)), CAVEAT, "0.0 kB"),
    # C8: what the build is decides what the same numbers mean
    ("C8", COMPUTING, CAVEAT, "lets go of the GIL"),
    ("C8", but(COMPUTING, native_threads=0.40), HOLDS, "could have gained"),
    ("C8", but(COMPUTING, native_threads=0.40, share=0.5), HOLDS, "50 % of a core"),
    ("C8", but(COMPUTING, native_threads=0.40, machine=ONE_CORE), HOLDS, "one core"),
    ("C8", but(COMPUTING, python_threads=0.11, machine=FREE), FAILS, "has no GIL"),
    ("C8", but(COMPUTING, machine=FREE), CAVEAT, "has none"),
    ("C8", but(COMPUTING, python_threads=0.2, cores=3.0), FAILS, "GIL is on"),
    ("C8", but(COMPUTING, python_threads=0.2, share=0.6), CAVEAT, "did not compute at the same time"),
    # C9
    ("C9", SPREAD, HOLDS, "3.2 times"),
    ("C9", but(SPREAD, processes=0.65, got=1.4), CAVEAT, "1.4 of 4 cores"),
    ("C9", but(SPREAD, processes=0.9), FAILS, "0.9 times"),
    ("C9", but(SPREAD, processes=0.9, cores=1), FAILS, "one core"),
    # C10
    ("C10", CARRYING, HOLDS, "1 500 µs"),
    ("C10", but(CARRYING, processes=m.Carried(3.0, 1500.0, 9000.0)), CAVEAT, "many at a time"),
    ("C10", but(CARRYING, processes=CARRYING.threads), FAILS, "no longer"),
    # C11: what a crash takes with it, and what an exception does not
    ("C11", FAILING, CAVEAT, "reaches nobody else"),
    ("C11", but(FAILING, raised_ok=10, raised_failed=10), HOLDS, "reached others too"),
    ("C11", but(FAILING, exit_code=0, exit_told=19), FAILS, "exit code 0"),
    ("C11", but(FAILING, died_ok=12), FAILS, "12 others"),
    # C12: several processes, several in flight in each
    ("C12", COMBINED, HOLDS, "10 and 10"),
    ("C12", hybrid(1.5, (10, 9)), CAVEAT, "coroutines were faster"),
    ("C12", hybrid(0.8, (10,)), FAILS, "1 process"),
    ("C12", hybrid(0.8, (10, 1)), FAILS, "10 and 1"),
    # C13
    ("C13", KINDS, HOLDS, "count compute"),
    ("C13", m.Kinds((m.Kind("count", "…", True, 0.03, 0.1, "threads"),)), FAILS, "count"),
    # C14
    ("C14", LOCK, CAVEAT, "this is not one"),
    ("C14", but(LOCK, native_cores=1.0), HOLDS, "got no more"),
    ("C14", but(LOCK, share=0.4, python_cores=0.7, native_cores=0.6), HOLDS, "got no more"),
    ("C14", but(LOCK, native_cores=1.0, machine=ONE_CORE), HOLDS, "one core"),
    ("C14", but(LOCK, python_cores=3.5), FAILS, "though the GIL is on"),
    ("C14", but(LOCK, python_cores=3.5, machine=FREE), FAILS, "no GIL"),
]


@pytest.mark.parametrize(("name", "numbers", "word", "says"), TABLE)
def test_verdict(name: str, numbers: Any, word: str, says: str) -> None:
    (claim,) = claims.chosen([name])
    given = claim.judge(numbers)
    assert given.word == word
    assert says in given.sentence


@pytest.mark.parametrize(("name", "numbers", "word", "says"), TABLE)
def test_each_measurement_can_be_told(name: str, numbers: Any, word: str, says: str) -> None:
    (claim,) = claims.chosen([name])
    assert claim.tell(numbers)


def test_each_claim_is_in_the_table_with_a_figure() -> None:
    typical: dict[str, Any] = {}
    for name, numbers, _, _ in TABLE:
        typical.setdefault(name, numbers)
    assert list(typical) == [claim.id for claim in claims.CLAIMS]
    assert all(claim.judge(typical[claim.id]).figure for claim in claims.CLAIMS)


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.id)
def test_a_judge_can_give_more_than_one_verdict(claim: claims.Claim) -> None:
    assert len({word for name, _, word, _ in TABLE if name == claim.id}) > 1


def test_verdicts_are_sentences() -> None:
    for name, numbers, _, _ in TABLE:
        sentence = claims.chosen([name])[0].judge(numbers).sentence
        assert sentence.endswith(".")
        assert ".." not in sentence
        assert "  " not in sentence


def test_words() -> None:
    assert {HOLDS, CAVEAT, FAILS, verdict.UNKNOWN} == set(verdict.Word.__args__)
