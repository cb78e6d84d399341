"""The pictures of the documentation, from real runs: `python tests/report/screenshots.py docs/images` (`make screenshots`).

page-light.png, page-dark.png   the page of a run: verdict, timeline
page-time.png                   its charts: what moved the limit, CPU, memory
comparison.png                  the page of a comparison, with the small timelines
progress.svg, report.svg        what a terminal shows meanwhile, and `atonce report --text`
"""

from __future__ import annotations

import io
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chromium import WHERE, Browser

import atonce
from atonce.options import Display
from atonce.report import report_of_story
from atonce.report.reading import story_of_trace
from atonce.report.text import STYLES, text_of
from atonce.sink.progress import Progress
from atonce.sink.view import View

PRODUCTS = [f"https://shop{number % 3}.example/products/{number}" for number in range(600)]


def price(url: str) -> int:
    """Waits as for an answer, then reads it: pure Python, which holds the GIL. A few are not there, a few are too slow."""
    chance = random.Random(url)
    time.sleep(0.02 * chance.lognormvariate(0, 0.5))
    total = sum(number * number % 7 for number in range(150_000))
    if chance.random() < 0.02:
        raise KeyError("no such product")
    if chance.random() < 0.01:
        raise TimeoutError("no answer in time")
    return total


def thumbnail(path: str) -> int:
    """Waits for a file from far away, and computes for about as long."""
    time.sleep(0.015)
    return sum(number * number % 7 for number in range(200_000))


class Looking(Display):
    """Takes a picture of the progress when so many items have ended."""

    def __init__(self, at: int) -> None:
        self.counts, self.at = Progress(workers=True), at
        self.view: View | None = None

    def watch(self, look: Any) -> None:
        self.counts.watch(look)
        self.counts.begin(len(PRODUCTS), "shop:price")

    def ended(self, outcome: atonce.Outcome[Any]) -> None:
        self.counts.advance(outcome.ok, not outcome.ok, "" if outcome.ok else type(outcome.error).__name__)
        if self.counts.ok + self.counts.failed == self.at:
            self.view = self.counts.view(time.monotonic())


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        trace, looking = str(Path(scratch, "trace.json")), Looking(360)
        for outcome in atonce.stream(price, PRODUCTS, retry=2, trace=trace, progress=looking, name="shop:price"):
            looking.ended(outcome)
        assert looking.view is not None
        drawn(folder / "progress.svg", "atonce map shop:price -i products.txt -o prices.jsonl --workers", looking.view)
        story = story_of_trace(trace)
        written(folder / "report.svg", "atonce report trace.json", text_of(story, 96))
        story.command = "atonce map shop:price -i products.txt -o prices.jsonl --retries 1 --report page.html"
        page = Path(report_of_story(story, Path(scratch, "run.html")))
        comparison = atonce.compare(thumbnail, [f"photo-{number}.jpg" for number in range(120)], rounds=3)
        compared = Path(comparison.report(Path(scratch, "comparison.html")))
        with Browser() as browser:
            browser.open(page, height=1420).picture(folder / "page-light.png", whole=False)
            browser.open(page, height=1420, dark=True).picture(folder / "page-dark.png", whole=False)
            tab = browser.open(page, height=900)
            tab.ask("document.querySelector('#over-time').scrollIntoView()")
            tab.picture(folder / "page-time.png", whole=False)
            browser.open(compared, height=1500).picture(folder / "comparison.png", whole=False)


def drawn(path: Path, command: str, view: View, width: int = 100) -> None:
    from rich.text import Text

    lines = [Text.assemble(*line) for line in view.for_terminal(width, encoding="utf-8", most=12)]
    _svg(path, command, lines, width)


def written(path: Path, command: str, text: str) -> None:
    from rich.text import Text

    shown = Text(text)
    for pattern, style in STYLES.items():
        shown.highlight_regex(pattern, style)
    _svg(path, command, [shown], 100)


def _svg(path: Path, command: str, lines: list[Any], width: int) -> None:
    from rich.console import Console

    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    svg = console.export_svg(title=f"$ {command}", unique_id=path.stem)
    # the fonts that it would fetch: whoever looks has one of his own
    path.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    if WHERE is None:
        sys.exit("there is no chromium; apt install chromium")
    main(Path(sys.argv[1]))
