"""What a run says of itself while it goes on, and what it remembers."""

from __future__ import annotations

from typing import Any

import pytest

import atonce
from atonce.engine.history import MOST, History, Move, Weight
from atonce.engine.status import Doing, Status, Waiting
from atonce.sink.view import View, _columns


class Shown:
    look: Any = None

    def watch(self, look: Any) -> None:
        self.look = look


def test_a_display_sees_the_run_from_within_it() -> None:
    shown, seen = Shown(), []

    def fn(item: str) -> None:
        seen.append(shown.look(workers=True))

    atonce.run(fn, ["a", "b"], model="sync", progress=shown)
    (first, second) = seen
    assert (first.done, first.failed, first.in_flight) == (0, 0, 1)
    assert [(each.state, each.item) for each in first.workers] == [("works", "a")]
    assert second.workers[0].item == "b"


def test_a_run_knows_its_memory() -> None:
    run = atonce.run(abs, range(3), model="sync")
    assert run.stats.peak > 1_000_000
    assert run.history is not None
    assert run.history.weights[0].own > 1_000_000


def test_history_is_bounded() -> None:
    history = History()
    for number in range(5 * MOST):
        history.moved(Move(float(number), number, ""))
        history.weighed(Weight(float(number), number, 1))
    assert len(history.moves) <= MOST
    assert len(history.weights) <= MOST
    assert history.moves[-1].limit == 5 * MOST - 1
    assert history.peak == 5 * MOST


BUSY = Status(
    "warming up", 10, 3, 40, 64, 48, "48: 72 in flight brought no more", 5, 1.5,
    (Waiting("a\x1b[2J.example", 12.0, 40, True), Waiting("b.example", 3.0, 7, False)),
    tuple(Doing(number, "works", 8, 8, 9, "한글\x1b]0;x\x07" * 30, 3.2) for number in range(50)), 1,
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_a_view_fits_any_terminal_and_steers_none(encoding: str) -> None:
    kinds = (("Timeout\x1b[2J", 2), ("http-5xx", 1))
    for width in (20, 40, 60, 80, 200):
        for total in (None, 20_000):
            view = View("이름\x1b[2J" * 9, 1200, total, 3, kinds, 240.0, 78.0, 9.0, BUSY)
            lines = ["".join(words for words, _ in each) for each in view.for_terminal(width, encoding=encoding, most=12)]
            "".join(lines).encode(encoding)
            assert len(lines) == 12
            assert max(map(_columns, lines)) <= width
            assert "\x1b" not in "".join(lines) + "".join(view.for_logs(240.0))


def test_a_view_says_all_of_it() -> None:
    view = View("fetch", 1200, 20_000, 3, (("http-5xx", 3),), 240.0, 78.0, 9.0, BUSY._replace(workers=()))
    (line,) = view.for_logs(240.0)
    for part in ("1 200 of 20 000 (6 %)", "3 failed (http-5xx 3)", "1:18 min left", "workers are warming up", "40 in flight",
                 "limit 48: 72", "1 worker lost", "waiting for Retry-After: a\\x1b[2J.example 12 s, 40 queued",
                 "not answering: b.example 3 s", "5 to be tried again"):  # fmt: skip
        assert part in line
