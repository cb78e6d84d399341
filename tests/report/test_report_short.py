"""A run in short: as JSON, as Markdown, in a notebook's cell. What comes from items is text in each of them."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.cli import main
from atonce.comparison import Comparison, Turn
from atonce.engine.history import History, Move
from atonce.markdown import code, table, text
from atonce.outcome import Run
from atonce.plan.hints import Hint
from atonce.plan.plan import Candidate, Plan
from atonce.report.reading import story_of_run
from atonce.report.text import busiest

HOSTILE = "</svg><script>alert(1)</script><img src=x onerror=alert(2)> [a](javascript:x) | `@everyone` ``x`` \x1b[2J \u202e"
# What a notebook's page is given: nothing that runs, asks for anything or has a style for others.
TAGS = {"div", "span", "b", "i", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "pre"}
ATTRIBUTES = {"style", "role", "aria-label", "viewbox", "width", "height", "x", "y", "fill", "opacity"}


class Strict(HTMLParser):
    """Complains of what is not in the lists, and of what is not closed in its order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert {name for name, _ in attributes} <= ATTRIBUTES, attributes
        assert not any("url" in (value or "") for name, value in attributes if name == "style")
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(markup: str) -> str:
    """Its words."""
    parser = Strict()
    parser.feed(markup)
    parser.close()
    assert parser.open == []
    words = " ".join(parser.said)
    assert "\x1b" not in words
    assert "\u202e" not in words
    return words


def says_no(item: str) -> str:
    if item != "well":
        raise ValueError(f"no {item}")
    return item


def a_run() -> Run[Any]:
    return atonce.run(says_no, [HOSTILE, "well", "ill"], model="threads", concurrency=2, timeout=30, retry=2, name=HOSTILE)


def test_a_notebook_shows_a_run() -> None:
    words = read(a_run()._repr_html_())
    for part in ("3 items in", "1 ok", "2 failed", "threads: this process × 2 threads in flight", "ValueError",
                 "<script>alert(1)</script>"):  # fmt: skip
        assert part in words
    assert "0 items" in read(atonce.run(str, [], model="sync")._repr_html_())


def test_a_notebook_shows_a_plan() -> None:
    ranked = (Candidate("threads", 1, 8, 1.0), Candidate("hybrid", 2, 4, float("inf"), HOSTILE))
    hints = (Hint("name", HOSTILE, HOSTILE, HOSTILE),)
    plan = Plan("threads", "here", "thread", 1, 8, (HOSTILE,), (HOSTILE,), work="waits", ranked=ranked, hints=hints)
    words = read(plan._repr_html_())
    assert "cannot be: </svg><script>" in words
    assert "← chosen" in words
    measured = atonce.explain(says_no, ["well"] * 3)
    assert measured.headline in read(measured._repr_html_())


def test_a_notebook_shows_a_comparison() -> None:
    turns = (
        Turn("sync", 1, 2.0, peak=10**7),
        Turn("threads", 1, 0.5),
        Turn("auto", 1, 0.5, chose="threads"),
        Turn("x", 1, error=HOSTILE),
    )
    comparison = Comparison(HOSTILE, 3, 1, turns, {"coroutines": HOSTILE}, (HOSTILE,))
    words = read(comparison._repr_html_())
    assert "threads was quickest; auto chose threads" in words
    assert "auto → threads" in words
    assert "coroutines left out" in words
    assert "no model ran to its end" in read(Comparison("n", 0, 1, (), {})._repr_html_())


def test_a_run_as_json() -> None:
    run = a_run()
    told = json.loads(run.to_json())
    assert (told["items"], told["ok"], told["failed"], told["attempts"]) == (3, 1, 2, 5)
    assert told["settings"] == {"model": "'threads'", "concurrency": "2", "timeout": "30", "retry": "Retry(attempts=2)"}
    assert told["plan"]["model"] == "threads"
    assert [(each["kind"], each["count"]) for each in told["failures"]] == [("ValueError", 2)]
    assert len(told["slowest"]) == 3
    assert set(told["durations"]) >= {"min", "p50", "p99", "max", "mean"}
    assert told["peak"] > 0
    assert told["whole"]


def test_a_run_as_markdown() -> None:
    told = a_run().to_markdown()
    assert "3 items: 1 ok, **2 failed**; " in told
    assert "**threads&#58; this process × 2 threads in flight**" in told
    assert "| 2 | `ValueError` |" in told
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", told)  # what is not in a code span
    assert not re.search(r"[<@\[\x1b]", outside)
    assert told.endswith("\n\n")


@pytest.mark.parametrize("words", ["a", "`", "``", "a`b", "`a", "a`", " a ", "a|b", "```", HOSTILE, "", "\n"])
def test_code_is_one_span(words: str) -> None:
    made = code(words)
    if not words.strip():
        assert made == ""
        return
    fence = re.match("`+", made)
    assert fence is not None
    inside = made[len(fence[0]) : -len(fence[0])]
    assert made.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inside)
    assert not re.search(r"(?<!\\)\|", made)


def test_a_sentence_has_no_marks_in_it() -> None:
    assert html.unescape(text("2 * 3 | <b> @x [y](z) `c` http://a")) == "2 * 3 | <b> @x [y](z) `c` http://a"
    assert not re.search(r"[*|<>@\[\]`:]", text("2 * 3 | <b> @x [y](z) `c` http://a"))


def test_a_table() -> None:
    assert table(("n", "x"), [("1", "a")], numbers=1) == ["| n | x |", "| --: | --- |", "| 1 | a |"]


def test_report_prints_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "t.json"
    run = atonce.run(says_no, ["well", "ill"], model="sync", trace=trace, timeout=None)
    assert main(["report", str(trace), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["failed"]) == (run.stats.ok, run.stats.failed)
    assert told["settings"] == {"model": "'sync'"}
    assert main(["report", str(trace), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### `says_no`\n\n2 items: 1 ok, **1 failed**; ")


def test_the_text_has_colors_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "t.json"
    atonce.run(says_no, [HOSTILE, "well"], model="sync", trace=trace)
    assert main(["report", str(trace)]) == 0
    plainly = capsys.readouterr().out
    assert "\x1b" not in plainly
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["report", str(trace)]) == 0
    colored = capsys.readouterr().out
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plainly  # colors, and nothing of the item
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["report", str(trace)]) == 0
    assert capsys.readouterr().out == plainly


def test_moves_of_the_limit_are_told() -> None:
    run = a_run()
    run.history = History(run.history.began if run.history else 0.0)
    run.history.moved(Move(run.history.began + 1.0, 48, "48: no more", "host\x1b[2J"))
    (move,) = json.loads(run.to_json())["moves"]
    assert move == [pytest.approx(1.0), 48, "48: no more", "host\\x1b[2J"]


def test_of_many_slots_the_busiest_are_drawn() -> None:
    story = story_of_run(atonce.run(str, range(3), model="sync"))
    lane = story.lanes[0]
    story.lanes += [lane._replace(slot=slot) for slot in range(1, 30)]
    for slot in range(1, 30):
        story.attempts.add(slot, slot, 0.0, float(slot), 0.0, "x")
    assert busiest(story, 2) == [28, 29]
    assert busiest(story, 40) == list(range(30))
