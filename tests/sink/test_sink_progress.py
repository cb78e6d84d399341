"""Progress by a clock that the test moves."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from atonce.engine.status import Doing, Status
from atonce.sink.progress import Bar, Cell, Lines, Progress, progress
from atonce.sink.summary import Failures, Summary


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


SUMMARY = Summary(998, 2, 12.5, (Failures("ValueError", 2, "a.txt, line 3: bad"),), 0, 0, "out.jsonl")


def test_lines_come_every_few_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    shown = Lines(stream, clock=clock, ticking=False)
    shown.begin(20_000, "map")
    for ok in (100, 900):
        shown.advance(ok)
        clock.now += 2.5
    assert stream.getvalue() == ""
    shown.advance(199, 1)
    assert stream.getvalue() == "map: 1 200 of 20 000 (6 %), 240/s, 1 failed, 1:18 min left\n"
    clock.now += 4.9
    shown.advance(100)
    assert stream.getvalue().count("\n") == 1
    clock.now += 0.1
    shown.advance()
    assert stream.getvalue().splitlines()[1] == "map: 1 300 of 20 000 (6 %), 20/s, 1 failed, 15:35 min left"
    shown.end()
    clock.now += 100
    shown.advance(1)
    assert stream.getvalue().count("\n") == 2


def left(shown: Progress, clock: Clock) -> float | None:
    return shown.view(clock.now).left


def test_what_is_left_is_by_what_ended_lately_and_unknown_when_nothing_does() -> None:
    clock = Clock()
    shown = Progress(clock=clock)
    shown.begin(1000, "fetch")
    assert left(shown, clock) is None
    for _ in range(10):  # a quick host
        clock.now += 1
        shown.advance(50)
        shown.view(clock.now)
    assert left(shown, clock) == pytest.approx(10)
    for _ in range(10):  # a slow one
        clock.now += 1
        shown.advance(5)
        shown.view(clock.now)
    assert left(shown, clock) == pytest.approx(90)
    clock.now += 4
    assert left(shown, clock) is not None
    clock.now += 2
    assert (shown.view(clock.now).rate, left(shown, clock)) == (0.0, None)
    shown.advance(1)
    assert left(shown, clock) is not None


def test_what_takes_long_is_waited_for_longer() -> None:
    clock = Clock()
    shown = Progress(clock=clock)
    shown.begin(100, "map")
    for _ in range(5):
        clock.now += 10
        shown.advance(1)
        shown.view(clock.now)
    clock.now += 39
    assert left(shown, clock) is not None
    clock.now += 2
    assert left(shown, clock) is None


def test_one_that_ended_at_once_says_nothing_of_those_that_do_not() -> None:
    """A host that is dead: one item ends, the others are left alone for half a minute."""
    stream, clock = io.StringIO(), Clock()
    shown = Lines(stream, clock=clock, ticking=False)
    shown.watch(lambda workers=False: Status("running"))
    shown.begin(300, "fetch")
    clock.now += 0.7
    shown.advance(0, 1, "connect")
    clock.now += 4.3
    shown.advance()
    clock.now += 5
    shown.advance()
    assert [line.rpartition(", ")[2] for line in stream.getvalue().splitlines()] == ["24:55 min left", "time left unknown"]


def test_lines_without_a_total() -> None:
    stream, clock = io.StringIO(), Clock()
    shown = Lines(stream, clock=clock, ticking=False)
    shown.begin(None, "fetch")
    clock.now += 5
    shown.advance(7)
    assert stream.getvalue() == "fetch: 7, 1.4/s\n"


def test_the_limit_is_shown_and_in_a_line_why() -> None:
    stream, clock = io.StringIO(), Clock()
    shown = Lines(stream, clock=clock, ticking=False)
    now = Status("running", in_flight=40, limit=48, why="48: 72 in flight brought no more")
    shown.watch(lambda workers=False: now)
    shown.begin(None, "map")
    clock.now += 5
    shown.advance(10)
    assert stream.getvalue() == "map: 10, 2/s, 40 in flight, limit 48: 72 in flight brought no more\n"
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    bar = Bar(console, clock=clock, auto_refresh=False)
    bar.watch(lambda workers=False: now)
    bar.begin(20, "map")
    bar.advance(9, 1)
    bar.end()
    assert "limit 48" in stream.getvalue().partition("\n")[2]


@pytest.mark.parametrize("total", [None, 20])
def test_a_bar(total: int | None) -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    shown = Bar(console, clock=clock, auto_refresh=False)
    shown.begin(total, "map [x]")
    clock.now += 2
    shown.advance(9, 1)
    shown.end(SUMMARY)
    text = stream.getvalue()
    assert "map [x]" in text
    assert "10/20" in text or total is None
    assert "5/s" in text
    assert "1 failed" in text
    assert text.splitlines()[-1] == "in out.jsonl"


def test_summary_lines_follow() -> None:
    stream = io.StringIO()
    shown = Lines(stream, clock=Clock(), ticking=False)
    shown.begin(10, "map")
    shown.end(SUMMARY)
    assert stream.getvalue().splitlines() == SUMMARY.lines()


class Handle:
    """What a notebook gives to who displays something."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []

    def __call__(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        self.bundles.append(bundle)
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.bundles.append(bundle)


def test_a_notebook_has_it_in_the_cell_and_keeps_the_end() -> None:
    handle, clock = Handle(), Clock()
    shown = Cell(clock=clock, display=handle)
    shown.watch(lambda workers=False: Status("running", in_flight=4, limit=8, why="8: <b>more</b>"))
    shown.begin(20, "<script>map</script>\x1b[2J")
    assert len(handle.bundles) == 1
    shown.advance(5)
    assert len(handle.bundles) == 1  # not for each item
    clock.now += 0.5
    shown.advance(4, 1, "<i>Error</i>")
    during = handle.bundles[-1]
    assert "limit 8: &lt;b&gt;more&lt;/b&gt;" in during["text/html"]
    assert "10/20" in during["text/plain"]
    shown.end()
    over = handle.bundles[-1]
    assert "limit" not in over["text/html"]
    assert "1 failed (&lt;i&gt;Error&lt;/i&gt; 1)" in over["text/html"]
    for bundle in handle.bundles:
        assert set(re.findall("<[^>]*>", bundle["text/html"])) == {'<pre style="margin:0;line-height:1.35">', "</pre>"}
        assert "\x1b" not in bundle["text/html"] + bundle["text/plain"]


def test_a_bar_has_room_for_what_a_terminal_shows_of_ctrl_c() -> None:
    """Behind a line that is full it would begin another one, and the bar would not be taken away whole."""
    clock = Clock()
    bar = Bar(Console(file=io.StringIO(), force_terminal=True, width=60), clock=clock, auto_refresh=False)
    bar.watch(lambda workers=False: Status("running", limit=1, why=f"1: {'word ' * 40}"))
    bar.begin(1000, "map " * 20)
    lines = bar._drawn().plain.split("\n")
    bar.end()
    assert max(map(len, lines)) <= 57


@pytest.mark.parametrize("width", [64, 120])
def test_a_bar_says_what_each_worker_does(width: int) -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=width, height=20, color_system=None, legacy_windows=False)
    bar = Bar(console, workers=True, clock=clock, auto_refresh=False)
    doing = tuple(Doing(number, "works", 8, 8, 9, f"https://example.org/{number}", 3.2) for number in range(3))
    bar.watch(lambda workers=False: Status("running", in_flight=24, workers=doing if workers else ()))
    bar.begin(20, "map")
    bar._live.refresh()
    bar.end()
    for number in range(3):
        assert f"  worker {number}: works, 8 of 8, 3.20 s on https://example.org/{number}" in stream.getvalue()


def test_without_color_it_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream, clock = io.StringIO(), Clock()
    bar = Bar(Console(file=stream, force_terminal=True, width=80), clock=clock, auto_refresh=False)
    bar.begin(20, "map")
    bar.advance(9, 1, "ValueError")
    bar._live.refresh()
    bar.end()
    assert "1 failed (ValueError 1)" in stream.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue())  # bold and dim are no colors


def test_the_kind_for_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(progress(False)) is Progress
    assert type(progress(True)) is Lines
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert type(progress(True)) is Bar
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress(True)) is Lines


def test_one_that_shows_nothing_counts(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress(False)
    shown.begin(3, "x")
    shown.advance(2, 1)
    shown.end(SUMMARY)
    assert (shown.ok, shown.failed) == (2, 1)
    assert capsys.readouterr() == ("", "")
