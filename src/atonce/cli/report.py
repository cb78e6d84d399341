"""`atonce report trace.json -o page.html`, `--text` for the terminal, `--json` and `--markdown` for programs and CI."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Literal

import click

from .options import Command, files
from .streams import tell

if TYPE_CHECKING:
    from atonce.report.story import Story

_EXAMPLES = """
  atonce report trace.json -o page.html
  atonce report trace.json.gz --text
  atonce report trace.json --markdown >> "$GITHUB_STEP_SUMMARY"
"""


@click.command("report", cls=Command, examples=_EXAMPLES)
@click.argument("trace", shell_complete=files)
@click.option("-o", "--output", metavar="PAGE", shell_complete=files, help="the HTML page to write")
@click.option("--text", "form", flag_value="text", default="", help="print what was chosen and a timeline (without -o anyway)")
@click.option("--json", "form", flag_value="json", help="print the run in short as JSON")
@click.option("--markdown", "form", flag_value="markdown", help="print it as Markdown, such as for a CI's job summary")
def command(trace: str, output: str | None, form: Literal["", "text", "json", "markdown"]) -> int:
    """Make a page of a trace, which map and fetch write with --trace, and Python with trace=.

    The page is one file that asks for nothing: what was chosen and why, the timeline, throughput, what failed.
    The trace of a run that was killed will do, and that of one that goes on.
    """
    from atonce.report import digest_of_story, report_of_story
    from atonce.report.reading import story_of_trace

    from .talk import say

    story = story_of_trace(trace)
    if output is not None:
        say(f"the page is {report_of_story(story, output)}")
    if form == "json" or form == "markdown":
        tell(digest_of_story(story, form).rstrip("\n"))
    elif form or output is None:
        _print(story)
    return 0


def _print(story: Story) -> None:
    """As text, with what stdout can show."""
    from atonce.report.text import STYLES, Glyphs, text_of

    from .talk import show

    told = text_of(story, min(120, shutil.get_terminal_size().columns))
    try:
        told.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        told = text_of(story, 80, Glyphs.plain()).encode("ascii", "backslashreplace").decode()
    show(told, STYLES)
