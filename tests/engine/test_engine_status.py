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


def drawn(view: View, width: int) -> list[str]:
    return ["".join(words for words, _ in each) for each in view.for_terminal(width, encoding="utf-8", most=23)]


LIMITED = Status(
    "running", 6194, 1, 5, 64, 304, "304 in all, 1 of images.example.com:8080: refused with 1 in flight", 2, 0.3,
    (Waiting("dead.example.com:8080", 7.0, 199, False, "connect"),),
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_reason_of_a_limit_and_of_silence_fit(width: int) -> None:
    view = View("fetch", 6195, 6800, 1, (("connect", 1),), 19.5, 31.0, 8.8, LIMITED, "12 MB from 4 hosts")
    lines = drawn(view, width)
    assert max(map(_columns, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "12 MB from 4 hosts, 5 in flight" in text
    assert "limit 304 in all, 1 of images.example.com:8080: refused with 1 in flight" in text
    assert "not answering: dead.example.com:8080 7 s (connect), 199 queued" in text
    assert "…" not in text.partition("2 to be")[0]
    assert lines[0].endswith("6 195/6 800  20/s  31 s left")


def test_a_view_of_wide_characters_is_as_wide_as_it_may_be() -> None:
    limited = LIMITED._replace(
        why="304: 한국어 이유가 아주 길게 이어져서 한 줄에는 다 들어가지 않으니 다음 줄로 넘어가야 합니다"
    )
    lines = drawn(View("가져오기", 1, 10, 0, (), 1.0, 9.0, 1.0, limited._replace(parked=(), retrying=0)), 60)
    assert max(map(_columns, lines)) <= 60
    assert lines[-1].endswith("합니다")


@pytest.mark.parametrize(
    ("count", "rate", "left", "told"),
    [
        (0, 0.0, None, "0/6 800  9 s"),
        (6195, 0.0, None, "6 195/6 800  0/s  time left unknown"),
        (6195, 20.0, 31.0, "6 195/6 800  20/s  31 s left"),
        (6800, 20.0, 0.0, "6 800/6 800  20/s  9 s"),
    ],
)
def test_what_is_left_is_told_as_far_as_it_is_known(count: int, rate: float, left: float | None, told: str) -> None:
    view = View("fetch", count, 6800, 0, (), rate, left, 9.0, LIMITED)
    assert drawn(view, 80)[0].endswith(told.replace("  9 s", "  9.00 s"))
    assert ("left" in view.for_logs(rate)[0]) == ("left" in told)


def test_a_view_says_all_of_it() -> None:
    view = View("fetch", 1200, 20_000, 3, (("http-5xx", 3),), 240.0, 78.0, 9.0, BUSY._replace(workers=()))
    (line,) = view.for_logs(240.0)
    for part in ("1 200 of 20 000 (6 %)", "3 failed (http-5xx 3)", "1:18 min left", "workers are warming up", "40 in flight",
                 "limit 48: 72", "1 worker lost", "waiting for Retry-After: a\\x1b[2J.example 12 s, 40 queued",
                 "not answering: b.example 3 s", "5 to be tried again"):  # fmt: skip
        assert part in line
