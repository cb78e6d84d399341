"""The last words of a run."""

from __future__ import annotations

import json

import pytest

from atonce.sink.summary import Summary, Tally, grouped, in_words


def test_failures_are_counted_by_kind_with_the_first_as_example() -> None:
    tally = Tally()
    tally.succeed(0)
    for number in range(3):
        tally.fail(number + 1, "ValueError", f"line {number}:\n  bad")
    tally.fail(4, "OSError", "x" * 500)
    summary = Summary(tally.ok, tally.failed, 0.5, tally.failures, before=7, failed_before=1, output="out.jsonl")
    assert summary.lines() == [
        "5 items: 1 ok, 4 failed; 0.50 s, 10/s",
        "7 were already done, 1 of them failed",
        "  3 × ValueError, such as line 0: bad",
        f"  1 × OSError, such as {'x' * 199}…",
        "in out.jsonl",
    ]
    assert json.loads(json.dumps(summary.as_json()))["failures"][0] == {
        "kind": "ValueError",
        "count": 3,
        "example": "line 0: bad",
    }


def test_of_some_only_what_an_output_holds_counts() -> None:
    tally = Tally()
    for index in range(10):
        if index % 2:
            tally.fail(index, "dns" if index == 9 else "connect", f"line {index}")
        else:
            tally.succeed(index, unchanged=index > 5)
        if index > 6:
            tally.repeat(index)
    held = tally.only(8, range(8).__contains__)
    assert (held.count, held.ok, held.failed, held.failures) == (8, 4, 4, (("connect", 4, "line 1"),))
    assert (held.unchanged, held.repeated, tally.unchanged, tally.repeated) == (1, 1, 2, 3)
    without = tally.only(4, range(0, 8, 2).__contains__, failures=False)
    assert (without.ok, without.failures) == (4, tally.failures)


def test_one_that_ended_early() -> None:
    summary = Summary(3, 1, 2.0, output="out.jsonl", unwritten=2, ended="ended early: it is full", command="atonce x")
    assert summary.lines()[0] == "4 items: 3 ok, 1 failed, 2 more could not be written; 2.00 s, 2/s"
    assert "`ended early: it is full`" in summary.as_markdown("x")
    told = summary.as_json()
    assert [told[name] for name in ("unwritten", "ended", "command")] == [2, "ended early: it is full", "atonce x"]


def test_a_tally_stays_small() -> None:
    tally = Tally()
    for number in range(1000):
        tally.fail(number, f"Error{number}", "x")
    assert len(tally.failures) == 21
    assert (tally.failures[0].kind, tally.failures[0].count) == ("other", 980)
    assert tally.count == 1000


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (1.25, "1.2"), (9, "9"), (12.7, "13"), (1234567, "1 234 567")])
def test_grouped(number: float, text: str) -> None:
    assert grouped(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.254, "0.25 s"), (12.4, "12 s"), (185, "3:05 min"), (7385, "2:03:05 h"), (59.7, "1:00 min")]
)
def test_in_words(seconds: float, text: str) -> None:
    assert in_words(seconds) == text
